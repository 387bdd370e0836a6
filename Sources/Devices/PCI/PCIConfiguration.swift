/// Where a function sits on the bus (PCI 3.0, 3.2.2.3.2). Bus 0 is the only bus.
public struct PCIAddress: Hashable, Sendable, CustomStringConvertible {
  /// Device number, 0 to 31.
  public let device: UInt8
  /// Function number, 0 to 7.
  public let function: UInt8

  /// Device and function, of which the low five and three bits count.
  public init(device: UInt8, function: UInt8 = 0) {
    self.device = device & 31
    self.function = function & 7
  }

  /// Index into a table of 256 functions.
  var index: Int { Int(device) << 3 | Int(function) }

  /// Bus, device and function, as lspci prints them.
  public var description: String { "00:\(String(device, radix: 16)).\(function)" }
}

/// What a base address register decodes (PCI 3.0, 6.2.5.1).
public enum PCIRegion: Hashable, Sendable {
  case io
  case memory32(prefetchable: Bool)
  case memory64(prefetchable: Bool)

  /// Whether the register is in the I/O space.
  public var isIO: Bool { self == .io }

  /// The read-only low bits of the register.
  var typeBits: UInt32 {
    switch self {
    case .io: 0x1
    case .memory32(let prefetchable): prefetchable ? 0x8 : 0x0
    case .memory64(let prefetchable): prefetchable ? 0xC : 0x4
    }
  }
}

/// A range of addresses that a function decodes now.
public struct PCIWindow: Hashable, Sendable {
  /// Index of the base address register.
  public let bar: Int
  /// Whether it is in the I/O space.
  public let isIO: Bool
  /// First address.
  public let base: UInt64
  /// Length in bytes.
  public let count: UInt64
}

/// The 256 bytes of a function's configuration space with the masks that say which bits software may write
/// (PCI 3.0, chapter 6). A value type; its function guards it.
public struct PCIConfiguration: Sendable {
  /// Identity of a function (PCI 3.0, 6.2.1).
  public struct Identity: Sendable {
    /// Vendor ID.
    public var vendor: UInt16
    /// Device ID.
    public var device: UInt16
    /// Revision ID.
    public var revision: UInt8
    /// Base class, subclass and interface as 0xCCSSII.
    public var classCode: UInt32
    /// Subsystem vendor ID.
    public var subsystemVendor: UInt16
    /// Subsystem ID.
    public var subsystem: UInt16
    /// Header type: 0x80 for a device of several functions.
    public var headerType: UInt8

    /// An identity.
    public init(
      vendor: UInt16, device: UInt16, revision: UInt8, classCode: UInt32, subsystemVendor: UInt16 = 0,
      subsystem: UInt16 = 0, headerType: UInt8 = 0
    ) {
      self.vendor = vendor
      self.device = device
      self.revision = revision
      self.classCode = classCode
      self.subsystemVendor = subsystemVendor
      self.subsystem = subsystem
      self.headerType = headerType
    }
  }

  /// Command register bits (PCI 3.0, 6.2.2).
  enum Command {
    static let io: UInt16 = 1 << 0
    static let memory: UInt16 = 1 << 1
    static let busMaster: UInt16 = 1 << 2
    static let interruptDisable: UInt16 = 1 << 10
    /// I/O, memory, bus master, parity, SERR#, interrupt disable.
    static let writable: UInt16 = 0x0547
  }

  static let commandOffset = 0x04
  static let statusOffset = 0x06
  static let interruptLineOffset = 0x3C
  static let interruptPinOffset = 0x3D
  static let capabilitiesOffset = 0x34

  struct Bar: Sendable {
    var region: PCIRegion
    var count: UInt64
  }

  private var bytes: [UInt8]
  private var writable: [UInt8]
  /// By register index; the upper half of a 64-bit register has no entry.
  private(set) var bars: [Bar?] = Array(repeating: nil, count: 6)
  private var nextCapability = 0x40
  private var lastCapabilityPointer = PCIConfiguration.capabilitiesOffset

  /// A type 0 header.
  public init(_ identity: Identity, interruptPin: UInt8 = 0) {
    bytes = [UInt8](repeating: 0, count: 256)
    writable = [UInt8](repeating: 0, count: 256)
    set(UInt32(identity.vendor) | UInt32(identity.device) << 16, at: 0x00)
    set(UInt32(identity.revision) | identity.classCode << 8, at: 0x08)
    bytes[0x0E] = identity.headerType
    set(UInt32(identity.subsystemVendor) | UInt32(identity.subsystem) << 16, at: 0x2C)
    bytes[Self.interruptPinOffset] = interruptPin
    setWritable(UInt32(Command.writable), at: Self.commandOffset)
    writable[0x0C] = 0xFF  // cache line size
    writable[Self.interruptLineOffset] = 0xFF
  }

  // MARK: For the function's author; offsets here are constants of the program, not the guest's.

  /// Sets the 32 bits at `offset`, writable or not.
  public mutating func set(_ value: UInt32, at offset: Int) {
    for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }

  /// Sets the byte at `offset`, writable or not.
  public mutating func setByte(_ value: UInt8, at offset: Int) {
    bytes[offset] = value
  }

