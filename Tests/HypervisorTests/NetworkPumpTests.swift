import Platform
import Synchronization
import Testing

@testable import Hypervisor

@Suite struct NetworkPumpTests {
  /// A pipe that nobody reads has the error that a removed tap has.
  @Test("A tap that is gone is told of once and not waited for any more")
  func gone() throws {
    let loop = try EventLoop()
    var lines: [String] = []
    let pump = NetworkPump(loop) { lines.append($0) }
    var visits = 0
    let pipe = try Pipe()
    let tap = try pipe.writer.duplicate()
    try pump.start(tap.rawValue, "tap0") {
      visits += 1
      return true
    }
    let end = try EventDescriptor()
    var rounds = 0
    // Each round is a pass of the loop, in which the tap would be heard again.
    _ = try loop.add(end.file.rawValue, .readable) { _ in
      rounds += 1
      if rounds == 5 { loop.stop() }
    }
    try end.signal()
    _ = consume pipe
    try loop.run()
    #expect(lines == ["the tap tap0 is gone: the guest hears nothing on it until the domain is started again"])
    #expect(visits == 0)
    pump.pump()
    #expect(visits == 0)
  }
}
