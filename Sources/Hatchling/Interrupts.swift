import Machine

/// The two 8259 interrupt controllers, open for the interval timer and COM1 only. The handlers in boot.S
/// just acknowledge and leave interrupts off: an interrupt's whole use is to end a sleep.
enum Interrupts {
  static func start() {
    machine_load_interrupt_table()
    // Initialisation words 1 to 4, edge triggered, vectors from 32, 8086 mode.
    machine_out8(0x20, 0x11)
    machine_out8(0xA0, 0x11)
    machine_out8(0x21, 32)
    machine_out8(0xA1, 40)
    machine_out8(0x21, 4)
    machine_out8(0xA1, 2)
    machine_out8(0x21, 1)
    machine_out8(0xA1, 1)
    machine_out8(0x21, ~(1 << 0 | 1 << 4))
    machine_out8(0xA1, 0xFF)
    IntervalTimer.startTicking()
  }

  /// Waits a while, for input most likely. Sleeping needs proof that something will end it: until the timer
  /// has ticked once, this only lets interrupts in. A machine without controllers is polled for ever.
  static func idle(unless ready: () -> Bool) {
    if machine_ticks() == 0 {
      machine_interrupts_on()
      for _ in 0..<64 { machine_pause() }
      machine_interrupts_off()
    } else if !ready() {
      machine_sleep()
    }
  }
}
