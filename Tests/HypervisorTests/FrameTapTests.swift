import Devices
import Platform
import Testing

@testable import Hypervisor

@Suite("Frames through a tap")
struct FrameTapTests {
  @Test("a frame leaves behind twelve zero bytes, and comes without the twelve in front of it")
  func headers() throws {
    let out = try Pipe()
    FrameTap(try out.writer.duplicate()).transmit([1, 2, 3].span)
    #expect(try out.reader.read(upTo: 64) == [UInt8](repeating: 0, count: 12) + [1, 2, 3])

    let back = try Pipe()
    try back.writer.writeAll([UInt8](repeating: 0xEE, count: 12) + [4, 5, 6])
    var frame = [UInt8](repeating: 0, count: 8)
    var span = frame.mutableSpan
    #expect(FrameTap(try back.reader.duplicate()).receive(into: &span) == 3)
    #expect(frame == [4, 5, 6, 0, 0, 0, 0, 0])
  }

  @Test("a tap with nothing to give gives nothing, and one that is gone takes nothing")
  func nothing() throws {
    let pipe = try Pipe()
    try pipe.reader.setNonBlocking(true)
    var frame = [UInt8](repeating: 0, count: 8)
    var span = frame.mutableSpan
    #expect(FrameTap(try pipe.reader.duplicate()).receive(into: &span) == nil)
    FrameTap(try pipe.reader.duplicate()).transmit([1].span)  // not writable
  }
}
