import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("Hostile archives")
struct HostileArchiveTests {
  private func file(_ entries: [TarFile.Entry], _ directory: TemporaryDirectory) throws -> String {
    let path = "\(directory.path)/a.tar"
    try Files.write(TarFile.bytes(entries), to: path)
    return path
  }

  private func members(_ path: String, _ limits: ArchiveLimits = .standard) throws -> [ArchiveEntry] {
    let reader = try ArchiveReader(path, limits: limits)
    var entries: [ArchiveEntry] = []
    while let entry = try reader.next() { entries.append(entry) }
    return entries
  }

  private func refusal(_ body: () throws -> Void) -> BuildError? {
    let error = #expect(throws: BuildError.self, performing: body)
    #expect(error?.code == .badFile, "\(String(describing: error))")
    #expect(error?.hint != nil)
    return error
  }

  @Test("Paths with .. are refused by name, also as targets of hard links; absolute ones begin at the tree's root")
  func paths() throws {
    let directory = try TemporaryDirectory()
    for entry: TarFile.Entry in [
      .init("../up", "x"), .init("a/../../up", "x"), .init("ok", kind: .hardLink, target: "../etc/shadow"),
    ] {
      let path = try file([.init("first", "1"), entry], directory)
      let error = refusal { _ = try members(path) }
      #expect(error?.message.contains("'\(entry.target.isEmpty ? entry.path : entry.target)'") == true)
      #expect(error?.message.contains(path) == true)
    }
    #expect(try members(try file([.init("/etc/passwd", "x")], directory)).map(\.path) == ["etc/passwd"])
  }

  @Test("Names that are longer than Linux's are refused, and shown without what steers a terminal")
  func long() throws {
    let directory = try TemporaryDirectory()
    let names = [
      String(repeating: "n", count: 256), "\u{1B}[2J" + String(repeating: "n", count: 300),
      Array(repeating: String(repeating: "d", count: 200), count: 21).joined(separator: "/"),
    ]
    for name in names {
      let error = refusal { _ = try members(try file([.init(name, "x")], directory)) }
      #expect(error?.message.contains("longer than a path") == true && error?.message.contains("\u{1B}") == false)
    }
  }

  @Test("More members than there may be are refused when they come")
  func count() throws {
    let directory = try TemporaryDirectory()
    let path = try file((0...1000).map { TarFile.Entry("f\($0)", "") }, directory)
    #expect(try members(path, ArchiveLimits(entries: 1001)).count == 1001)
    let error = refusal { _ = try members(path, ArchiveLimits(entries: 1000)) }
    #expect(error?.message.contains("more than 1000 files") == true)
    #expect(ArchiveLimits.standard.entries < 1_000_000)
  }

  @Test("What says it is larger than it may be is refused before any of it is unpacked")
  func declared() throws {
    let directory = try TemporaryDirectory()
    let path = try file([.init("huge", size: 5 << 30)], directory)
    let error = refusal { _ = try members(path, ArchiveLimits(bytes: 4 << 30)) }
    #expect(error?.message.contains("unpacks to more than 4096 MiB") == true)
    let two = try file([.init("a", String(repeating: "a", count: 700)), .init("b", "bb")], directory)
    _ = refusal { _ = try members(two, ArchiveLimits(bytes: 701)) }
  }

  @Test("A compression bomb is stopped by its size and by its ratio", arguments: ["gzip", "zstd", "xz"])
  func bomb(_ tool: String) throws {
    let directory = try TemporaryDirectory()
    let script = """
      truncate -s 64M "$1/zeros"; tar -cf - -C "$1" zeros | \(tool) -c >"$1/bomb"; \(tool) -c <"$1/zeros" >"$1/packed"
      """
    let outcome = try Command(["sh", "-c", script, "sh", directory.path]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess, "\(outcome.text)")
    func unpack(_ limits: ArchiveLimits) throws {
      let reader = try ArchiveReader("\(directory.path)/bomb", limits: limits)
      while try reader.next() != nil { while try !reader.read(upTo: 1 << 20).isEmpty {} }
    }
    try unpack(.standard)
    let ratio = refusal { try unpack(ArchiveLimits(ratioStart: 8 << 20)) }
    #expect(ratio?.message.contains("250 times its size") == true)
    let size = refusal { try unpack(ArchiveLimits(bytes: 32 << 20)) }
    #expect(size?.message.contains("more than 32 MiB") == true)
    // One file, which says nothing of its size.
    let packed = refusal {
      let reader = try ArchiveReader("\(directory.path)/packed", .packed, limits: ArchiveLimits(bytes: 32 << 20))
      _ = try reader.next()
      while try !reader.read(upTo: 1 << 20).isEmpty {}
    }
    #expect(packed?.message.contains("more than 32 MiB") == true)
    let memory = refusal {
      let reader = try ArchiveReader("\(directory.path)/packed", .packed, limits: ArchiveLimits(memory: 16 << 20))
      _ = try reader.next()
      _ = try reader.readAll()
    }
    #expect(memory?.message.contains("more than 16 MiB") == true)
  }

