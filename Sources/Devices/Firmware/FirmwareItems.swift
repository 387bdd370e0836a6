internal import Binary

/// Why an item cannot be offered to firmware.
public enum FirmwareConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Names have 1 to 55 bytes, and none of them is NUL.
  case badName(String)
  /// Two files of one name.
  case duplicate(String)
  /// More files than there are keys, or one of 4 GiB and more.
  case tooMuch(String)

  /// What is wrong, and what to do about it.
  public var description: String {
    switch self {
    case .badName(let name): "\"\(name)\" is no name for a file that firmware reads; give 1 to 55 bytes without NUL"
    case .duplicate(let name): "firmware is given two files named \(name); give each a name of its own"
    case .tooMuch(let name): "\(name) is one file too many for firmware, or too long; offer fewer, below 4 GiB each"
    }
  }
}

/// The items of a `FirmwareConfiguration`: those with keys of their own, and named files. QEMU, docs/specs/fw_cfg.rst.
public struct FirmwareItems: Sendable {
  /// Keys that have no name. Integers are little-endian. QEMU, include/standard-headers/linux/qemu_fw_cfg.h.
  public enum Key: UInt16, Sendable {
    case signature = 0x00
    case interface = 0x01
    /// Sixteen bytes.
    case uuid = 0x02
    /// Eight bytes: RAM in all, in bytes.
    case memorySize = 0x03
    /// Two bytes: 1 has SeaBIOS use the serial port for want of a screen.
    case noGraphics = 0x04
    /// Two bytes.
    case cpuCount = 0x05
    /// Two bytes: 1 shows SeaBIOS's boot menu prompt.
    case bootMenu = 0x0E
    /// Two bytes: APIC ids are below this number.
    case maximumCPUs = 0x0F
    case directory = 0x19
    /// One byte: 1 says that ISA interrupt 0 reaches pin 2 of the I/O APIC, for SeaBIOS's MP table.
    case timerOverride = 0x8002
  }

  struct File: Sendable {
    var name: [UInt8]
    var count: Int
    var source: Source
  }

  enum Source: Sendable {
    case bytes([UInt8])
    case generated(group: Int, index: Int)
  }

  private(set) var keyed: [UInt16: [UInt8]] = [:]
  private(set) var files: [File] = []
  private(set) var generators: [@Sendable () -> [[UInt8]]] = []

  /// Files have keys from 0x20 to 0x3FFF.
  static let firstFile = 0x20
  static let fileLimit = 0x3FE0

  /// Nothing but the signature and the interface's version: ports and DMA.
  public init() {
    set(.signature, Array("QEMU".utf8))
    set(.interface, 3 as UInt32)
  }

  /// Offers `bytes` under a key.
  public mutating func set(_ key: Key, _ bytes: [UInt8]) {
    keyed[key.rawValue] = bytes
  }

  /// Offers an integer, least significant byte first.
  public mutating func set<T: FixedWidthInteger & Sendable>(_ key: Key, _ value: T) {
    var writer = ByteWriter()
    writer.little(value)
    set(key, writer.bytes)
  }

  /// Offers what every PC has: identity, RAM and processors.
  ///
  /// - Parameters:
  ///   - uuid: sixteen bytes, in the order they are written.
  ///   - memory: bytes of RAM.
  ///   - cpus: how many there are; APIC ids count from 0.
  ///   - hasScreen: whether there is a VGA; without one SeaBIOS's screen goes to the first serial port.
  public mutating func setMachine(uuid: [UInt8], memory: UInt64, cpus: Int, hasScreen: Bool) {
    set(.uuid, uuid)
    set(.memorySize, memory)
    set(.noGraphics, UInt16(hasScreen ? 0 : 1))
    set(.cpuCount, UInt16(truncatingIfNeeded: cpus))
    set(.maximumCPUs, UInt16(truncatingIfNeeded: cpus))
    set(.bootMenu, 0 as UInt16)
    set(.timerOverride, 1 as UInt8)
  }

  /// Offers a named file.
  public mutating func add(_ name: String, _ bytes: [UInt8]) throws(FirmwareConfigurationError) {
    try add(name, count: bytes.count, .bytes(bytes))
  }

  /// Offers files that are made when one of them is first selected, all at the same time: ACPI tables say what
  /// firmware did to PCI. The directory tells their lengths long before that, so they are fixed: what is too short is
  /// filled up with zeros, what is too long is cut.
  ///
  /// - Parameters:
  ///   - files: names and lengths in bytes.
  ///   - make: the contents, in the order of `files`. Called on the thread of a vCPU with the device's lock held: it
  ///     must not use the device, and may ask the PCI bus.
  public mutating func addGenerated(
    _ files: [(name: String, count: Int)], make: @escaping @Sendable () -> [[UInt8]]
  ) throws(FirmwareConfigurationError) {
    for (index, file) in files.enumerated() {
      try add(file.name, count: file.count, .generated(group: generators.count, index: index))
    }
    generators.append(make)
  }

  private mutating func add(_ name: String, count: Int, _ source: Source) throws(FirmwareConfigurationError) {
    let bytes = Array(name.utf8)
    guard (1...55).contains(bytes.count), !bytes.contains(0) else { throw .badName(name) }
    guard !files.contains(where: { $0.name == bytes }) else { throw .duplicate(name) }
    guard files.count < Self.fileLimit, UInt32(exactly: count) != nil else { throw .tooMuch(name) }
    files.append(File(name: bytes, count: count, source: source))
  }
}
