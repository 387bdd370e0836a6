import Fuzzing

@testable import Devices

/// Devices on their buses, upon which an input acts as a guest and its host do: each byte of it that begins an
/// operation has the kind in its low half and the width of an access in the two bits above.
final class Rig {
  enum Operation: UInt8 {
    case write, read, writeRun, readRun, writeConfiguration, readConfiguration, writeWindow, readWindow, poke, anywhere
    /// The first of six; more kinds than a device has events begin again from the first.
    case event
  }

  /// What answers a range of ports or of memory beside PCI.
  private struct Range: BusDevice {
    let device: any BusDevice

    func read(at offset: UInt64, width: AccessWidth) -> UInt64 { device.read(at: offset, width: width) }
    func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      device.write(value, at: offset, width: width)
    }
    func readRun(at offset: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>) {
      device.readRun(at: offset, width: width, into: &destination)
    }
    func writeRun(_ source: Span<UInt8>, at offset: UInt64, width: AccessWidth) {
      device.writeRun(source, at: offset, width: width)
    }
  }

  typealias Event = (inout Input) throws -> Void

  static let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]

  private let memory: TestMemory
  private let pci: PCIBus?
  private let functions: [(address: PCIAddress, function: PCIFunction)]
  private var bus = Bus<Range>()
  private var lengths: [UInt64] = []
  private let events: [Event]

  init(
    memory: TestMemory = TestMemory(count: 4096), pci: PCIBus? = nil,
    functions: [(address: PCIAddress, function: PCIFunction)] = [],
    ranges: [(device: any BusDevice, count: UInt64)] = [], events: [Event] = []
  ) throws {
    self.memory = memory
    self.pci = pci
    self.functions = functions
    self.events = events
    for range in ranges {
      try bus.attach(Range(device: range.device), at: UInt64(lengths.count) << 32, count: range.count)
      lengths.append(range.count)
    }
  }

  /// Every operation of the input. Errors of guest memory are the guest's.
  func run(_ input: inout Input) {
    while !input.isEmpty { try? step(&input) }
  }

  private func step(_ input: inout Input) throws {
    let code = input.byte()
    let width = Self.widths[Int(code >> 4 & 3)]
    guard let operation = Operation(rawValue: code & 0x0F), operation != .event else {
      return try events.isEmpty ? () : events[Int(code & 0x0F - Operation.event.rawValue) % events.count](&input)
    }
    switch operation {
    case .write:
      let address = address(&input)
      bus.write(input.integer(width.rawValue), at: address, width: width)
    case .read: _ = bus.read(at: address(&input), width: width)
    case .writeRun:
      let address = address(&input)
      var bytes = input.take(Int(input.byte()) * width.rawValue)
      bytes.removeLast(bytes.count % width.rawValue)
      bus.writeRun(bytes.span, at: address, width: width)
    case .readRun:
      let address = address(&input)
      var bytes = [UInt8](repeating: 0, count: Int(input.byte()) * width.rawValue)
      var span = bytes.mutableSpan
      bus.readRun(at: address, width: width, into: &span)
    case .writeConfiguration:
      let port = selectConfiguration(&input)
      pci?.write(input.integer(width.rawValue), at: port, width: width)
    case .readConfiguration: _ = pci?.read(at: selectConfiguration(&input), width: width)
    case .writeWindow:
      guard let window = window(&input) else { return }
      let value = input.integer(width.rawValue)
      if window.isIO {
        pci?.writePort(value, at: window.address, width: width)
      } else {
        pci?.writeMemory(value, at: window.address, width: width)
      }
    case .readWindow:
      guard let window = window(&input) else { return }
      _ =
        window.isIO
        ? pci?.readPort(at: window.address, width: width) : pci?.readMemory(at: window.address, width: width)
    case .poke:
      let address = GuestAddress(input.integer(2) << 4)
      try memory.write(input.run(), at: address)
    case .anywhere:
      let address = input.integer(8)
      pci?.writeMemory(address, at: address, width: width)
      pci?.writePort(address, at: address & 0xFFFF, width: width)
      _ = pci?.readMemory(at: address, width: width)
      _ = pci?.readPort(at: address & 0xFFFF, width: width)
    case .event: break
    }
  }

  /// Somewhere in a range: its number, and one or three bytes of offset as its length needs.
  private func address(_ input: inout Input) -> UInt64 {
    guard !lengths.isEmpty else { return 0 }
    let range = input.index(lengths.count)
    return UInt64(range) << 32 | input.integer(lengths[range] > 256 ? 3 : 1) % lengths[range]
  }

  /// Selects a function's register; the port where its data is.
  private func selectConfiguration(_ input: inout Input) -> UInt64 {
    let address = functions.isEmpty ? PCIAddress(device: 0) : functions[input.index(functions.count)].address
    let register = UInt64(input.byte())
    pci?.write(0x8000_0000 | UInt64(address.index) << 8 | register & 0xFC, at: 0, width: .doubleWord)
    return 4 + (register & 3)
  }

  /// Somewhere in what a function decodes now.
  private func window(_ input: inout Input) -> (isIO: Bool, address: UInt64)? {
    guard !functions.isEmpty else { return nil }
    let windows = functions[input.index(functions.count)].function.windows
    let (number, offset) = (Int(input.byte()), input.integer(3))
    guard !windows.isEmpty else { return nil }
    let window = windows[number % windows.count]
    return (window.isIO, window.base &+ offset % max(1, window.count))
  }
}

