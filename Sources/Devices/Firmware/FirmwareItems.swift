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

/// What firmware reads when it selects an item.
public enum FirmwareContent: Sendable {
  /// These bytes.
  case bytes([UInt8])
  /// `count` bytes that are fetched when they are read: kernels and images. `read` is given an offset and a length
  /// within `count`, and what it returns too little reads as zero. Called on the thread of a vCPU.
  case reader(count: Int, read: @Sendable (_ offset: Int, _ count: Int) -> [UInt8])
  /// Bytes that the guest may overwrite, wholly or in part; `written` is told all of them after each write.
  case writable([UInt8], written: @Sendable ([UInt8]) -> Void)
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
    case kernelAddress = 0x07
    case kernelSize = 0x08
    case initrdAddress = 0x0A
    case initrdSize = 0x0B
    case numa = 0x0D
    /// Two bytes: 1 shows SeaBIOS's boot menu prompt.
    case bootMenu = 0x0E
    /// Two bytes: APIC ids are below this number.
    case maximumCPUs = 0x0F
    case kernelEntry = 0x10
    case kernelData = 0x11
    case initrdData = 0x12
    case commandLineAddress = 0x13
    case commandLineSize = 0x14
    case commandLineData = 0x15
    case setupAddress = 0x16
    case setupSize = 0x17
    case setupData = 0x18
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
    case content(FirmwareContent)
    case generated(group: Int, index: Int)
  }

  private(set) var keyed: [UInt16: FirmwareContent] = [:]
  private(set) var files: [File] = []
  private(set) var generators: [@Sendable () -> [[UInt8]]] = []

  /// Files have keys from 0x20 to 0x3FFF.
  static let firstFile = 0x20
  static let fileLimit = 0x3FE0

  /// Nothing but the signature and the interface's version: ports and DMA.
  public init() {
    set(.signature, .bytes(Array("QEMU".utf8)))
    set(.interface, 3 as UInt32)
  }

  /// Offers `content` under a key.
  public mutating func set(_ key: Key, _ content: FirmwareContent) {
    keyed[key.rawValue] = content
  }

  /// Offers an integer, least significant byte first.
  public mutating func set<T: FixedWidthInteger & Sendable>(_ key: Key, _ value: T) {
    var writer = ByteWriter()
    writer.little(value)
    set(key, .bytes(writer.bytes))
  }

  /// Offers what every PC has: identity, RAM and processors.
  ///
  /// - Parameters:
  ///   - uuid: sixteen bytes, in the order they are written.
  ///   - memory: bytes of RAM.
  ///   - cpus: how many there are; APIC ids count from 0.
  ///   - hasScreen: whether there is a VGA; without one SeaBIOS's screen goes to the first serial port.
  public mutating func setMachine(uuid: [UInt8], memory: UInt64, cpus: Int, hasScreen: Bool) {
    set(.uuid, .bytes(uuid))
    set(.memorySize, memory)
    set(.noGraphics, UInt16(hasScreen ? 0 : 1))
    set(.cpuCount, UInt16(truncatingIfNeeded: cpus))
    set(.maximumCPUs, UInt16(truncatingIfNeeded: cpus))
    set(.bootMenu, 0 as UInt16)
    set(.timerOverride, 1 as UInt8)
  }

  /// Offers a Linux bzImage, which OVMF starts by itself and SeaBIOS through an option ROM. Its setup part is the boot
  /// sector and `setup_sects` sectors more (Linux, Documentation/arch/x86/boot.rst, 1.1).
  ///
  /// - Parameters:
  ///   - setup: the first `(setup_sects + 1) * 512` bytes.
  ///   - kernel: what follows them.
  ///   - initrd: nothing, where there is none.
  ///   - commandLine: without its NUL.
  public mutating func setKernel(
    setup: [UInt8], kernel: FirmwareContent, initrd: FirmwareContent?, commandLine: String
  ) {
    set(.setupSize, UInt32(truncatingIfNeeded: setup.count))
    set(.setupData, .bytes(setup))
    set(.setupAddress, 0x1_0000 as UInt32)
    set(.kernelSize, UInt32(truncatingIfNeeded: kernel.count))
    set(.kernelData, kernel)
    set(.kernelAddress, 0x10_0000 as UInt32)
    set(.initrdSize, UInt32(truncatingIfNeeded: initrd?.count ?? 0))
    set(.initrdData, initrd ?? .bytes([]))
    let line = Array(commandLine.utf8) + [0]
    set(.commandLineSize, UInt32(truncatingIfNeeded: line.count))
    set(.commandLineData, .bytes(line))
    set(.commandLineAddress, 0x2_0000 as UInt32)
  }

  /// Offers a named file.
  public mutating func add(_ name: String, _ content: FirmwareContent) throws(FirmwareConfigurationError) {
    try add(name, count: content.count, .content(content))
  }

  /// Offers files that are made when one of them is first selected after a reset, all at the same time: ACPI tables
  /// say what firmware did to PCI. The directory tells their lengths long before that, so they are fixed: what is too
  /// short is filled up with zeros, what is too long is cut.
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

extension FirmwareContent {
  /// Length in bytes.
  public var count: Int {
    switch self {
    case .bytes(let bytes), .writable(let bytes, _): bytes.count
    case .reader(let count, _): max(0, count)
    }
  }

  /// The `count` bytes at `offset`, which lie within it.
  func read(at offset: Int, count: Int) -> [UInt8] {
    switch self {
    case .bytes(let bytes), .writable(let bytes, _): return Array(bytes[offset..<(offset + count)])
    case .reader(_, let read):
      var bytes = Array(read(offset, count).prefix(count))
      bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
      return bytes
    }
  }
}