  @Test("A zip whose member is not what it says is stopped as well: by what comes out of it")
  func falseSize() throws {
    let directory = try TemporaryDirectory()
    let script = """
      import struct, sys, zipfile
      path = sys.argv[1]
      with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z: z.writestr("zeros", bytes(64 << 20))
      data = bytearray(open(path, "rb").read())
      true, false = struct.pack("<I", 64 << 20), struct.pack("<I", 100)
      assert data.count(true) >= 2
      open(path, "wb").write(bytes(data).replace(true, false))
      """
    let path = "\(directory.path)/false.zip"
    let outcome = try Command(["python3", "-c", script, path]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess, "\(outcome.text)")
    func unpack(_ limits: ArchiveLimits) throws {
      let reader = try ArchiveReader(path, limits: limits)
      #expect(try reader.next()?.size == 100)
      while try !reader.read(upTo: 1 << 20).isEmpty {}
    }
    let size = refusal { try unpack(ArchiveLimits(bytes: 16 << 20)) }
    #expect(size?.message.contains("more than 16 MiB") == true)
    let ratio = refusal { try unpack(ArchiveLimits(ratioStart: 8 << 20)) }
    #expect(ratio?.message.contains("250 times its size") == true)
  }

  @Test("A disk of zeros may be taken out of an archive that is a thousandth of it")
  func sparseDisk() throws {
    let directory = try TemporaryDirectory()
    let script = "truncate -s 300M \"$1/disk.raw\"; tar -C \"$1\" -cf - disk.raw | zstd -qc >\"$1/disk.tar.zst\""
    let outcome = try Command(["sh", "-c", script, "sh", directory.path]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess, "\(outcome.text)")
    let output = "\(directory.path)/out"
    try Tree.extract(
      "disk.raw", of: "\(directory.path)/disk.tar.zst", called: "the source", to: output, cancellation: Cancellation())
    #expect(try Files.status(output)?.size == 300 << 20)
  }

  @Test("Links that are longer than paths, and .. behind a slash with a mark on it, are refused")
  func marks() throws {
    let directory = try TemporaryDirectory()
    let long = TarFile.Entry("l", kind: .link, target: String(repeating: "a/", count: 2048))
    let link = refusal { _ = try members(try file([long], directory)) }
    #expect(link?.message.contains("a link to 'a/a/") == true)
    let up = refusal { _ = try members(try file([.init("../\u{301}x", "x")], directory)) }
    #expect(up?.message.contains("leads out of it") == true)
    #expect(TreePath.parts("/a//b/\u{301}c/") == ["a", "b", "\u{301}c"])
    #expect(TreePath.normalised("./a/./b/") == "a/b")
  }

  @Test("A list of this machine's files is no archive")
  func listOfFiles() throws {
    let directory = try TemporaryDirectory()
    try directory.write("list", "#mtree\n./x type=file mode=0644 contents=/etc/hostname\n")
    let error = #expect(throws: BuildError.self) { try members("\(directory.path)/list") }
    #expect(error?.code == .content)
  }

  private func spooled(_ entries: [TarFile.Entry], _ directory: TemporaryDirectory) throws -> [ArchiveEntry] {
    var tree = try SpooledTree(spool: "\(directory.path)/spool")
    try tree.add(archive: try file(entries, directory), omitting: { _ in false }, cancellation: Cancellation())
    let output = "\(directory.path)/out.tar"
    try tree.write(output, descending: false, epoch: 0, cancellation: Cancellation())
    return try members(output)
  }

  @Test("A release's archive: devices are left out, nothing goes through a link, links in a circle end")
  func release() throws {
    let directory = try TemporaryDirectory()
    let found = try spooled(
      [
        .init("dev/sda", kind: .device), .init("pipe", kind: .pipe), .init("a", kind: .hardLink, target: "b"),
        .init("b", kind: .hardLink, target: "a"), .init("c", "c"),
      ], directory)
    #expect(found.map(\.path) == ["c"])
    for target in ["/etc", "../../etc", "x"] {
      let error = refusal {
        _ = try spooled([.init("usr", kind: .link, target: target), .init("usr/passwd", "x")], directory)
      }
      #expect(error?.message.contains("usr/passwd") == true)
    }
  }

  @Test("A file that is taken out of an archive is found by links that lead in a circle no more than elsewhere")
  func circle() throws {
    let directory = try TemporaryDirectory()
    let path = try file(
      [.init("a", kind: .hardLink, target: "b"), .init("b", kind: .hardLink, target: "a")], directory)
    let error = refusal {
      try Tree.extract("a", of: path, called: "it", to: "\(directory.path)/o", cancellation: Cancellation())
    }
    #expect(error?.message.contains("of it is no file") == true)
  }

  @Test("Names beyond ASCII are read and written as they are")
  func unicode() throws {
    let directory = try TemporaryDirectory()
    let name = "certs/Főtanúsítvány.crt"
    let path = try file([.init(name, "x")], directory)
    let output = "\(directory.path)/out.tar"
    try Tree.merge(
      path, omitting: { _ in false }, adding: [.text("ä", "")], epoch: 0, to: output, cancellation: Cancellation())
    #expect(try members(output).map(\.path) == [name, "ä"])
  }
}
