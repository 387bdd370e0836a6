internal import Binary
internal import Synchronization

/// Where a machine has what Xen's guests ask for.
public struct XenLayout: Sendable {
  /// A run of addresses in the memory map (ACPI 6.5, 15: E820).
  public struct Run: Sendable, Hashable {
    /// Where it begins, and how many bytes it has.
    public var address, count: UInt64
    /// E820's kind: 1 is RAM that is the guest's.
    public var kind: UInt32

    /// `count` bytes at `address`.
    public init(address: UInt64, count: UInt64, kind: UInt32) {
      (self.address, self.count, self.kind) = (address, count, kind)
    }
  }

  /// Pages of RAM that the memory map does not give away: the console's rings and the store's.
  public var consolePage, storePage: UInt64
  /// The memory map.
  public var map: [Run]
  /// What the time stamp counter counts a second, in kHz; 0 when it is unknown.
  public var tscKHz: UInt32
  /// The time of day as the machine starts, in seconds since 1970.
  public var startTime: UInt32
  /// The domain's name.
  public var name: String

  /// A machine with its console and store in these pages.
  public init(consolePage: UInt64, storePage: UInt64, map: [Run], tscKHz: UInt32, startTime: UInt32, name: String) {
    self.consolePage = consolePage
    self.storePage = storePage
    self.map = map
    self.tscKHz = tscKHz
    self.startTime = startTime
    self.name = name
  }
}

/// As much of Xen's hypercalls as a boot loader for PVH guests needs (Xen, public/xen.h and what it names): the memory
/// map, the console, the store with the domain's name, grant tables and shared information as pages, and the ways to end.
/// There are no event channels but those of console and store, which are looked at instead of awaited, and no devices.
///
/// Structures are those of 32-bit guests, and addresses are physical ones.
///
/// Concurrency model: safe from any thread; `state` holds everything that changes, and is held while `console` is called.
public final class XenHypercalls<Memory: GuestMemory, Console: ByteSink>: Sendable {
  /// How a guest ends (public/sched.h). None is suspended.
  public enum Shutdown: UInt32, Sendable {
    case powerOff = 0
    case reboot = 1
    case crash = 3
    case watchdog = 4
  }

  /// Bytes of a page.
  static var page: UInt64 { 4096 }
  private static var consolePort: UInt32 { 1 }
  private static var storePort: UInt32 { 2 }
  /// DOMID_SELF: the caller.
  private static var own: UInt16 { 0x7FF0 }

  private let memory: Memory
  private let layout: XenLayout
  private let console: Console
  private let onShutdown: @Sendable (Shutdown) -> Void
  private let input, output, requests, answers: XenRing<Memory>
  private let state: Mutex<State>

  private struct State {
    var store: XenStore
    /// The map as the guest made it, in Xen's own bytes.
    var map: [UInt8]
    /// The grant table's page frame, once the guest has put it somewhere.
    var grantFrame: UInt32 = 0
    /// Whether the guest knows where its console is.
    var hasConsole = false
    /// Whether it wrote to the store what is no message.
    var isStoreBroken = false
  }

  /// Serves the guest in `memory`; what it prints goes to `console`.
  public init(
    memory: Memory, layout: XenLayout, console: Console, onShutdown: @escaping @Sendable (Shutdown) -> Void
  ) {
    self.memory = memory
    self.layout = layout
    self.console = console
    self.onShutdown = onShutdown
    func ring(_ page: UInt64, _ bytes: UInt64, _ count: UInt32, _ counters: UInt64) -> XenRing<Memory> {
      XenRing(
        memory: memory, bytes: GuestAddress(page + bytes), count: count, consumer: GuestAddress(page + counters),
        producer: GuestAddress(page + counters + 4))
    }
    input = ring(layout.consolePage, 0, 1024, 3072)
    output = ring(layout.consolePage, 1024, 2048, 3080)
    requests = ring(layout.storePage, 0, 1024, 2048)
    answers = ring(layout.storePage, 1024, 1024, 2056)
    state = Mutex(State(store: XenStore(name: layout.name), map: Self.bytes(of: layout.map)))
  }

  /// The page of stubs that a guest calls: each enters the hypervisor by writing its number to `port`, 32 bits wide, and
  /// finds the answer in EAX.
  public static func stubs(port: UInt8) -> [UInt8] {
    var stubs: [UInt8] = []
    for number in 0..<UInt32(128) {
      // mov $number, %eax; out %eax, $port; ret
      let code: [UInt8] = [0xB8, UInt8(number), 0, 0, 0, 0xE7, port, 0xC3]
      stubs += code + [UInt8](repeating: 0xCC, count: 32 - code.count)
    }
    return stubs
  }

