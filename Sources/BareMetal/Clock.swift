import Machine

/// The time since the start, from the processor's time stamp counter.
struct Clock {
  private let start = machine_timestamp()
  /// Counts per millisecond; nil while unknown.
  private var rate: UInt32?
  private(set) var source: Source = .unknown

  /// Who said how fast the counter runs.
  enum Source {
    case hypervisor, intervalTimer, unknown

    var name: StaticString {
      switch self {
      case .hypervisor: "frequency from the hypervisor"
      case .intervalTimer: "measured with the interval timer"
      case .unknown: "frequency unknown"
      }
    }
  }

  /// Learns the rate: from the hypervisor's timing leaf, else by the interval timer. Cheap when known already.
  mutating func calibrate() {
    guard rate == nil else { return }
    // "Timing information" leaf, kHz in EAX: as KVM and VMware define it (Linux, asm/cpuid and vmware.c).
    if machine_cpuid(1).ecx & 1 << 31 != 0, machine_cpuid(0x4000_0000).eax >= 0x4000_0010 {
      let kilohertz = machine_cpuid(0x4000_0010).eax
      if kilohertz != 0 {
        rate = kilohertz
        source = .hypervisor
        return
      }
    }
    if let measured = IntervalTimer.timestampsPerTenMilliseconds() {
      rate = max(1, measured / 10)
      source = .intervalTimer
    }
  }

  /// Counts of the time stamp counter since the start.
  var counts: UInt64 { machine_timestamp() &- start }

  /// Milliseconds since the start; nil while the rate is unknown.
  var milliseconds: UInt64? {
    guard let rate else { return nil }
    var rest: UInt32 = 0
    // SAFETY: the remainder is written to a local variable.
    return unsafe machine_divide(counts, rate, &rest)
  }
}

/// The 8254, which counts at 1.193182 MHz.
enum IntervalTimer {
  private static let gatePort: UInt16 = 0x61

  /// Lets channel 0 interrupt 18 times a second.
  static func startTicking() {
    machine_out8(0x43, 0x34)
    machine_out8(0x40, 0)
    machine_out8(0x40, 0)
  }

  /// How far the time stamp counter goes while channel 2 counts 10 ms; nil when there is no such timer.
  static func timestampsPerTenMilliseconds() -> UInt32? {
    let count: UInt16 = 11932
    let before = machine_in8(gatePort)
    machine_out8(gatePort, before & ~0x03)
    machine_out8(0x43, 0xB0)  // channel 2, low and high byte, mode 0: output rises at zero
    machine_out8(0x42, UInt8(truncatingIfNeeded: count))
    machine_out8(0x42, UInt8(truncatingIfNeeded: count >> 8))
    machine_out8(gatePort, before & ~0x02 | 0x01)
    let first = machine_timestamp()
    guard machine_in8(gatePort) & 0x20 == 0 else { return nil }
    let done = wait { machine_in8(gatePort) & 0x20 != 0 }
    let elapsed = machine_timestamp() &- first
    machine_out8(gatePort, before)
    return done ? UInt32(exactly: elapsed) : nil
  }
}
