import Platform
import Synchronization
import Testing

@Suite("Events and sockets")
struct EventTests {
  @Test("A poller names what is ready by its token")
  func poller() throws {
    let poller = try Poller()
    let first = try EventDescriptor()
    let second = try EventDescriptor()
    try poller.add(first.file.rawValue, .readable, token: 1)
    try poller.add(second.file.rawValue, .readable, token: 2)
    #expect(try poller.wait(timeout: 0).isEmpty)
    try second.signal()
    try second.signal()
    #expect(try poller.wait(timeout: 1000).map(\.token) == [2])
    #expect(try second.take() == 2)
    #expect(try second.take() == 0)
  }

  @Test("A timer fires")
  func timer() throws {
    let timer = try TimerDescriptor()
    #expect(try timer.take() == 0)
    try timer.set(after: 1_000_000)
    let poller = try Poller()
    try poller.add(timer.file.rawValue, .readable, token: 9)
    #expect(try poller.wait(timeout: 5000).map(\.token) == [9])
    #expect(try timer.take() == 1)
  }

  @Test("Two ends of a socket talk, and a path that is too long is refused")
  func sockets() throws {
    let scratch = try Scratch()
    let listener = try UnixSocket.listen("\(scratch.path)/socket")
    let client = try UnixSocket.connect("\(scratch.path)/socket")
    let server = try UnixSocket.accept(listener)
    try client.writeAll([1, 2, 3])
    #expect(try server.read(upTo: 10) == [1, 2, 3])
    #expect(throws: SystemError.self) {
      _ = try UnixSocket.listen("/tmp/" + String(repeating: "x", count: 200))
    }
  }

  @Test("A thread runs and is joined")
  func thread() throws {
    let flag = Flag()
    let thread = try Thread("roost-test") { flag.value.store(true, ordering: .releasing) }
    thread.join()
    let ran = flag.value.load(ordering: .acquiring)
    #expect(ran)
  }
}

private final class Flag: Sendable {
  let value = Atomic(false)
}
