/// What a kernel's Multiboot header says, of either version.
///
/// Multiboot Specification 0.6.96, 3.1; Multiboot2 Specification 2.0, 3.1.
struct MultibootHeader: Hashable {
  /// Addresses for a kernel that is not ELF, or does not want to be loaded as such.
  struct Addresses: Hashable {
    /// Byte of the file that goes to `load`.
    var fileOffset: Int
    var load: UInt64
    var fileBytes: Int
    var memoryBytes: UInt64
  }

  /// Where a position-independent kernel may lie (2.0, 3.1.13).
  struct Relocation: Hashable {
    var minimum: UInt64
    /// The last byte of the kernel may be here.
    var maximum: UInt64
    var alignment: UInt64
    /// 0 none, 1 lowest, 2 highest.
    var preference: UInt32
  }

  /// 1 or 2.
  let version: Int
  /// Byte of the file where the header begins.
  let offset: Int
  /// nil: the kernel is an ELF file.
  private(set) var addresses: Addresses?
  /// Physical; nil: ELF's.
  private(set) var entry: UInt64?
  private(set) var framebuffer: FramebufferRequest?
  private(set) var relocation: Relocation?
  private var needsConsole = false

  private static let magic1: UInt32 = 0x1BAD_B002
  private static let magic2: UInt32 = 0xE852_50D6

  /// Whether the file has a header of either version.
  static func isPresent(in image: some ImageSource) -> Bool {
    (try? find(in: image)) != nil
  }

  /// Finds and reads the header, version 2's where the file has both; throws when there is none, or one that asks for
  /// what cannot be had.
  init(_ image: some ImageSource) throws(HypervisorError) {
    guard let (version, offset) = try Self.find(in: image) else {
      throw HypervisorError(
        .image, "the file has no Multiboot header: neither version 1 in its first 8192 bytes nor 2 in 32768", offset: 0)
    }
    self.version = version
    self.offset = offset
    if version == 2 { try readTags(image) } else { try readFields(image) }
    framebuffer?.isRequired = needsConsole
  }

  /// Version and offset of the first header whose checksum holds.
  private static func find(in image: some ImageSource) throws(HypervisorError) -> (version: Int, offset: Int)? {
    let head = BytesImage(try image.bytes(at: 0, count: min(image.count, 32768)))
    for offset in stride(from: 0, through: head.count - 16, by: 8) where try head.little(at: offset) == magic2 {
      var sum: UInt32 = 0
      for word in 0..<4 { sum &+= try head.little(UInt32.self, at: offset + word * 4) }
      if sum == 0 { return (2, offset) }
    }
    for offset in stride(from: 0, through: min(head.count, 8192) - 12, by: 4)
    where try head.little(at: offset) == magic1 {
      let sum = try magic1 &+ head.little(at: offset + 4) &+ head.little(at: offset + 8)
      if sum == 0 { return (1, offset) }
    }
    return nil
  }

  // MARK: Version 1

  private mutating func readFields(_ image: some ImageSource) throws(HypervisorError) {
    let flags = try image.little(UInt32.self, at: offset + 4)
    // Bits 0 to 15 are requirements: pages, memory, video mode.
    guard flags & 0xFFFF & ~0x7 == 0 else {
      throw HypervisorError(
        .image, "the kernel's Multiboot header requires features that do not exist (flags \(hex(flags)))",
        offset: offset + 4)
    }
    if flags & 1 << 16 != 0 {
      var words: [UInt32] = []
      for index in 0..<5 { words.append(try image.little(at: offset + 12 + index * 4)) }
      try setAddresses(
        header: words[0], load: words[1], loadEnd: words[2], bssEnd: words[3], loadsWholeFile: false, image)
      entry = UInt64(words[4])
    }
    if flags & 4 != 0, image.count - offset >= 48 {
      framebuffer = FramebufferRequest(
        isText: try image.little(UInt32.self, at: offset + 32) == 1,
        width: Int(try image.little(UInt32.self, at: offset + 36)),
        height: Int(try image.little(UInt32.self, at: offset + 40)),
        depth: Int(try image.little(UInt32.self, at: offset + 44)))
    }
  }

