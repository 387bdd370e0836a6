import Synchronization
import TestMachine
import Testing

@testable import Devices

/// A medium in an array, which counts flushes and can fail.
final class TestFlashStore: FlashStore {
  private let content: Mutex<[UInt8]>
  private let flushed = Mutex(0)
  private let failing = Mutex(false)
  let isReadOnly: Bool
  let count: Int

  init(count: Int = 16384, isReadOnly: Bool = false) {
    content = Mutex((0..<count).map { UInt8(truncatingIfNeeded: $0 / 256 + $0) })
    self.count = count
    self.isReadOnly = isReadOnly
  }

  func read(at offset: Int, count: Int) -> [UInt8] { content.withLock { Array($0[offset..<(offset + count)]) } }

  func write(_ bytes: [UInt8], at offset: Int) -> Bool {
    guard !failing.withLock({ $0 }) else { return false }
    content.withLock { $0.replaceSubrange(offset..<(offset + bytes.count), with: bytes) }
    return true
  }

  func flush() -> Bool {
    flushed.withLock { $0 += 1 }
    return true
  }

  func fail() { failing.withLock { $0 = true } }
  var flushes: Int { flushed.withLock { $0 } }
}

@Suite struct FlashMemoryTests {
  private let store = TestFlashStore()

  private func read(_ flash: FlashMemory<TestFlashStore>, _ offset: UInt64) -> UInt64 {
    flash.read(at: offset, width: .byte)
  }

  private func write(_ flash: FlashMemory<TestFlashStore>, _ offset: UInt64, _ values: UInt64...) {
    for value in values { flash.write(value, at: offset, width: .byte) }
  }

  /// What OVMF's QemuFlashDetected does; true for "FD behaves as FLASH, writable".
  private func isDetected(_ flash: FlashMemory<TestFlashStore>) -> Bool {
    let at: UInt64 = 1
    let original = read(flash, at)
    write(flash, at, 0x50)
    guard original == 0x50 || read(flash, at) != 0x50 else { return false }
    write(flash, at, 0x70)
    guard read(flash, at) == 0 else { return false }
    write(flash, at, 0x10, original, 0x70)
    let status = read(flash, at)
    write(flash, at, 0xFF)
    return status & 0x10 == 0 && read(flash, at) == original
  }

  @Test func detection() {
    let flash = FlashMemory(store)
    #expect(isDetected(flash))
    #expect(flash.isArrayMode)
    #expect(!isDetected(FlashMemory(TestFlashStore(isReadOnly: true))))
  }

  /// OVMF programs byte by byte and goes back to array mode at the end.
  @Test func programmingAndErasing() {
    let flash = FlashMemory(store)
    write(flash, 0x1234, 0x20, 0xD0)
    #expect(read(flash, 0) & 0xFF == 0x80)  // the status, wherever
    write(flash, 0x1234, 0xFF)
    #expect(read(flash, 0x1000) == 0xFF && read(flash, 0x1FFF) == 0xFF)
    #expect(read(flash, 0x0FFF) == UInt64(UInt8(truncatingIfNeeded: 0x0F + 0xFFF)))
    #expect(store.flushes == 1)
    for (index, byte) in [0x12 as UInt64, 0x34, 0x56].enumerated() { write(flash, 0x1100 + UInt64(index), 0x10, byte) }
    #expect(!flash.isArrayMode)
    write(flash, 0x1102, 0xFF)
    #expect(flash.read(at: 0x1100, width: .doubleWord) == 0xFF56_3412)
    #expect(store.flushes == 2)
    // A wide value is programmed whole.
    flash.write(0x40, at: 0x1200, width: .doubleWord)
    flash.write(0xDDCC_BBAA, at: 0x1200, width: .doubleWord)
    write(flash, 0, 0xFF)
    #expect(flash.read(at: 0x1200, width: .quadWord) == 0xFFFF_FFFF_DDCC_BBAA)
  }

  @Test func modeChangesAreTold() {
    let modes = Mutex<[Bool]>([])
    let flash = FlashMemory(store, modeChanged: { mode in modes.withLock { $0.append(mode) } })
    write(flash, 0, 0x70, 0x90, 0x98, 0xFF, 0xFF, 0x50, 0x10, 0x55, 0xFF)
    #expect(modes.withLock { $0 } == [false, true, false, true])
    #expect(flash.isArrayMode)
    write(flash, 0, 0xAB)  // no command
    #expect(modes.withLock { $0 }.count == 4)
  }

