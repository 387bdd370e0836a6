internal import Synchronization

/// The PC's clock and CMOS memory (Motorola MC146818A data sheet, 1984; ports 0x70 and 0x71): time, periodic, alarm and
/// update-ended interrupts on ISA interrupt 8, and what a monitor tells firmware through CMOS bytes.
///
/// It has no timer of its own: `rearm` is told when it wants `tick` to be called, and never wants to be called again
/// before the guest has read register C. So a guest that does not listen costs nothing.
///
/// Concurrency model: safe from any thread; `interrupt` and `rearm` are called with the lock held and must not call
/// back.
public final class RealTimeClock: BusDevice, Sendable {
  private struct State: Sendable {
    var index: UInt8 = 0
    var bytes: [UInt8]
    /// Guest's clock minus the host's, in seconds.
    var offset: Int64 = 0
    /// While register B's SET bit is on: what the guest is setting.
    var frozen: ClockTime?
    /// Events up to here, in the host's nanoseconds, are in register C.
    var checked: Int64
    /// What `rearm` was last told.
    var deadline: Int64?
    var lineLevel = false
  }

  /// Register A: divider and rate.
  private static let a = 0x0A
  /// Register B: what interrupts, and how numbers are written.
  private static let b = 0x0B
  /// Register C: what has happened.
  private static let c = 0x0C
  /// In register B what may interrupt, in register C what has happened.
  private enum Event {
    static let update: UInt8 = 0x10
    static let alarm: UInt8 = 0x20
    static let periodic: UInt8 = 0x40
    static let all: UInt8 = 0x70
    /// Register C: the interrupt request line is active.
    static let request: UInt8 = 0x80
  }
  private static let set: UInt8 = 0x80
  private static let second: Int64 = 1_000_000_000
  /// An update begins this long after Update In Progress shows (data sheet, "Update Cycle"; 244 us).
  private static let updateWarning: Int64 = 244_141

  private let state: Mutex<State>
  private let nanoseconds: @Sendable () -> Int64
  private let interrupt: @Sendable (Bool) -> Void
  private let rearm: @Sendable (Int64?) -> Void

  /// A clock.
  ///
  /// - Parameters:
  ///   - memoryBelow4GiB: bytes of RAM below the PCI hole.
  ///   - memoryAbove4GiB: bytes of RAM from 4 GiB up.
  ///   - nanoseconds: time since 1970-01-01 00:00 UTC.
  ///   - interrupt: ISA interrupt 8, raised for an event and lowered when register C is read.
  ///   - rearm: when `tick` is wanted, on the clock that `nanoseconds` tells; nil for never.
  public init(
    memoryBelow4GiB: UInt64, memoryAbove4GiB: UInt64, nanoseconds: @escaping @Sendable () -> Int64,
    interrupt: @escaping @Sendable (_ isActive: Bool) -> Void, rearm: @escaping @Sendable (_ deadline: Int64?) -> Void
  ) {
    self.nanoseconds = nanoseconds
    self.interrupt = interrupt
    self.rearm = rearm
    var bytes = [UInt8](repeating: 0, count: 128)
    bytes[Self.a] = 0x26  // 32.768 kHz, 1024 Hz
    bytes[Self.b] = 0x02  // 24 hours, BCD
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
    state = Mutex(State(bytes: bytes, checked: nanoseconds()))
  }

  /// A clock that never interrupts; `now` is in seconds since 1970-01-01 00:00 UTC.
  public convenience init(
    memoryBelow4GiB: UInt64, memoryAbove4GiB: UInt64, now: @escaping @Sendable () -> Int64
  ) {
    self.init(
      memoryBelow4GiB: memoryBelow4GiB, memoryAbove4GiB: memoryAbove4GiB,
      nanoseconds: {
        let (product, overflow) = now().multipliedReportingOverflow(by: Self.second)
        return overflow ? 0 : product
      }, interrupt: { _ in }, rearm: { _ in })
  }

  // MARK: For the monitor

  /// The deadline that `rearm` was told has come. Too early or too late is harmless.
  public func tick() {
    state.withLock { state in
      advance(&state)
      schedule(&state)
    }
  }

  /// What firmware boots from when it is told nothing better (SeaBIOS, src/boot.c: CMOS 0x3D and 0x38).
  public enum BootClass: UInt8, Sendable {
    case floppy = 1
    case disk = 2
    case cd = 3
    case network = 4
  }

  /// How the BIOS translates an IDE disk's geometry (CMOS 0x39, SeaBIOS, src/block.c).
  public enum Translation: UInt8, Sendable {
    /// The disk's own cylinders, of which there are at most 1024.
    case none = 0
    /// From the number of sectors: what disks above 504 MiB want.
    case lba = 1
    case large = 2
    case large240 = 3
  }