  /// Does what hypercall `number` asks for; what it answers, a negative error number where it fails.
  public func call(_ number: UInt32, _ first: UInt32, _ second: UInt32, _ third: UInt32) -> Int32 {
    let answer = state.withLock { state in
      do throws(GuestMemoryError) {
        defer { serve(&state) }
        switch number {
        case 12: return try operateMemory(first, at: UInt64(second), &state)
        case 17: return version(first)
        case 18: return try writeConsole(first, count: second, at: UInt64(third))
        case 20: return try operateGrants(first, at: UInt64(second), count: third, &state)
        case 29: return try schedule(first, at: UInt64(second))
        case 32: return try sendEvent(first, at: UInt64(second))
        case 34: return try parameter(first, at: UInt64(second), &state)
        default: return XenError.unknownCall
        }
      } catch {
        return XenError.badAddress
      }
    }
    return answer
  }

  /// Takes what is typed. How many bytes were taken: less than all where the guest does not read, nil where it does not
  /// know this console.
  public func receive(_ bytes: [UInt8]) -> Int? {
    state.withLock { state in
      guard state.hasConsole else { return nil }
      do throws(GuestMemoryError) {
        let count = min(bytes.count, try input.room())
        try input.put(bytes.prefix(count))
        return count
      } catch {
        return bytes.count
      }
    }
  }

  /// Looks at the rings.
  private func serve(_ state: inout State) {
    do throws(GuestMemoryError) {
      if state.hasConsole {
        let printed = try output.take()
        console.write(printed.span)
      }
      guard !state.isStoreBroken else { return }
      if state.store.takesMore { state.isStoreBroken = !state.store.take(try requests.take()) }
      let count = min(state.store.waiting, try answers.room())
      if count > 0 { try answers.put(state.store.next(count)) }
    } catch {
      // The pages are RAM that is always there: a machine without it has no rings.
    }
  }

  /// XENMEM_* (public/memory.h).
  private func operateMemory(
    _ command: UInt32, at address: UInt64, _ state: inout State
  ) throws(GuestMemoryError) -> Int32 {
    switch command {
    case 9:  // memory_map: room, buffer
      let room = UInt64(try memory.loadUInt32(at: GuestAddress(address)))
      let count = UInt64(state.map.count / Self.runCount)
      guard room >= count else { return XenError.invalid }
      let buffer = UInt64(try memory.loadUInt32(at: GuestAddress(address + 4)))
      try memory.write(at: GuestAddress(buffer), from: state.map.span)
      try memory.storeUInt32(UInt32(count), at: GuestAddress(address))
      return 0
    case 13:  // set_memory_map: domain, count, buffer
      guard try memory.loadUInt16(at: GuestAddress(address)) == Self.own else { return XenError.notPermitted }
      let count = try memory.loadUInt32(at: GuestAddress(address + 4))
      guard count <= Self.runLimit else { return XenError.invalid }
      let buffer = UInt64(try memory.loadUInt32(at: GuestAddress(address + 8)))
      state.map = try memory.bytes(at: GuestAddress(buffer), count: Int(count) * Self.runCount)
      return 0
    case 7:  // add_to_physmap: domain, size, space, index, frame
      guard try memory.loadUInt16(at: GuestAddress(address)) == Self.own else { return XenError.notPermitted }
      let space = try memory.loadUInt32(at: GuestAddress(address + 4))
      let index = try memory.loadUInt32(at: GuestAddress(address + 8))
      let frame = try memory.loadUInt32(at: GuestAddress(address + 12))
      return try addPage(space, index, frame, &state)
    default: return XenError.unknownCall
    }
  }

  /// Puts shared information or the grant table into a page of RAM. Any page will do: nobody else knows it.
  private func addPage(
    _ space: UInt32, _ index: UInt32, _ frame: UInt32, _ state: inout State
  ) throws(GuestMemoryError) -> Int32 {
    guard index == 0, space <= 1 else { return XenError.invalid }
    let content = space == 0 ? sharedInformation : [UInt8](repeating: 0, count: Int(Self.page))
    try memory.write(at: GuestAddress(UInt64(frame) * Self.page), from: content.span)
    if space == 1 { state.grantFrame = frame }
    return 0
  }

  /// The first CPU's time, by which the time stamp counter becomes nanoseconds (public/xen.h, vcpu_time_info), 32 bytes
  /// into the page, and the time of day at the counter's zero behind 2304; all else is zero.
  private var sharedInformation: [UInt8] {
    var time = ByteWriter()
    if layout.tscKHz > 0 {
      // ns = (ticks << shift) * scale / 2^32, with as many bits of `scale` as there are.
      var shift: Int8 = 0
      var scale = UInt64(1_000_000) << 32 / UInt64(layout.tscKHz)
      while scale >= 1 << 32 { (scale, shift) = (scale >> 1, shift + 1) }
      time.little(2 as UInt32)  // its version: even, nothing changes
      time.zeros(20)  // the counter's zero is the time's
      time.little(UInt32(scale))
      time.little(shift)
    }
    var page = ByteWriter()
    page.zeros(32)
    page.raw(time.bytes)
    page.zeros(2304 - page.bytes.count)
    page.little(2 as UInt32)
    page.little(layout.startTime)
    page.zeros(Int(Self.page) - page.bytes.count)
    return page.bytes
  }

