import Testing

@testable import Devices

@Suite struct UARTTests {
  private let sink = TestSink()
  private let line = TestLine()
  private let uart: UART16550<TestSink, TestLine>

  init() {
    uart = UART16550(output: sink, interrupt: line)
  }

  private func read(_ register: UInt64) -> UInt8 { UInt8(uart.read(at: register, width: .byte)) }
  private func write(_ value: UInt8, _ register: UInt64) { uart.write(UInt64(value), at: register, width: .byte) }

  /// What Linux's `autoconfig` does to tell a 16550A: IER holds four bits, loopback shows the modem lines, FIFOs show
  /// in IIR, the scratch register holds.
  @Test func linuxAutoconfiguration() {
    write(0, 1)
    #expect(read(1) == 0)
    write(0x0F, 1)
    #expect(read(1) & 0x0F == 0x0F)
    write(0, 1)
    write(0x10 | 0x08 | 0x02, 4)
    #expect(read(6) & 0xF0 == 0x90)
    write(0x01, 2)
    #expect(read(2) >> 6 == 3)
    write(0, 2)
    #expect(read(2) >> 6 == 0)
    write(0x5A, 7)
    #expect(read(7) == 0x5A)
  }

  @Test func divisorLatch() {
    write(0x83, 3)
    write(1, 0)
    write(0, 1)
    #expect(read(0) == 1)
    #expect(read(1) == 0)
    write(0x03, 3)
    #expect(read(1) == 0)
    #expect(sink.bytes.isEmpty)
    #expect(read(5) == 0x60)
  }

  @Test func driversThatWaitForInput() {
    let uart = UART16550(output: TestSink(), interrupt: TestLine())
    #expect(!uart.isAwaited)
    uart.write(2, at: 1, width: .byte)
    #expect(!uart.isAwaited)
    uart.write(1, at: 1, width: .byte)
    #expect(uart.isAwaited)
  }

  @Test func output() {
    for byte in "hi\n".utf8 { write(byte, 0) }
    #expect(sink.text == "hi\n")
  }

  @Test func transmitterInterrupt() {
    write(0x08, 4)
    write(0x02, 1)
    #expect(line.isHigh)
    #expect(read(2) == 0x02)  // shown once, and cleared by that
    #expect(read(2) == 0x01)
    #expect(!line.isHigh)
    write(0x41, 0)
    #expect(line.isHigh)
    // Toggling the enable bit raises it again, on which Linux's THRE test counts.
    _ = read(2)
    write(0, 1)
    write(0x02, 1)
    #expect(line.isHigh)
    // OUT2 gates the wire.
    write(0, 4)
    #expect(!line.isHigh)
  }

  @Test func receiver() {
    write(0x08, 4)
    write(0x01, 1)
    #expect(uart.receive(Array("abc".utf8)) == 3)
    #expect(line.isHigh)
    #expect(read(2) == 0x04)
    #expect(read(5) & 1 == 1)
    #expect(read(0) == 0x61)
    #expect(read(0) == 0x62)
    #expect(line.isHigh)
    #expect(read(0) == 0x63)
    #expect(!line.isHigh)
    #expect(read(5) & 1 == 0)
    #expect(read(0) == 0)
  }

  @Test func receiverFIFOs() {
    write(0xC1, 2)
    write(0x09, 4)
    write(0x01, 1)
    _ = uart.receive([1])
    #expect(read(2) == 0xCC)  // below the trigger level: time-out
    _ = uart.receive([UInt8](repeating: 2, count: 13))
    #expect(read(2) == 0xC4)
    write(0xC3, 2)  // clears the receiver
    #expect(read(2) == 0xC1)
    #expect(read(5) & 1 == 0)
  }

  @Test func backlogHasALimit() {
    #expect(uart.receive([UInt8](repeating: 1, count: 70_000)) == 65_536)
    #expect(uart.receive([1]) == 0)
    for _ in 0..<10_000 { _ = read(0) }
    #expect(uart.receive([UInt8](repeating: 1, count: 70_000)) == 10_000)
  }

  @Test func loopback() {
    write(0x10, 4)
    write(0x77, 0)
    #expect(sink.bytes.isEmpty)
    #expect(read(0) == 0x77)
    #expect(!line.isHigh)
    // Software that measures the FIFO finds 16 bytes, and an overrun behind them.
    write(0x01, 2)
    for byte in UInt8(0)..<20 { write(byte, 0) }
    #expect(read(5) & 0x02 != 0)
    var count = 0
    while read(5) & 1 != 0 {
      _ = read(0)
      count += 1
    }
    #expect(count == 16)
  }

  @Test func breakAndPriorities() {
    write(0x08, 4)
    write(0x0F, 1)
    uart.receiveBreak()
    #expect(read(2) == 0x06)
    #expect(read(5) & 0x11 == 0x11)
    #expect(read(2) == 0x04)
    #expect(read(0) == 0)
    #expect(read(2) == 0x02)
    #expect(read(2) == 0x01)
  }
}