  /// Which of the 32 bits at `offset` software may write.
  public mutating func setWritable(_ mask: UInt32, at offset: Int) {
    for index in 0..<4 { writable[offset + index] = UInt8(truncatingIfNeeded: mask >> (8 * index)) }
  }

  /// The 32 bits at `offset`.
  public func value(at offset: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(bytes[offset + index]) << (8 * index) }
    return value
  }

  /// Declares base address register `index`, which decodes `count` bytes: a power of two, at least 16 for memory and
  /// 4 for I/O.
  public mutating func addBar(_ index: Int, _ region: PCIRegion, count: UInt64) {
    precondition(count & (count - 1) == 0 && count >= (region.isIO ? 4 : 16), "BAR size is no power of two")
    bars[index] = Bar(region: region, count: count)
    let offset = 0x10 + 4 * index
    set(region.typeBits, at: offset)
    setWritable(UInt32(truncatingIfNeeded: ~(count - 1)), at: offset)
    if case .memory64 = region {
      setWritable(UInt32(truncatingIfNeeded: ~(count - 1) >> 32), at: offset + 4)
    }
  }

  /// Appends a capability (PCI 3.0, 6.7) of `id` whose bytes after the two header bytes are `body`; `mask` says which
  /// bits of the body software may write. Returns its offset.
  @discardableResult
  public mutating func addCapability(id: UInt8, body: [UInt8], writable mask: [UInt8] = []) -> Int {
    let offset = nextCapability
    bytes[lastCapabilityPointer] = UInt8(truncatingIfNeeded: offset)
    bytes[offset] = id
    for (index, byte) in body.enumerated() { bytes[offset + 2 + index] = byte }
    for (index, byte) in mask.enumerated() { writable[offset + 2 + index] = byte }
    lastCapabilityPointer = offset + 1
    nextCapability = (offset + 2 + body.count + 3) & ~3
    bytes[Self.statusOffset] |= 0x10  // capabilities list
    return offset
  }

  /// Address that register `index` holds, whether or not it is decoded.
  func barAddress(_ index: Int) -> UInt64 {
    guard let bar = bars[index] else { return 0 }
    let low = value(at: 0x10 + 4 * index)
    switch bar.region {
    case .io: return UInt64(low & ~0x3)
    case .memory32: return UInt64(low & ~0xF)
    case .memory64: return UInt64(low & ~0xF) | UInt64(value(at: 0x14 + 4 * index)) << 32
    }
  }

  /// Puts register `index` at `address`.
  mutating func setBarAddress(_ address: UInt64, at index: Int) {
    guard let bar = bars[index] else { return }
    let offset = 0x10 + 4 * index
    set(UInt32(truncatingIfNeeded: address & ~(bar.count - 1)) | bar.region.typeBits, at: offset)
    if case .memory64 = bar.region { set(UInt32(truncatingIfNeeded: address >> 32), at: offset + 4) }
  }

  /// The command register.
  var command: UInt16 {
    get { UInt16(truncatingIfNeeded: value(at: Self.commandOffset)) }
    set {
      bytes[Self.commandOffset] = UInt8(truncatingIfNeeded: newValue)
      bytes[Self.commandOffset + 1] = UInt8(truncatingIfNeeded: newValue >> 8)
    }
  }

  /// Interrupt Status: the function wants its wire high, whether or not Interrupt Disable lets it (PCI 3.0, 6.2.3).
  var interruptStatus: Bool {
    get { bytes[Self.statusOffset] & 0x08 != 0 }
    set { bytes[Self.statusOffset] = bytes[Self.statusOffset] & ~0x08 | (newValue ? 0x08 : 0) }
  }

  /// What is decoded now. A register at address 0 or one whose range leaves its space decodes nothing.
  var windows: [PCIWindow] {
    var result: [PCIWindow] = []
    for (index, bar) in bars.enumerated() {
      guard let bar, command & (bar.region.isIO ? Command.io : Command.memory) != 0 else { continue }
      let base = barAddress(index)
      let (last, overflow) = base.addingReportingOverflow(bar.count - 1)
      guard base != 0, !overflow, last <= (bar.region.isIO ? 0xFFFF : UInt64(1) << 52 - 1) else { continue }
      result.append(PCIWindow(bar: index, isIO: bar.region.isIO, base: base, count: bar.count))
    }
    return result
  }

  // MARK: For the guest

  /// Reads `width` bytes at `offset`; what is outside or crosses a 32-bit boundary reads as ones.
  func read(at offset: Int, width: AccessWidth) -> UInt32 {
    guard offset >= 0, offset + width.rawValue <= 256, offset & 3 + width.rawValue <= 4 else {
      return UInt32(truncatingIfNeeded: width.mask)
    }
    var value: UInt32 = 0
    for index in 0..<width.rawValue { value |= UInt32(bytes[offset + index]) << (8 * index) }
    return value
  }

  /// Writes `width` bytes at `offset`: writable bits change, the others stay.
  mutating func write(_ value: UInt32, at offset: Int, width: AccessWidth) {
    guard offset >= 0, offset + width.rawValue <= 256, offset & 3 + width.rawValue <= 4 else { return }
    for index in 0..<width.rawValue {
      let mask = writable[offset + index]
      let byte = UInt8(truncatingIfNeeded: value >> (8 * index))
      bytes[offset + index] = bytes[offset + index] & ~mask | byte & mask
    }
  }
}