  /// XENVER_* (public/version.h): Xen 4.17, with no features.
  private func version(_ command: UInt32) -> Int32 {
    command == 0 ? 4 << 16 | 17 : XenError.unknownCall
  }

  /// CONSOLEIO_write (public/xen.h).
  private func writeConsole(_ command: UInt32, count: UInt32, at address: UInt64) throws(GuestMemoryError) -> Int32 {
    guard command == 0 else { return XenError.unknownCall }
    let text = try memory.bytes(at: GuestAddress(address), count: Int(min(count, UInt32(Self.page))))
    console.write(text.span)
    return Int32(text.count)
  }

  /// GNTTABOP_* (public/grant_table.h).
  private func operateGrants(
    _ command: UInt32, at address: UInt64, count: UInt32, _ state: inout State
  ) throws(GuestMemoryError) -> Int32 {
    guard count == 1 else { return XenError.invalid }
    switch command {
    case 2:  // setup_table: domain, number of frames, status, their list
      let domain = try memory.loadUInt16(at: GuestAddress(address))
      let frames = try memory.loadUInt32(at: GuestAddress(address + 4))
      let list = UInt64(try memory.loadUInt32(at: GuestAddress(address + 12)))
      // GNTST_bad_domain, GNTST_general_error
      let status: Int16 = domain != Self.own ? -2 : frames > 1 || state.grantFrame == 0 ? -1 : 0
      if status == 0, frames == 1 { try memory.storeUInt32(state.grantFrame, at: GuestAddress(list)) }
      try memory.storeUInt16(UInt16(bitPattern: status), at: GuestAddress(address + 8))
      return 0
    case 8:  // set_version
      guard try memory.loadUInt32(at: GuestAddress(address)) == 1 else { return XenError.invalid }
      return 0
    default: return XenError.unknownCall
    }
  }

  /// SCHEDOP_* (public/sched.h).
  private func schedule(_ command: UInt32, at address: UInt64) throws(GuestMemoryError) -> Int32 {
    switch command {
    case 0: return 0  // yield: the rings are looked at
    case 2:
      guard let reason = Shutdown(rawValue: try memory.loadUInt32(at: GuestAddress(address))) else {
        return XenError.invalid
      }
      onShutdown(reason)
      return 0
    default: return XenError.unknownCall
    }
  }

  /// EVTCHNOP_send (public/event_channel.h).
  private func sendEvent(_ command: UInt32, at address: UInt64) throws(GuestMemoryError) -> Int32 {
    guard command == 4 else { return XenError.unknownCall }
    let port = try memory.loadUInt32(at: GuestAddress(address))
    return port == Self.consolePort || port == Self.storePort ? 0 : XenError.invalid
  }

  /// HVMOP_get_param (public/hvm/hvm_op.h and params.h): domain, which, value.
  private func parameter(_ command: UInt32, at address: UInt64, _ state: inout State) throws(GuestMemoryError) -> Int32
  {
    guard command == 1 else { return XenError.unknownCall }
    guard try memory.loadUInt16(at: GuestAddress(address)) == Self.own else { return XenError.notPermitted }
    let value: UInt64
    switch try memory.loadUInt32(at: GuestAddress(address + 4)) {
    case 1: value = layout.storePage / Self.page
    case 2: value = UInt64(Self.storePort)
    case 17:
      value = layout.consolePage / Self.page
      state.hasConsole = true
    case 18: value = UInt64(Self.consolePort)
    default: return XenError.invalid
    }
    try memory.storeUInt64(value, at: GuestAddress(address + 8))
    return 0
  }

  /// Bytes of a run in Xen's memory map: address, count and kind, without a gap.
  private static var runCount: Int { 20 }
  /// Runs that a guest's own map has at most.
  private static var runLimit: UInt32 { 128 }

  private static func bytes(of map: [XenLayout.Run]) -> [UInt8] {
    var writer = ByteWriter()
    for run in map {
      writer.little(run.address)
      writer.little(run.count)
      writer.little(run.kind)
    }
    return writer.bytes
  }
}

/// Error numbers of hypercalls (public/errno.h).
private enum XenError {
  static let notPermitted: Int32 = -1
  static let badAddress: Int32 = -14
  static let invalid: Int32 = -22
  static let unknownCall: Int32 = -38
}