  @Test func identityAndQuery() {
    let flash = FlashMemory(TestFlashStore(count: 0x84000))
    write(flash, 0, 0x90)
    #expect(read(flash, 0) == 0x89)
    #expect(read(flash, 1) == 0x15)
    write(flash, 0x55, 0x98)
    #expect((0x10...0x14).map { read(flash, $0) } == [0x51, 0x52, 0x59, 0x01, 0x00])
    #expect(read(flash, 0x27) == 20)  // 540672 bytes need 2^20
    #expect(read(flash, 0x2A) == 8)
    // 132 blocks of 16 times 256 bytes.
    #expect((0x2C...0x30).map { read(flash, $0) } == [1, 131, 0, 16, 0])
    #expect((0x31...0x33).map { read(flash, $0) } == [0x50, 0x52, 0x49])
    #expect(read(flash, 0x2000) == 0)
  }

  @Test func writeToBuffer() {
    let flash = FlashMemory(store)
    write(flash, 0x2010, 0xE8)
    #expect(read(flash, 0x2010) & 0x80 != 0)
    write(flash, 0x2010, 3)
    for (index, byte) in [1 as UInt64, 2, 3, 4].enumerated() { write(flash, 0x2010 + UInt64(index), byte) }
    #expect(store.read(at: 0x2010, count: 1) == [0x30])
    write(flash, 0x2010, 0xD0, 0xFF)
    #expect(flash.read(at: 0x2010, width: .doubleWord) == 0x0403_0201)
    #expect(read(flash, 0x200F) == 0x2F && read(flash, 0x2014) == 0x34)
    // Outside the buffer's 256 bytes, and without confirmation: nothing is programmed.
    write(flash, 0x2100, 0xE8, 1)
    write(flash, 0x2200, 9)
    #expect(read(flash, 0) & 0x10 != 0)
    write(flash, 0, 0x50)
    write(flash, 0x2100, 0xE8, 0, 7, 0x20, 0x70)
    #expect(read(flash, 0) & 0x30 == 0x30)
    write(flash, 0, 0x50)
    #expect(read(flash, 0x2100) == 0x21)
  }

  @Test func failures() {
    let flash = FlashMemory(store)
    store.fail()
    write(flash, 0, 0x40, 0x11, 0x70)
    #expect(read(flash, 0) == 0x90)
    write(flash, 0, 0x20, 0xD0)
    #expect(read(flash, 0) == 0xB0)
    write(flash, 0, 0x50, 0x70)
    #expect(read(flash, 0) == 0)
    write(flash, 0, 0x20, 0x11)  // not confirmed
    #expect(read(flash, 0) & 0x30 == 0x30)
    write(flash, 0, 0x20, 0xFF)
    #expect(flash.isArrayMode)
    #expect(flash.read(at: 16383, width: .word) == 0xFFFF)
    #expect(flash.read(at: .max, width: .quadWord) == .max)
  }

  @Test func fuzz() {
    var random = SeededNumbers(22)
    let flash = FlashMemory(store, sectorCount: 4096)
    let commands: [UInt64] = [0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xE8, 0xD0, 0xFF, 0x01, 0xF0]
    let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]
    for _ in 0..<50_000 {
      let width = widths[Int.random(in: 0..<4, using: &random)]
      var value = commands[Int.random(in: 0..<commands.count, using: &random)]
      if Bool.random(using: &random) { value = UInt64.random(in: 0...(.max), using: &random) }
      let offset =
        Int.random(in: 0..<50, using: &random) == 0
        ? UInt64.random(in: 0...(.max), using: &random) : UInt64.random(in: 0..<16400, using: &random)
      flash.write(value & width.mask, at: offset, width: width)
      _ = flash.read(at: offset, width: width)
    }
    // Whatever it waits for: a buffered write of 256 bytes, its confirmation, and the way back.
    for _ in 0..<260 { write(flash, 0, 0xFF) }
    #expect(flash.isArrayMode && isDetected(flash))
  }
}
