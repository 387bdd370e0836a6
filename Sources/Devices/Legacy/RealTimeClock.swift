internal import Synchronization

/// The PC's clock and CMOS memory (Motorola MC146818A; ports 0x70 and 0x71). It tells the time, keeps what is written,
/// and has memory sizes where firmware looks for them. Alarm and periodic interrupts are not made.
///
/// Concurrency model: safe from any thread.
public final class RealTimeClock: BusDevice, Sendable {
  private struct State: Sendable {
    var index: UInt8 = 0
    var bytes: [UInt8]
    /// Guest's clock minus the host's, in seconds.
    var offset: Int64 = 0
    /// While register B's SET bit is on: what the guest is setting.
    var frozen: ClockTime?
  }

  private let state: Mutex<State>
  private let now: @Sendable () -> Int64

  /// A clock.
  ///
  /// - Parameters:
  ///   - memoryBelow4GiB: bytes of RAM below the PCI hole.
  ///   - memoryAbove4GiB: bytes of RAM from 4 GiB up.
  ///   - now: seconds since 1970-01-01 00:00 UTC.
  public init(memoryBelow4GiB: UInt64, memoryAbove4GiB: UInt64, now: @escaping @Sendable () -> Int64) {
    self.now = now
    var bytes = [UInt8](repeating: 0, count: 128)
    bytes[0x0A] = 0x26  // 32.768 kHz, 1024 Hz
    bytes[0x0B] = 0x02  // 24 hours, BCD
    bytes[0x0D] = 0x80  // valid RAM and time
    bytes[0x14] = 0x06  // equipment: coprocessor, pointing device
    func store(_ value: UInt64, at index: Int, count: Int) {
      for byte in 0..<count { bytes[index + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
    }
    store(640, at: 0x15, count: 2)  // base memory, KiB
    let extended = memoryBelow4GiB > 1 << 20 ? (memoryBelow4GiB - 1 << 20) >> 10 : 0
    store(min(extended, 0xFFFF), at: 0x17, count: 2)  // above 1 MiB, KiB
    store(min(extended, 0xFFFF), at: 0x30, count: 2)
    let above16 = memoryBelow4GiB > 16 << 20 ? (memoryBelow4GiB - 16 << 20) >> 16 : 0
    store(min(above16, 0xFFFF), at: 0x34, count: 2)  // above 16 MiB, 64 KiB units
    store(min(memoryAbove4GiB >> 16, 0xFF_FFFF), at: 0x5B, count: 3)  // above 4 GiB, 64 KiB units
    state = Mutex(State(bytes: bytes))
  }

  /// Port 0 (0x70) is the index, port 1 (0x71) the data. Only bytes.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    guard width == .byte, offset == 1 else { return width.mask }
    return state.withLock { UInt64(value(of: Int($0.index), $0)) }
  }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    let byte = UInt8(truncatingIfNeeded: value)
    state.withLock { state in
      if offset == 0 {
        state.index = byte & 0x7F  // bit 7 masks NMI
        // A word to 0x70 is index and data.
        if width == .word { store(UInt8(truncatingIfNeeded: value >> 8), &state) }
      } else if width == .byte {
        store(byte, &state)
      }
    }
  }

  private func time(_ state: State) -> ClockTime {
    state.frozen ?? ClockTime(seconds: now().addingReportingOverflow(state.offset).partialValue)
  }

  private func value(of index: Int, _ state: State) -> UInt8 {
    let b = state.bytes[0x0B]
    let time = time(state)
    switch index {
    case 0x00: return encode(time.second, b)
    case 0x02: return encode(time.minute, b)
    case 0x04:
      if b & 0x02 != 0 { return encode(time.hour, b) }
      let hour = time.hour % 12 == 0 ? 12 : time.hour % 12
      return encode(hour, b) | (time.hour >= 12 ? 0x80 : 0)
    case 0x06: return encode(time.weekday, b)
    case 0x07: return encode(time.day, b)
    case 0x08: return encode(time.month, b)
    case 0x09: return encode(time.year % 100, b)
    case 0x32, 0x37: return encode(time.year / 100, b)
    // Update in progress never shows: a read is taken from one instant.
    case 0x0A: return state.bytes[0x0A] & 0x7F
    case 0x0C: return 0
    default: return state.bytes[index]
    }
  }

  private func store(_ byte: UInt8, _ state: inout State) {
    let index = Int(state.index)
    switch index {
    case 0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32, 0x37:
      set(byte, index, &state)
    case 0x0A: state.bytes[0x0A] = byte & 0x7F
    case 0x0B:
      let before = state.bytes[0x0B]
      if byte & 0x80 != 0, before & 0x80 == 0 { state.frozen = time(state) }
      state.bytes[0x0B] = byte
      if byte & 0x80 == 0, let frozen = state.frozen {
        state.offset = frozen.seconds.subtractingReportingOverflow(now()).partialValue
        state.frozen = nil
      }
    case 0x0C, 0x0D: break  // read-only
    default: state.bytes[index] = byte
    }
  }

  /// The guest sets a part of the time; what is not a time does not take.
  private func set(_ byte: UInt8, _ index: Int, _ state: inout State) {
    let b = state.bytes[0x0B]
    var time = time(state)
    let value = decode(index == 0x04 && b & 0x02 == 0 ? byte & 0x7F : byte, b)
    switch index {
    case 0x00 where value < 60: time.second = value
    case 0x02 where value < 60: time.minute = value
    case 0x04:
      if b & 0x02 != 0 {
        if value < 24 { time.hour = value }
      } else if (1...12).contains(value) {
        time.hour = value % 12 + (byte & 0x80 != 0 ? 12 : 0)
      }
    case 0x07 where (1...31).contains(value): time.day = value
    case 0x08 where (1...12).contains(value): time.month = value
    case 0x09 where value < 100: time.year = time.year / 100 * 100 + value
    case 0x32, 0x37:
      if (19...99).contains(value) { time.year = value * 100 + time.year % 100 }
    default: return
    }
    if state.frozen != nil {
      state.frozen = time
    } else {
      state.offset = time.seconds.subtractingReportingOverflow(now()).partialValue
    }
  }

  private func encode(_ value: Int, _ b: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: b & 0x04 != 0 ? value : (value / 10) << 4 | value % 10)
  }

  private func decode(_ byte: UInt8, _ b: UInt8) -> Int {
    b & 0x04 != 0 ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 15)
  }
}

/// A date and time of day in UTC, in the proleptic Gregorian calendar.
struct ClockTime: Sendable, Hashable {
  var year: Int
  var month: Int
  var day: Int
  var hour: Int
  var minute: Int
  var second: Int

  /// The time `seconds` after 1970-01-01 00:00, held to the years 1900 to 9999.
  init(seconds: Int64) {
    let held = Int(min(max(seconds, -2_208_988_800), 253_402_300_799))
    let days = held >= 0 ? held / 86400 : -((86399 - held) / 86400)
    let rest = held - days * 86400
    hour = rest / 3600
    minute = rest / 60 % 60
    second = rest % 60
    // Days since 0000-03-01, in eras of 400 years, so that the leap day is a year's last.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  private var daysSince1970: Int {
    let marchYear = month <= 2 ? year - 1 : year
    let era = marchYear / 400
    let yearOfEra = marchYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// Seconds after 1970-01-01 00:00.
  var seconds: Int64 {
    Int64(daysSince1970 * 86400 + hour * 3600 + minute * 60 + second)
  }

  /// 1 is Sunday.
  var weekday: Int {
    let day = (daysSince1970 + 4) % 7
    return (day < 0 ? day + 7 : day) + 1
  }
}
