import Platform
import Testing

/// A directory that is gone after the test.
struct Scratch: ~Copyable {
  let path: String

  init() throws {
    path = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-test-")
  }

  deinit {
    try? Files.removeTree(path)
  }
}

@Suite("Files")
struct FileTests {
  @Test("Replacing a file leaves the new text and nothing beside it")
  func replace() throws {
    let scratch = try Scratch()
    let path = "\(scratch.path)/file"
    try Files.replace(path, with: Array("one".utf8))
    try Files.replace(path, with: Array("two".utf8))
    #expect(try Files.readText(path) == "two")
    #expect(try Files.list(scratch.path) == ["file"])
  }

  @Test("A replacement that cannot be written leaves the old file as it was")
  func failedReplace() throws {
    let scratch = try Scratch()
    let path = "\(scratch.path)/directory"
    try Files.makeDirectories(path)
    #expect(throws: SystemError.self) { try Files.replace(path, with: [1]) }
    #expect(try Files.list(scratch.path) == ["directory"])
  }

  @Test("A missing file says what was tried, where, and why")
  func missing() {
    let error = #expect(throws: SystemError.self) { try Files.read("/nonexistent/file") }
    #expect(error?.path == "/nonexistent/file")
    #expect(error?.errno == .noSuchFile)
    #expect(error?.description == "open /nonexistent/file: No such file or directory")
  }

  @Test("A tree is removed, and links in it are not followed")
  func removeTree() throws {
    let scratch = try Scratch()
    try Files.makeDirectories("\(scratch.path)/kept")
    try Files.write("x", to: "\(scratch.path)/kept/file")
    try Files.makeDirectories("\(scratch.path)/tree/a/b")
    try Files.link("\(scratch.path)/tree/a/link", to: "\(scratch.path)/kept")
    try Files.removeTree("\(scratch.path)/tree")
    #expect(try Files.list(scratch.path) == ["kept"])
    #expect(try Files.list("\(scratch.path)/kept") == ["file"])
  }

  @Test("Reads and writes at offsets, beyond the end included")
  func offsets() throws {
    let scratch = try Scratch()
    let file = try FileDescriptor(opening: "\(scratch.path)/file", [.readWrite, .create])
    try file.writeAll([1, 2, 3], at: 4)
    #expect(try file.length() == 7)
    #expect(try file.read(upTo: 10, at: 0) == [0, 0, 0, 0, 1, 2, 3])
    #expect(try file.read(upTo: 10, at: 7).isEmpty)
  }

  @Test func aLockIsSeenWithoutTakingIt() throws {
    // On a tmpfs, as in the appliance: layered file systems have locks under numbers of their own.
    let path = try Files.makeTemporaryDirectory(prefix: "/dev/shm/roost-lock-") + "/lock"
    defer { try? Files.removeTree(String(path.dropLast(5))) }
    #expect(!Files.isLocked(path))
    let file = try FileDescriptor(opening: path, [.readWrite, .create])
    #expect(!Files.isLocked(path))
    #expect(try file.lock(waiting: false))
    #expect(Files.isLocked(path))
    _ = consume file
    // A child that another test starts at this moment has the file, too, until it has closed all that it was not given.
    for _ in 0..<6000 where Files.isLocked(path) { MonotonicClock.sleep(milliseconds: 10) }
    #expect(!Files.isLocked(path))
  }
}
