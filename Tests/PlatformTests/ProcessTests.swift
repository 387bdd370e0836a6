import Platform
import Testing

@Suite("Child processes")
struct ProcessTests {
  @Test("Output, exit code and signal are told apart")
  func endings() throws {
    let pipe = try Pipe()
    var request = ChildRequest(["sh", "-c", "echo out; exit 7"])
    request.descriptors = [-1, pipe.writer.rawValue, 2]
    let child = try ChildProcess.start(request)
    #expect(try child.wait() == .exited(7))
    #expect(try pipe.reader.read(upTo: 100) == Array("out\n".utf8))

    let killed = try ChildProcess.start(ChildRequest(["sleep", "100"]))
    try killed.signal(Signal.kill)
    #expect(try killed.wait() == .killed(signal: 9))
  }

  @Test("A program that is not there is an error of the start")
  func missing() {
    let error = #expect(throws: SystemError.self) { try ChildProcess.start(ChildRequest(["/no/such/program"])) }
    #expect(error?.errno == .noSuchFile)
    #expect(error?.path == "/no/such/program")
  }

  @Test("A child holds no descriptor that it was not given")
  func descriptors() throws {
    let pipe = try Pipe()
    let leaked = try FileDescriptor(opening: "/dev/null")
    let open = try leaked.duplicate()
    var request = ChildRequest(["sh", "-c", "ls /proc/self/fd | wc -l"])
    request.descriptors = [open.rawValue, pipe.writer.rawValue, 2]
    let child = try ChildProcess.start(request)
    #expect(try child.wait().isSuccess)
    // 0, 1, 2 and the one that ls lists with.
    #expect(try pipe.reader.read(upTo: 100) == Array("4\n".utf8))
  }

  @Test("Descriptors are given in any order, swapped ones included")
  func swapped() throws {
    let pipe = try Pipe()
    var request = ChildRequest(["sh", "-c", "echo to-two >&2"])
    request.descriptors = [0, 2, pipe.writer.rawValue]
    let child = try ChildProcess.start(request)
    #expect(try child.wait().isSuccess)
    #expect(try pipe.reader.read(upTo: 100) == Array("to-two\n".utf8))
  }

  @Test("A process group ends as one")
  func group() throws {
    var request = ChildRequest(["sh", "-c", "sleep 100 & sleep 100"])
    request.newProcessGroup = true
    let child = try ChildProcess.start(request)
    try child.signalGroup(Signal.kill)
    #expect(try child.wait() == .killed(signal: 9))
  }
}