  /// A floppy drive's kind (IBM PC AT Technical Reference, CMOS 0x10).
  public enum FloppyKind: UInt8, Sendable {
    case none = 0
    case fiveInch360 = 1
    case fiveInch1200 = 2
    case threeInch720 = 3
    case threeInch1440 = 4
    case threeInch2880 = 5
  }

  /// Writes down what firmware looks for in CMOS.
  ///
  /// - Parameters:
  ///   - cpus: how many processors SeaBIOS waits for.
  ///   - floppies: drives A and B.
  ///   - bootOrder: at most three classes, for SeaBIOS without a "bootorder" file.
  ///   - translations: of the IDE disks: primary master and slave, secondary master and slave.
  public func describe(
    cpus: Int, floppies: (FloppyKind, FloppyKind) = (.none, .none), bootOrder: [BootClass] = [.disk, .cd, .network],
    translations: [Translation] = []
  ) {
    state.withLock { state in
      state.bytes[0x5F] = UInt8(truncatingIfNeeded: min(max(cpus, 1), 256) - 1)
      state.bytes[0x10] = floppies.0.rawValue << 4 | floppies.1.rawValue
      let drives: UInt8 = (floppies.0 == .none ? 0 : 1) + (floppies.1 == .none ? 0 : 1)
      state.bytes[0x14] = 0x06 | (drives > 0 ? 0x01 | (drives - 1) << 6 : 0)
      func boot(_ index: Int) -> UInt8 { index < bootOrder.count ? bootOrder[index].rawValue : 0 }
      state.bytes[0x3D] = boot(0) | boot(1) << 4
      state.bytes[0x38] = boot(2) << 4 | 1  // a floppy need not end in 0x55AA
      state.bytes[0x39] = translations.prefix(4).enumerated().reduce(0) { $0 | $1.element.rawValue << (2 * $1.offset) }
    }
  }

  // MARK: Ports

  /// Port 0 (0x70) is the index, port 1 (0x71) the data. Only bytes.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    guard width == .byte, offset == 1 else { return width.mask }
    return state.withLock { state in
      guard state.index == Self.c else { return UInt64(value(of: Int(state.index), state)) }
      advance(&state)
      let flags = state.bytes[Self.c]
      state.bytes[Self.c] = 0
      settle(&state)
      schedule(&state)
      return UInt64(flags)
    }
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
    state.frozen ?? ClockTime(seconds: guestSeconds(nanoseconds(), state))
  }

  private func value(of index: Int, _ state: State) -> UInt8 {
    let b = state.bytes[Self.b]
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
    case Self.a: return state.bytes[Self.a] & 0x7F | (isUpdateNear(state) ? 0x80 : 0)
    default: return state.bytes[index]
    }
  }

  private func store(_ byte: UInt8, _ state: inout State) {
    let index = Int(state.index)
    if index <= Self.c { advance(&state) }
    switch index {
    case 0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32, 0x37:
      set(byte, index, &state)
    case Self.a: state.bytes[Self.a] = byte & 0x7F
    case Self.b:
      let before = state.bytes[Self.b]
      if byte & Self.set != 0, before & Self.set == 0 { state.frozen = time(state) }
      // SET clears update-ended interrupts (data sheet, "Register B").
      state.bytes[Self.b] = byte & Self.set != 0 ? byte & ~Event.update : byte
      if byte & Self.set == 0, let frozen = state.frozen {
        state.offset = offset(to: frozen)
        state.frozen = nil
      }
    case Self.c, 0x0D: break  // read-only
    default: state.bytes[index] = byte
    }
    if index <= Self.c {
      settle(&state)
      schedule(&state)
    }
  }

  /// What makes the guest's clock show `time` now.
  private func offset(to time: ClockTime) -> Int64 {
    time.seconds.subtractingReportingOverflow(Self.seconds(nanoseconds())).partialValue
  }

  /// The guest sets a part of the time; what is not a time does not take.
  private func set(_ byte: UInt8, _ index: Int, _ state: inout State) {
    let b = state.bytes[Self.b]
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
      state.offset = offset(to: time)
    }
  }

  private func encode(_ value: Int, _ b: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: b & 0x04 != 0 ? value : (value / 10) << 4 | value % 10)
  }

  private func decode(_ byte: UInt8, _ b: UInt8) -> Int {
    b & 0x04 != 0 ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 15)
  }
}

// MARK: Events

extension RealTimeClock {
  /// Whole seconds, rounded down.
  private static func seconds(_ nanoseconds: Int64) -> Int64 {
    nanoseconds >= 0 ? nanoseconds / second : -((second - 1 - nanoseconds) / second)
  }

  private func guestSeconds(_ nanoseconds: Int64, _ state: State) -> Int64 {
    Self.seconds(nanoseconds).addingReportingOverflow(state.offset).partialValue
  }

