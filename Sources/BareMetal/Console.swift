import Machine

/// The serial line COM1: a 16550, polled. One value exists, in the program; a fault makes its own.
struct Console: ~Copyable {
  private static let base: UInt16 = 0x3F8
  private static let lineStatus = base + 5
  private static let scratch = base + 7

  /// Bytes that the transmitter takes before its state must be asked again.
  private var credits = 0
  private var queueLength = 1

  /// 115200 baud, 8 bits, no parity, queues on, and the interrupt for received bytes.
  init() {
    machine_out8(Self.base + 1, 0)
    machine_out8(Self.base + 3, 0x80)
    machine_out8(Self.base, 1)
    machine_out8(Self.base + 1, 0)
    machine_out8(Self.base + 3, 0x03)
    machine_out8(Self.base + 2, 0x07)
    machine_out8(Self.base + 4, 0x0B)
    machine_out8(Self.base + 1, 0x01)
    if machine_in8(Self.base + 2) & 0xC0 == 0xC0 { queueLength = 16 }
  }

  /// True when a byte waits to be read.
  var hasInput: Bool { machine_in8(Self.lineStatus) & 0x01 != 0 }

  /// The next byte, if one waits.
  func read() -> UInt8? {
    hasInput ? machine_in8(Self.base) : nil
  }

  /// True when the port keeps what is written to its scratch register, as every 16550 does.
  func keepsScratch() -> Bool {
    machine_out8(Self.scratch, 0x55)
    guard machine_in8(Self.scratch) == 0x55 else { return false }
    machine_out8(Self.scratch, 0xAA)
    return machine_in8(Self.scratch) == 0xAA
  }

  /// Returns when everything written has left the port, or after a while.
  mutating func drain() {
    wait { machine_in8(Self.lineStatus) & 0x40 != 0 }
  }

  mutating func write(byte: UInt8) {
    if byte == 0x0A { put(0x0D) }
    put(byte)
  }

  mutating func write(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { write(byte: text[index]) }
  }

  mutating func write(line text: StaticString) {
    write(text)
    write("\n")
  }

  /// Decimal, padded with blanks on the left to `width`.
  mutating func write(decimal value: UInt64, width: Int = 0) {
    var digits = InlineArray<20, UInt8>(repeating: 0x20)
    var first = 20
    var rest = value
    repeat {
      var digit: UInt32 = 0
      // SAFETY: the remainder is written to a local variable.
      rest = unsafe machine_divide(rest, 10, &digit)
      first -= 1
      digits[first] = 0x30 + UInt8(truncatingIfNeeded: digit)
    } while rest != 0
    for index in min(first, max(0, 20 - width))..<20 { write(byte: digits[index]) }
  }

  /// Hexadecimal with exactly `digits` digits.
  mutating func write(hex value: UInt64, digits: Int) {
    for index in (0..<digits).reversed() {
      let digit = UInt8(truncatingIfNeeded: value >> (UInt64(index) * 4)) & 15
      write(byte: digit < 10 ? 0x30 + digit : 0x57 + digit)
    }
  }

  private mutating func put(_ byte: UInt8) {
    if credits == 0 {
      // A port that is never ready must not stop the machine: the byte goes out regardless.
      wait { machine_in8(Self.lineStatus) & 0x20 != 0 }
      credits = queueLength
    }
    credits -= 1
    machine_out8(Self.base, byte)
  }
}
