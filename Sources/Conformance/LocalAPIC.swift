import Machine

/// The local APIC (Intel SDM 3A, chapter 11), only to see what is requested: interrupts stay off.
enum LocalAPIC {
  static let base: UInt32 = 0xFEE0_0000

  private static func read(_ offset: UInt32) -> UInt32 { machine_load32(UInt(base &+ offset)) }

  /// Sets the software enable bit (spurious-interrupt vector register).
  static func enable() {
    machine_store32(UInt(base &+ 0xF0), read(0xF0) | 1 << 8 | 0xFF)
  }

  /// Has the timer count down once from the most it can hold, by one each cycle and without an interrupt (11.5.4).
  static func startTimer() {
    machine_store32(UInt(base &+ 0x3E0), 0b1011)
    machine_store32(UInt(base &+ 0x320), 1 << 16)
    machine_store32(UInt(base &+ 0x380), .max)
  }

  /// What the timer still has to count.
  static var timerCount: UInt32 { read(0x390) }

  static var id: UInt32 { read(0x20) >> 24 }
  static var version: UInt32 { read(0x30) }

  /// Whether `vector` is in the interrupt request register.
  static func isRequested(_ vector: UInt8) -> Bool {
    read(0x200 &+ 0x10 &* UInt32(vector >> 5)) >> UInt32(vector & 31) & 1 != 0
  }

  /// Waits until `vector` is requested; false when it never is.
  static func waits(for vector: UInt8) -> Bool {
    wait { isRequested(vector) }
  }

  /// Gives an interrupt that must not come the time to come: whether it did not.
  static func staysQuiet(_ vector: UInt8) -> Bool {
    for _ in 0..<500 {
      if isRequested(vector) { return false }
      machine_pause()
    }
    return true
  }
}
