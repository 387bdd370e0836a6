internal import Synchronization

/// The machine cannot be put together as described.
public enum PCIAssignmentError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Two functions at one place.
  case duplicate(PCIAddress)
  /// The hole for base address registers is too small.
  case noSpace(PCIAddress, bar: Int, count: UInt64)

  /// What is wrong, and what to do about it.
  public var description: String {
    switch self {
    case .duplicate(let address): "two PCI functions are at \(address); give each a device number of its own"
    case .noSpace(let address, let bar, let count):
      "no room for the \(count) bytes of BAR \(bar) of PCI function \(address); widen the hole below 4 GiB"
    }
  }
}

/// PCI bus 0 with configuration mechanism #1 (PCI 3.0, 3.2.2.3.2).
///
/// Attach it as a `BusDevice` to ports 0xCF8 to 0xCFF, ask it about memory and ports that nothing else answers.
///
/// Concurrency model: safe from any thread. The functions are fixed from the start; the address latch and the table of
/// decoded windows are under `state`. Guest accesses reach a function without that lock. When decoding changes, the bus
/// asks the functions for their windows and calls `windowsChanged` under it, so that changes reach the monitor in
/// order. Lock order: bus, then function. `windowsChanged` must not call back into the bus.
public final class PCIBus: BusDevice, Sendable {
  /// One place in the window table.
  private struct Route: Sendable {
    var window: PCIWindow
    var function: PCIFunction
  }

  private struct State: Sendable {
    /// CONFIG_ADDRESS.
    var latch: UInt32 = 0
    var memory: [Route] = []
    var ports: [Route] = []
    /// Last windows told to the monitor, by function index.
    var known: [[PCIWindow]] = Array(repeating: [], count: 256)
  }

  private let functions: [PCIFunction?]
  private let state = Mutex(State())
  private let windowsChanged: @Sendable (PCIFunction, [PCIWindow]) -> Void
  private let resetControl: @Sendable (UInt8) -> Void
  private let resetLatch = Mutex(UInt8(0))

  /// A bus with `functions`.
  ///
  /// - Parameters:
  ///   - windowsChanged: told whenever what a function decodes has changed: the place to move its ioeventfds.
  ///   - resetControl: told of each write to the reset control register 0xCF9, which lies among the bus's ports.
  public init(
    functions: [(PCIAddress, PCIFunction)],
    windowsChanged: @escaping @Sendable (PCIFunction, [PCIWindow]) -> Void = { _, _ in },
    resetControl: @escaping @Sendable (UInt8) -> Void = { _ in }
  ) throws(PCIAssignmentError) {
    var table = [PCIFunction?](repeating: nil, count: 256)
    for (address, function) in functions {
      guard table[address.index] == nil else { throw .duplicate(address) }
      table[address.index] = function
    }
    self.functions = table
    self.windowsChanged = windowsChanged
    self.resetControl = resetControl
  }

  // MARK: Configuration mechanism #1

