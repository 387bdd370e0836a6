import Machine

/// Ends of the machine's day. Each way is tried, and the function returns only when none worked.
enum Power {
  /// Switches off through ACPI: PM1a's SLP_TYP and SLP_EN (ACPI 6.5, section 4.8.3.2.1), or the sleep control
  /// register of reduced hardware.
  static func off(_ acpi: ACPI?) {
    guard let acpi, let type = acpi.softOffType else { return }
    if acpi.isReducedHardware {
      acpi.sleepControl?.write(type << 2 | 1 << 5)
    } else if let port = acpi.controlPort {
      if machine_in16(port) & 1 == 0, let enable = acpi.enableCommand {
        machine_out8(enable.port, enable.value)
        wait { machine_in16(port) & 1 != 0 }
      }
      let kept = machine_in16(port) & ~UInt16(0x3C00)
      machine_out16(port, kept | UInt16(type) << 10 | 1 << 13)
    }
    settle()
  }

  /// Starts the machine anew: ACPI's reset register, the keyboard controller's pulse, the PCI chip set's port.
  static func reset(_ acpi: ACPI?) {
    if let reset = acpi?.reset {
      reset.register.write(reset.value)
      settle()
    }
    machine_out8(0x64, 0xFE)
    settle()
    machine_out8(0xCF9, 0x02)
    machine_out8(0xCF9, 0x06)
    settle()
  }

  /// Gives a monitor that acts a little later the time to do so: some tenths of a second on today's processors.
  private static func settle() {
    let start = machine_timestamp()
    while machine_timestamp() &- start < 1_000_000_000 { machine_pause() }
  }
}
