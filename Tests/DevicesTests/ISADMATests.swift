import TestMachine
import Testing

@testable import Devices

@Suite struct ISADMATests {
  private let memory = TestMemory()
  private let dma: ISADMA<TestMemory>
  private let first: ISADMA<TestMemory>.Ports
  private let pages: ISADMA<TestMemory>.Ports

  init() {
    dma = ISADMA(memory: memory)
    first = ISADMA.Ports(dma, .first)
    pages = ISADMA.Ports(dma, .pages)
  }

  private func write(_ value: UInt64, _ port: UInt64) { first.write(value, at: port, width: .byte) }
  private func read(_ port: UInt64) -> UInt64 { first.read(at: port, width: .byte) }

  /// As drivers set channel 2 up: mask, clear the flip-flop, mode, address, count, page, unmask.
  private func set(mode: UInt64, address: UInt64, count: UInt64) {
    write(0x06, 0x0A)
    write(0, 0x0C)
    write(mode, 0x0B)
    write(address & 0xFF, 0x04)
    write(address >> 8 & 0xFF, 0x04)
    write((count - 1) & 0xFF, 0x05)
    write((count - 1) >> 8, 0x05)
    pages.write(address >> 16, at: 1, width: .byte)
    write(0x02, 0x0A)
  }

  private func give(_ bytes: [UInt8]) -> ISADMA<TestMemory>.Progress {
    dma.move(channel: 2, toMemory: bytes.span)
  }

  @Test func toMemoryUntilTerminalCount() throws {
    #expect(give([1, 2, 3]).count == 0)  // masked after reset
    set(mode: 0x46, address: 0x4_1234, count: 5)
    #expect(give([1, 2, 3]) == .init(count: 3, isTerminal: false))
    #expect(read(0x08) == 0)
    write(0, 0x0C)
    #expect([read(0x04), read(0x04), read(0x05), read(0x05)] == [0x37, 0x12, 0x01, 0x00])
    #expect(give([4, 5, 6]) == .init(count: 2, isTerminal: true))
    #expect(try memory.bytes(at: GuestAddress(0x4_1234), count: 6) == [1, 2, 3, 4, 5, 0])
    #expect(read(0x08) == 0x04)
    #expect(read(0x08) == 0)  // reading clears it
    #expect(give([7]).count == 0)  // masked by terminal count
  }

  @Test func fromMemory() throws {
    try memory.write([9, 8, 7], at: GuestAddress(0x2_0000))
    set(mode: 0x4A, address: 0x2_0000, count: 3)
    var bytes = [UInt8](repeating: 0, count: 4)
    var span = bytes.mutableSpan
    #expect(dma.move(channel: 2, fromMemory: &span) == .init(count: 3, isTerminal: true))
    #expect(bytes == [9, 8, 7, 0])
    #expect(give([1]).count == 0)
  }

  @Test func modes() throws {
    set(mode: 0x46, address: 0x2_0000, count: 4)
    var none = [UInt8](repeating: 0, count: 1)
    var span = none.mutableSpan
    #expect(dma.move(channel: 2, fromMemory: &span).count == 0)  // the other direction
    // Automatic initialization goes on after terminal count.
    set(mode: 0x56, address: 0x2_0000, count: 2)
    #expect(give([1, 2, 3]) == .init(count: 2, isTerminal: true))
    #expect(give([5]) == .init(count: 1, isTerminal: false))
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 2) == [5, 2])
    // Downwards.
    set(mode: 0x66, address: 0x2_0003, count: 4)
    #expect(give([1, 2, 3, 4]).isTerminal)
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 4) == [4, 3, 2, 1])
    // Verify counts and writes nothing.
    set(mode: 0x42, address: 0x2_0000, count: 2)
    #expect(give([9, 9]).isTerminal)
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 2) == [4, 3])
    // The address wraps in its page.
    set(mode: 0x46, address: 0x2_FFFF, count: 2)
    #expect(give([0xA1, 0xA2]).isTerminal)
    #expect(try memory.bytes(at: GuestAddress(0x2_FFFF), count: 2) == [0xA1, 0])
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 1) == [0xA2])
    // The controller is off; master clear turns it on and masks.
    set(mode: 0x46, address: 0x2_0000, count: 2)
    write(0x04, 0x08)
    #expect(give([1]).count == 0)
    write(0, 0x0D)
    #expect(read(0x0F) == 0xFF)
    write(0, 0x0E)
    #expect(read(0x0F) == 0xF0)
    #expect(give([1]).count == 1)
    // A hole takes what it is given.
    set(mode: 0x46, address: 0x8000, count: 2)
    #expect(give([1, 2]).isTerminal)
  }

  @Test func secondControllerAndPages() {
    let second = ISADMA.Ports(dma, .second)
    second.write(0x34, at: 0x00, width: .byte)
    second.write(0x12, at: 0x00, width: .byte)
    #expect(second.read(at: 0x00, width: .byte) == 0x34)
    #expect(second.read(at: 0x00, width: .byte) == 0x12)
    #expect(second.read(at: 0x01, width: .byte) == 0xFF)
    second.write(0xC0, at: 0x16, width: .byte)
    second.write(0, at: 0x14, width: .byte)
    #expect(second.read(at: 0x1E, width: .byte) == 0xFE)
    for page in 0..<UInt64(16) { pages.write(0xA0 | page, at: page, width: .byte) }
    for page in 0..<UInt64(16) { #expect(pages.read(at: page, width: .byte) == 0xA0 | page) }
  }
}