  /// Cycles of the 32.768 kHz crystal.
  private static func cycles(_ nanoseconds: Int64) -> Int64 {
    let whole = seconds(nanoseconds)
    return whole * 32768 + (nanoseconds - whole * second) * 32768 / second
  }

  /// The first nanosecond at which `cycles` have passed.
  private static func nanoseconds(_ cycles: Int64) -> Int64 {
    let whole = cycles >> 15
    return whole * second + ((cycles & 0x7FFF) * second + 0x7FFF) >> 15
  }

  /// Whether the divider chain runs: bases of 4.194304 MHz, 1.048576 MHz and 32.768 kHz do, and count alike here.
  private func isCounting(_ state: State) -> Bool { state.bytes[Self.a] >> 4 & 7 <= 2 }

  private func isUpdating(_ state: State) -> Bool { isCounting(state) && state.bytes[Self.b] & Self.set == 0 }

  private func isUpdateNear(_ state: State) -> Bool {
    let now = nanoseconds()
    return isUpdating(state) && now - Self.seconds(now) * Self.second >= Self.second - Self.updateWarning
  }

  /// Cycles between periodic events; nil without a rate (data sheet, table 5).
  private func period(_ state: State) -> Int64? {
    let rate = state.bytes[Self.a] & 0x0F
    guard rate > 0, isCounting(state) else { return nil }
    return 1 << Int64(rate < 3 ? rate + 6 : rate - 1)
  }

  /// Puts what happened since the last time into register C.
  private func advance(_ state: inout State) {
    let now = nanoseconds()
    let before = state.checked
    state.checked = now
    guard now > before else { return }
    if let period = period(state), Self.cycles(now) / period != Self.cycles(before) / period {
      state.bytes[Self.c] |= Event.periodic
    }
    let passed = Self.seconds(now) - Self.seconds(before)
    if isUpdating(state), passed > 0 {
      state.bytes[Self.c] |= Event.update
      if let alarm = secondsToAlarm(guestSeconds(before, state), state), alarm <= passed {
        state.bytes[Self.c] |= Event.alarm
      }
    }
    settle(&state)
  }

  /// How many seconds after `time` the alarm comes next: 1 to 86400; nil for never. An alarm byte from 0xC0 on matches
  /// anything (data sheet, "Time, Calendar and Alarm Locations").
  private func secondsToAlarm(_ time: Int64, _ state: State) -> Int64? {
    let b = state.bytes[Self.b]
    func wanted(_ byte: UInt8) -> Int? { byte >= 0xC0 ? nil : decode(byte, b) }
    let (second, minute) = (wanted(state.bytes[1]), wanted(state.bytes[3]))
    var hour: Int?
    if state.bytes[5] < 0xC0 {
      let value = decode(b & 0x02 == 0 ? state.bytes[5] & 0x7F : state.bytes[5], b)
      hour = b & 0x02 != 0 ? value : value % 12 + (state.bytes[5] & 0x80 != 0 ? 12 : 0)
    }
    let day = time % 86400
    let start = Int(day < 0 ? day + 86400 : day) + 1
    // From the next second on, hour by hour into the same hour of the next day.
    for hours in 0...24 {
      let at = start / 3600 + hours
      if let hour, hour != at % 24 { continue }
      for minutes in 0..<60 {
        if let minute, minute != minutes { continue }
        let first = at * 3600 + minutes * 60
        if first + 59 < start { continue }
        let found = second.map { first + $0 } ?? max(first, start)
        if found >= start, found < first + 60 { return Int64(found - start + 1) }
      }
    }
    return nil
  }

  /// Drives the line as registers B and C say.
  private func settle(_ state: inout State) {
    let active = state.bytes[Self.b] & state.bytes[Self.c] & Event.all != 0
    state.bytes[Self.c] = state.bytes[Self.c] & Event.all | (active ? Event.request : 0)
    if active != state.lineLevel {
      state.lineLevel = active
      interrupt(active)
    }
  }

  /// Tells when the next event comes that would interrupt.
  private func schedule(_ state: inout State) {
    let deadline = state.lineLevel ? nil : nextInterrupt(state)
    if deadline != state.deadline {
      state.deadline = deadline
      rearm(deadline)
    }
  }

  private func nextInterrupt(_ state: State) -> Int64? {
    let enabled = state.bytes[Self.b]
    let now = state.checked
    var next: Int64?
    if enabled & Event.periodic != 0, let period = period(state) {
      next = Self.nanoseconds((Self.cycles(now) / period + 1) * period)
    }
    guard isUpdating(state) else { return next }
    let second = Self.seconds(now)
    if enabled & Event.update != 0 { next = min(next ?? .max, (second + 1) * Self.second) }
    if enabled & Event.alarm != 0, let alarm = secondsToAlarm(guestSeconds(now, state), state) {
      next = min(next ?? .max, (second + alarm) * Self.second)
    }
    return next
  }
}