  private mutating func setAddresses(
    header: UInt32, load: UInt32, loadEnd: UInt32, bssEnd: UInt32, loadsWholeFile: Bool, _ image: some ImageSource
  ) throws(HypervisorError) {
    let damaged = HypervisorError(
      .image, "the addresses of the kernel's Multiboot header make no sense: the file is damaged", offset: offset)
    // The header lies as far behind the load address as it lies behind the first byte that is loaded.
    let load = loadsWholeFile ? Int(header) - offset : Int(load)
    let fileOffset = offset - (Int(header) - load)
    guard load >= 0, Int(header) >= load, fileOffset >= 0 else { throw damaged }
    let fileBytes = loadEnd == 0 ? image.count - fileOffset : Int(loadEnd) - load
    guard fileBytes > 0 else { throw damaged }
    try image.check(fileOffset, fileBytes)
    let memoryBytes = bssEnd == 0 ? fileBytes : Int(bssEnd) - load
    guard memoryBytes >= fileBytes else { throw damaged }
    addresses = Addresses(
      fileOffset: fileOffset, load: UInt64(load), fileBytes: fileBytes, memoryBytes: UInt64(memoryBytes))
  }

  // MARK: Version 2

  private mutating func readTags(_ image: some ImageSource) throws(HypervisorError) {
    let architecture = try image.little(UInt32.self, at: offset + 4)
    guard architecture == 0 else {
      throw HypervisorError(
        .image, "the kernel's Multiboot header is for architecture \(architecture), not for x86", offset: offset + 4)
    }
    let length = Int(try image.little(UInt32.self, at: offset + 8))
    guard length >= 16, length <= 32768 - offset else {
      throw HypervisorError(
        .image, "the kernel's Multiboot header has an impossible length: the file is damaged", offset: offset + 8)
    }
    let header = BytesImage(try image.bytes(at: offset, count: length))
    var at = 16
    while at + 8 <= length {
      let type = try header.little(UInt16.self, at: at)
      let size = Int(try header.little(UInt32.self, at: at + 4))
      if type == 0 { return }
      guard size >= 8, size <= length - at else {
        throw HypervisorError(
          .image, "a tag of the kernel's Multiboot header has an impossible size: the file is damaged",
          offset: offset + at + 4)
      }
      let isOptional = try header.little(UInt16.self, at: at + 2) & 1 != 0
      try read(tag: type, isOptional: isOptional, BytesImage(try header.bytes(at: at, count: size)), at: at, image)
      at += (size + 7) & ~7
    }
  }

  private mutating func read(
    tag type: UInt16, isOptional: Bool, _ tag: BytesImage, at: Int, _ image: some ImageSource
  ) throws(HypervisorError) {
    func word(_ index: Int) throws(HypervisorError) -> UInt32 {
      do throws(HypervisorError) {
        return try tag.little(at: 8 + index * 4)
      } catch {
        throw HypervisorError(
          .image, "tag \(type) of the kernel's Multiboot header is too short: the file is damaged", offset: offset + at)
      }
    }
    switch type {
    case 1:  // information request
      guard !isOptional else { return }
      for index in 0..<((tag.count - 8) / 4) {
        let wanted = try word(index)
        // Tags that the specification knows are present where this machine has such a thing, and absent otherwise.
        guard (1...21).contains(wanted) else {
          throw HypervisorError(
            .image, "the kernel requires information that does not exist (Multiboot tag \(wanted))",
            offset: offset + at + 8 + index * 4)
        }
      }
    case 2:
      try setAddresses(
        header: word(0), load: word(1), loadEnd: word(2), bssEnd: word(3), loadsWholeFile: word(1) == .max, image)
    case 3: entry = UInt64(try word(0))
    case 4:  // console flags: bit 0 a console is required, bit 1 text is understood
      let flags = try word(0)
      needsConsole = flags & 1 != 0 && !isOptional
      if flags & 2 != 0, framebuffer == nil { framebuffer = FramebufferRequest(isText: true) }
    case 5:  // a recommendation; only the console flags make it more
      framebuffer = FramebufferRequest(
        width: Int(try word(0)), height: Int(try word(1)), depth: Int(try word(2)))
    case 6, 7, 8, 9: break  // modules lie on pages anyhow; EFI entries are for EFI loaders
    case 10:
      relocation = Relocation(
        minimum: UInt64(try word(0)), maximum: UInt64(try word(1)), alignment: UInt64(try word(2)),
        preference: try word(3))
    default:
      guard isOptional else {
        throw HypervisorError(
          .image, "the kernel's Multiboot header has tag \(type), which it calls required and nobody knows",
          offset: offset + at)
      }
    }
  }
}