  /// Reads the register at `offset`.
  public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch (offset, width) {
    case (0, .doubleWord):
      return UInt64(state.withLock { $0.latch })
    case (1, .byte):
      return UInt64(resetLatch.withLock { $0 })
    case (4...7, .byte), (4...6, .word), (4, .doubleWord):
      guard let (function, register) = selected(offset) else { return width.mask }
      return UInt64(function.readConfiguration(at: register, width: width))
    default:
      return width.mask
    }
  }

  /// Writes the register at `offset`.
  public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    switch (offset, width) {
    case (0, .doubleWord):
      state.withLock { $0.latch = UInt32(truncatingIfNeeded: value) & 0x80FF_FFFC }
    case (1, .byte):
      let byte = UInt8(truncatingIfNeeded: value)
      resetLatch.withLock { $0 = byte & ~0x04 }
      resetControl(byte)
    case (4...7, .byte), (4...6, .word), (4, .doubleWord):
      guard let (function, register) = selected(offset) else { return }
      if function.writeConfiguration(UInt32(truncatingIfNeeded: value), at: register, width: width) {
        refreshWindows()
      }
    default:
      break
    }
  }

  /// The function and byte that an access at `offset` of the ports means.
  private func selected(_ offset: UInt64) -> (PCIFunction, Int)? {
    let latch = state.withLock { $0.latch }
    guard latch & 0x8000_0000 != 0, latch & 0x00FF_0000 == 0,
      let function = functions[Int(latch >> 8 & 0xFF)]
    else { return nil }
    return (function, Int(latch & 0xFC) + Int(offset & 3))
  }

  // MARK: Windows

  /// Reads memory at `address`; nil where no function decodes it.
  public func readMemory(at address: UInt64, width: AccessWidth) -> UInt64? {
    guard let (route, offset) = state.withLock({ Self.find($0.memory, address, width) }) else { return nil }
    return route.function.read(bar: route.window.bar, offset: offset, width: width) & width.mask
  }

  /// Writes memory at `address`; false where no function decodes it.
  @discardableResult
  public func writeMemory(_ value: UInt64, at address: UInt64, width: AccessWidth) -> Bool {
    guard let (route, offset) = state.withLock({ Self.find($0.memory, address, width) }) else { return false }
    route.function.write(value & width.mask, bar: route.window.bar, offset: offset, width: width)
    return true
  }

  /// Reads port `address`; nil where no function decodes it.
  public func readPort(at address: UInt64, width: AccessWidth) -> UInt64? {
    guard let (route, offset) = state.withLock({ Self.find($0.ports, address, width) }) else { return nil }
    return route.function.read(bar: route.window.bar, offset: offset, width: width) & width.mask
  }

  /// Writes port `address`; false where no function decodes it.
  @discardableResult
  public func writePort(_ value: UInt64, at address: UInt64, width: AccessWidth) -> Bool {
    guard let (route, offset) = state.withLock({ Self.find($0.ports, address, width) }) else { return false }
    route.function.write(value & width.mask, bar: route.window.bar, offset: offset, width: width)
    return true
  }

  /// Where a guest lets two windows overlap, the first function wins.
  private static func find(_ routes: [Route], _ address: UInt64, _ width: AccessWidth) -> (Route, UInt64)? {
    for index in routes.indices {
      let window = routes[index].window
      guard address >= window.base else { continue }
      let offset = address &- window.base
      if offset < window.count, width.count <= window.count &- offset { return (routes[index], offset) }
    }
    return nil
  }

  /// Asks every function what it decodes, and tells the monitor what has changed.
  private func refreshWindows() {
    state.withLock { state in
      state.memory.removeAll(keepingCapacity: true)
      state.ports.removeAll(keepingCapacity: true)
      for index in functions.indices {
        guard let function = functions[index] else { continue }
        let windows = function.windows
        for window in windows {
          let route = Route(window: window, function: function)
          if window.isIO { state.ports.append(route) } else { state.memory.append(route) }
        }
        if windows != state.known[index] {
          state.known[index] = windows
          windowsChanged(function, windows)
        }
      }
    }
  }

  // MARK: What firmware would do

  /// Gives every base address register an address in the holes, largest first, every function its interrupt line, and
  /// lets them decode. Direct boot needs it; firmware does it over again.
  ///
  /// - Parameters:
  ///   - memory: the hole below 4 GiB that the memory map leaves for PCI.
  ///   - ports: I/O ports that no legacy device has.
  ///   - interruptLine: the ISA interrupt of a device's INTA#, as written into its interrupt line register.
  public func assignResources(
    memory: Range<UInt64>, ports: Range<UInt64>, interruptLine: (PCIAddress) -> UInt8
  ) throws(PCIAssignmentError) {
    var requests: [(address: PCIAddress, function: PCIFunction, bar: Int, isIO: Bool, count: UInt64)] = []
    for index in functions.indices {
      guard let function = functions[index] else { continue }
      let address = PCIAddress(device: UInt8(index >> 3), function: UInt8(index & 7))
      for region in function.regions {
        requests.append((address, function, region.bar, region.region.isIO, region.count))
      }
    }
    requests.sort { ($1.count, $0.address.index, $0.bar) < ($0.count, $1.address.index, $1.bar) }
    var next = (memory: memory.lowerBound, ports: ports.lowerBound)
    for request in requests {
      let limit = request.isIO ? ports.upperBound : memory.upperBound
      // Memory windows get a page of their own: KVM and guests map by pages.
      let alignment = request.isIO ? request.count : max(request.count, 4096)
      let base = ((request.isIO ? next.ports : next.memory) + alignment - 1) & ~(alignment - 1)
      guard base <= limit, request.count <= limit - base else {
        throw .noSpace(request.address, bar: request.bar, count: request.count)
      }
      if request.isIO { next.ports = base + request.count } else { next.memory = base + request.count }
      request.function.assign(bar: request.bar, address: base)
    }
    for index in functions.indices {
      let address = PCIAddress(device: UInt8(index >> 3), function: UInt8(index & 7))
      functions[index]?.enable(interruptLine: interruptLine(address))
    }
    refreshWindows()
  }

  /// Which of the four PIRQ wires (0 is PIRQA) pin `pin` (1 is INTA#) of a device reaches on the i440FX board:
  /// the swizzle that its ACPI and MP tables describe too.
  public static func wire(device: UInt8, pin: UInt8 = 1) -> Int {
    (Int(device) + Int(pin) + 2) & 3
  }
}