/// Writes what `Rig` reads.
struct Script {
  private(set) var bytes: [UInt8]

  init(_ start: [UInt8] = []) {
    bytes = start
  }

  private mutating func begin(_ operation: Rig.Operation, _ width: AccessWidth) {
    bytes.append(operation.rawValue | UInt8(width.rawValue.trailingZeroBitCount) << 4)
  }

  mutating func number(_ value: UInt64, _ count: Int) {
    for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }

  /// A write to a range of at most 256 addresses.
  mutating func write(_ range: UInt8, _ offset: UInt8, _ value: UInt64, _ width: AccessWidth = .byte) {
    begin(.write, width)
    bytes += [range, offset]
    number(value, width.rawValue)
  }

  mutating func read(_ range: UInt8, _ offset: UInt8, _ width: AccessWidth = .byte) {
    begin(.read, width)
    bytes += [range, offset]
  }

  mutating func readRun(_ range: UInt8, _ offset: UInt8, _ count: UInt8, _ width: AccessWidth) {
    begin(.readRun, width)
    bytes += [range, offset, count]
  }

  mutating func writeRun(_ range: UInt8, _ offset: UInt8, _ data: [UInt8], _ width: AccessWidth) {
    begin(.writeRun, width)
    bytes += [range, offset, UInt8(truncatingIfNeeded: data.count / width.rawValue)] + data
  }

  /// A write to a longer range.
  mutating func writeFar(_ range: UInt8, _ offset: UInt64, _ value: UInt64, _ width: AccessWidth = .byte) {
    begin(.write, width)
    bytes.append(range)
    number(offset, 3)
    number(value, width.rawValue)
  }

  mutating func readFar(_ range: UInt8, _ offset: UInt64, _ width: AccessWidth = .byte) {
    begin(.read, width)
    bytes.append(range)
    number(offset, 3)
  }

  mutating func configure(_ function: UInt8, _ register: UInt8, _ value: UInt64, _ width: AccessWidth) {
    begin(.writeConfiguration, width)
    bytes += [function, register]
    number(value, width.rawValue)
  }

  mutating func readConfiguration(_ function: UInt8, _ register: UInt8, _ width: AccessWidth) {
    begin(.readConfiguration, width)
    bytes += [function, register]
  }

  mutating func writeWindow(
    _ function: UInt8, _ window: UInt8, _ offset: UInt64, _ value: UInt64, _ width: AccessWidth = .doubleWord
  ) {
    begin(.writeWindow, width)
    bytes += [function, window]
    number(offset, 3)
    number(value, width.rawValue)
  }

  mutating func readWindow(
    _ function: UInt8, _ window: UInt8, _ offset: UInt64, _ width: AccessWidth = .doubleWord
  ) {
    begin(.readWindow, width)
    bytes += [function, window]
    number(offset, 3)
  }

  /// Bytes into guest memory, at a multiple of 16.
  mutating func poke(_ address: UInt64, _ data: [UInt8]) {
    begin(.poke, .byte)
    number(address >> 4, 2)
    bytes.append(UInt8(truncatingIfNeeded: data.count))
    bytes += data
  }

  mutating func event(_ number: UInt8, _ data: [UInt8] = []) {
    bytes.append(Rig.Operation.event.rawValue + number)
    bytes += data
  }
}
