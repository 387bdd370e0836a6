import Platform
import Testing

@Suite("Descriptors that travel, and namespaces of process ids")
struct IsolationTests {
  @Test("Descriptors come with the bytes that they were sent with, each open in both processes")
  func passing() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-passing-")
    defer { try? Files.removeTree(directory) }
    let listener = try UnixSocket.listen("\(directory)/s")
    let sender = try UnixSocket.connect("\(directory)/s")
    let receiver = try UnixSocket.accept(listener)
    try Files.write("one", to: "\(directory)/one")
    try Files.write("two", to: "\(directory)/two")
    do {
      let one = try FileDescriptor(opening: "\(directory)/one")
      let two = try FileDescriptor(opening: "\(directory)/two")
      #expect(try sender.send(Array("both".utf8), with: [one.rawValue, two.rawValue]) == 4)
      #expect(throws: SystemError("send descriptors", errno: .invalidArgument)) {
        try sender.send([0], with: Array(repeating: one.rawValue, count: FileDescriptor.descriptorRoom + 1))
      }
      #expect(throws: SystemError("send descriptors", errno: .badDescriptor)) { try sender.send([0], with: [-1]) }
    }
    let (bytes, files) = try receiver.receive(upTo: 100)
    #expect(bytes == Array("both".utf8) && files.count == 2)
    #expect(try files.map { try $0.file.readToEnd() } == [Array("one".utf8), Array("two".utf8)])
    #expect(try files[0].file.status().size == 3 && files[0].file.status().kind == .regular)

    // Plain bytes have none with them, and a reader that does not ask leaves none open.
    #expect(try sender.send(Array("plain".utf8), with: []) == 5)
    let (plain, none) = try receiver.receive(upTo: 3)
    #expect(plain == Array("pla".utf8) && none.isEmpty)
    #expect(try receiver.read(upTo: 100) == Array("in".utf8))
  }

  @Test(
    "A child can be the first process of a namespace; its starter sees it as any other",
    .enabled(if: ProcessEnvironment.isSuperuser, "skipped: namespaces take root"))
  func namespace() throws {
    for isNew in [false, true] {
      var request = ChildRequest(["/bin/sh", "-c", "[ $$ = 1 ] && exit 7; exit 8"])
      request.newProcessNamespace = isNew
      #expect(try ChildProcess.start(request).wait() == .exited(isNew ? 7 : 8))
    }
    var request = ChildRequest(["/nonexistent/program"])
    request.newProcessNamespace = true
    #expect(throws: SystemError.self) { try ChildProcess.start(request) }
  }

  @Test("A child is in its control group before it runs; a group that is not there is an error before there is a child")
  func controlGroup() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-group-")
    defer { try? Files.removeTree(directory) }
    try Files.write("", to: "\(directory)/cgroup.procs")
    // The kernel takes 0 for the process that writes: here it shows that it was written before the program ran.
    var request = ChildRequest(["/bin/sh", "-c", "[ \"$(cat \(directory)/cgroup.procs)\" = 0 ]"])
    request.controlGroup = "\(directory)/cgroup.procs"
    #expect(try ChildProcess.start(request).wait() == .exited(0))
    request.controlGroup = "\(directory)/gone/cgroup.procs"
    let error = #expect(throws: SystemError.self) { try ChildProcess.start(request) }
    #expect(error?.errno == .noSuchFile && error?.path == "\(directory)/gone/cgroup.procs")
  }
}
