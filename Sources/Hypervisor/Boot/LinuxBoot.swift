internal import Platform

/// The head of a bzImage. Linux, Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header"), protocol 2.12 and
/// later.
struct LinuxHeader: Hashable {
  /// Bytes of real-mode code before the 64-bit kernel.
  let setupBytes: Int
  /// Bytes of the 64-bit kernel.
  let kernelBytes: Int
  let version: UInt16
  /// Bytes of memory from the load address on that the kernel needs before it looks at the memory map.
  let initSize: UInt32
  let alignment: UInt32
  let isRelocatable: Bool
  let preferredAddress: UInt64
  /// The highest address that a byte of the RAM disk may have.
  let initrdLimit: UInt32
  /// The longest command line, without the NUL.
  let commandLineLimit: UInt32
  /// The header's own bytes, from 0x1F1 on, for the zero page.
  let raw: [UInt8]

  /// Offset of the header in the file and in the zero page.
  static let offset = 0x1F1

  /// Whether the file has the bzImage magic: enough to choose the protocol.
  static func isPresent(in image: some ImageSource) -> Bool {
    guard let magic = try? image.little(UInt32.self, at: 0x202) else { return false }
    return magic == 0x5372_6448  // "HdrS"
  }

  /// Reads and checks the header.
  init(_ image: some ImageSource) throws(HypervisorError) {
    guard Self.isPresent(in: image) else {
      throw HypervisorError(
        .image, "this is not a Linux kernel (no bzImage header); give the file that Debian calls /boot/vmlinuz-…",
        offset: 0x202)
    }
    guard try image.little(UInt16.self, at: 0x1FE) == 0xAA55 else {
      throw HypervisorError(.image, "the boot flag of the kernel is not 0xAA55: the file is damaged", offset: 0x1FE)
    }
    version = try image.little(at: 0x206)
    guard version >= 0x020C else {
      throw HypervisorError(
        .image, "boot protocol \(version >> 8).\(version & 255) is too old; Linux 3.8 and later have 2.12",
        offset: 0x206)
    }
    let loadFlags = try image.little(UInt8.self, at: 0x211)
    guard loadFlags & 1 != 0 else {
      throw HypervisorError(.image, "this is a zImage, which loads low; build a bzImage", offset: 0x211)
    }
    let extended = try image.little(UInt16.self, at: 0x236)
    guard extended & 1 != 0 else {
      throw HypervisorError(.image, "the kernel has no 64-bit entry; give a 64-bit kernel", offset: 0x236)
    }
    let sectors = try image.little(UInt8.self, at: 0x1F1)
    setupBytes = (Int(sectors == 0 ? 4 : sectors) + 1) * 512
    guard setupBytes + 0x200 < image.count else {
      throw HypervisorError(.image, "the kernel ends before its 64-bit part: the file is cut short", offset: setupBytes)
    }
    kernelBytes = image.count - setupBytes
    let end = 0x202 + Int(try image.little(UInt8.self, at: 0x201))
    // Up to init_size: memtest86+ ends there.
    guard end >= 0x264, end <= 0x290 else {
      throw HypervisorError(.image, "the kernel's header has an impossible length: the file is damaged", offset: 0x201)
    }
    raw = try image.bytes(at: Self.offset, count: end - Self.offset)
    isRelocatable = try image.little(UInt8.self, at: 0x234) != 0
    alignment = try image.little(at: 0x230)
    preferredAddress = try image.little(at: 0x258)
    initSize = try image.little(at: 0x260)
    initrdLimit = try image.little(at: 0x22C)
    commandLineLimit = try image.little(at: 0x238)
  }
}

/// Linux's 64-bit boot protocol (boot.rst, "64-bit Boot Protocol").
enum LinuxBoot {
  /// Where a relocatable kernel goes.
  static let loadAddress: UInt64 = 0x10_0000

  /// Whether the file is a bzImage, or an ELF file with one of Linux's own notes.
  static func isPresent(in image: some ImageSource) -> Bool {
    if LinuxHeader.isPresent(in: image) { return true }
    guard let file = try? ELFFile(image), file.isWide, let notes = try? file.notes(image) else { return false }
    return notes.contains { $0.owner == Array("Linux".utf8) }
  }

  /// Puts kernel, RAM disk, command line and zero page into `memory`; how the first CPU starts.
  /// `rsdp` is the address of ACPI's root pointer.
  static func load(
    _ kernel: some ImageSource, initrd: (some ImageSource)?, commandLine: String, rsdp: UInt64, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    if ELFFile.isPresent(in: kernel) {
      return try loadELF(kernel, initrd: initrd, commandLine: commandLine, rsdp: rsdp, into: memory)
    }
    let header = try LinuxHeader(kernel)
    let address = header.isRelocatable ? loadAddress : header.preferredAddress
    guard address >= loadAddress, address < memory.lowCount else {
      throw HypervisorError(.image, "the kernel wants to lie at \(hex(address)), where the domain has no memory")
    }
    // The kernel unpacks itself at its preferred address or higher.
    let start = max(address, header.preferredAddress <= 1 << 30 ? header.preferredAddress : address)
    let end = start + max(UInt64(header.initSize), UInt64(header.kernelBytes))
    guard end <= memory.lowCount else {
      throw HypervisorError(
        .image,
        "the kernel needs \((end + 0xF_FFFF) >> 20) MiB to start, and the domain has \(memory.count >> 20) MiB;"
          + " give the domain more memory")
    }
    try kernel.load(at: header.setupBytes, count: header.kernelBytes, to: address, in: memory)
    var page = ZeroPage(header)
    try page.fill(
      initrd, above: end, limit: header.initrdLimit, commandLine: commandLine, room: Int(header.commandLineLimit),
      rsdp: rsdp, in: memory)
    return state(entry: address + 0x200, page, in: memory)
  }

  /// An uncompressed kernel: the ELF entry is the 64-bit one, and it wants the zero page that a bzImage gets.
  private static func loadELF(
    _ kernel: some ImageSource, initrd: (some ImageSource)?, commandLine: String, rsdp: UInt64, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let file = try ELFFile(kernel)
    guard file.isWide, file.machine == ELFFile.Machine.x86_64 else {
      throw HypervisorError(.image, "this ELF file has no 64-bit entry; give a 64-bit kernel", offset: 4)
    }
    var layout = BootLayout(memory)
    try file.load(kernel, into: memory, layout: &layout) { $0.physicalAddress }
    let entry = try file.physicalEntry()
    var page = ZeroPage()
    try page.fill(
      initrd, above: layout.end, limit: .max, commandLine: commandLine, room: 2047, rsdp: rsdp, in: memory)
    return state(entry: entry, page, in: memory)
  }

  /// Long mode with the first 4 GiB mapped to themselves, RSI at the zero page.
  private static func state(entry: UInt64, _ page: ZeroPage, in memory: GuestRAM) -> BootState {
    memory.mapping.write(at: Int(AddressMap.bootParameters), from: page.bytes.span)
    BootState.writeGDT(long: true, to: memory)
    writeIdentityMap(to: memory)
    var registers = BootState.flatRegisters(long: true)
    registers.cr0 = 0x8000_0011  // PE, ET, PG
    registers.cr3 = AddressMap.pageTables
    registers.cr4 = 0x20  // PAE
    registers.efer = 0x500  // LME, LMA
    return BootState(
      general: GeneralRegisters(rsi: AddressMap.bootParameters, rsp: AddressMap.stackTop, rip: entry),
      system: registers)
  }

  /// Maps the first 4 GiB to themselves in 2 MiB pages: one level-4 table, one level-3 table, four level-2 tables.
  private static func writeIdentityMap(to memory: GuestRAM) {
    let base = AddressMap.pageTables
    memory.mapping.zero(at: Int(base), count: 6 * 4096)
    memory.mapping.store((base + 0x1000) | 3, at: Int(base))
    for gibibyte in 0..<4 as Range<UInt64> {
      let table = base + 0x2000 + gibibyte * 0x1000
      memory.mapping.store(table | 3, at: Int(base + 0x1000 + gibibyte * 8))
      for entry in 0..<512 as Range<UInt64> {
        memory.mapping.store((gibibyte << 30 | entry << 21) | 0x83, at: Int(table + entry * 8))
      }
    }
  }
}

/// struct boot_params. Linux, Documentation/arch/x86/zero-page.rst.
struct ZeroPage {
  private(set) var bytes = [UInt8](repeating: 0, count: 4096)

  init(_ header: LinuxHeader) {
    for (index, byte) in header.raw.enumerated() { bytes[LinuxHeader.offset + index] = byte }
    bytes[0x210] = 0xFF  // type_of_loader: no registered id
    bytes[0x211] |= 0x80  // CAN_USE_HEAP: harmless, and expected of a loader
    put(0xE000 as UInt16, at: 0x224)  // heap_end_ptr
  }

  /// For a kernel without a header of its own: what it looks at of one. Protocol 2.12.
  init() {
    put(0xAA55 as UInt16, at: 0x1FE)
    put(0x5372_6448 as UInt32, at: 0x202)
    put(0x020C as UInt16, at: 0x206)
    bytes[0x210] = 0xFF
    bytes[0x211] = 1  // LOADED_HIGH
    put(0x7FFF_FFFF as UInt32, at: 0x22C)
    put(0x100_0000 as UInt32, at: 0x230)
    put(2047 as UInt32, at: 0x238)
  }

  /// Tells a kernel that is loaded already that there is a VGA in text mode 3 (`struct screen_info`; Linux,
  /// Documentation/arch/x86/zero-page.rst, 0x000).
  static func describeTextScreen(in memory: GuestRAM) {
    // Mode, columns; lines; that it is a VGA; lines of a character.
    for (offset, byte) in [(0x06, 3), (0x07, 80), (0x0E, 25), (0x0F, 1), (0x10, 16)] as [(Int, UInt8)] {
      memory.mapping.store(byte, at: Int(AddressMap.bootParameters) + offset)
    }
  }

  /// Puts command line and RAM disk into `memory`, and all that the kernel must know into the page.
  /// `limit` is the highest address that the RAM disk may take, `room` the longest command line.
  mutating func fill(
    _ initrd: (some ImageSource)?, above end: UInt64, limit: UInt32, commandLine: String, room: Int, rsdp: UInt64,
    in memory: GuestRAM
  ) throws(HypervisorError) {
    let line = Array(commandLine.utf8)
    let room = min(room, AddressMap.commandLineRoom - 1)
    guard line.count <= room, !line.contains(0) else {
      throw HypervisorError(
        .configuration,
        "the command line has \(line.count) bytes, and this kernel takes \(room) at most, none of them NUL")
    }
    memory.mapping.write(at: Int(AddressMap.commandLine), from: (line + [0]).span)
    let ramdisk = try Self.place(initrd, above: end, limit: limit, in: memory)
    setCommandLine(at: AddressMap.commandLine)
    setRSDP(rsdp)
    if let ramdisk { setRamdisk(at: ramdisk.address, count: ramdisk.count) }
    setMemoryMap(memory.map)
  }

  /// Puts the RAM disk as high as both the kernel and the RAM allow.
  private static func place(
    _ initrd: (some ImageSource)?, above end: UInt64, limit: UInt32, in memory: GuestRAM
  ) throws(HypervisorError) -> (address: UInt64, count: UInt64)? {
    guard let initrd, initrd.count > 0 else { return nil }
    let count = UInt64(initrd.count)
    let top = min(UInt64(limit) + 1, memory.lowCount)
    guard count <= top, (top - count) & ~0xFFF >= end else {
      throw HypervisorError(
        .image,
        "kernel and initial RAM disk need \((end + count + 0xF_FFFF) >> 20) MiB, and the domain has"
          + " \(memory.count >> 20) MiB; give the domain more memory")
    }
    let address = (top - count) & ~0xFFF
    try initrd.load(at: 0, count: initrd.count, to: address, in: memory)
    return (address, count)
  }

  mutating func setCommandLine(at address: UInt64) {
    put(UInt32(truncatingIfNeeded: address), at: 0x228)
  }

  mutating func setRSDP(_ address: UInt64) {
    put(address, at: 0x070)
  }

  mutating func setRamdisk(at address: UInt64, count: UInt64) {
    put(UInt32(truncatingIfNeeded: address), at: 0x218)
    put(UInt32(truncatingIfNeeded: count), at: 0x21C)
  }

  mutating func setMemoryMap(_ entries: [MemoryMapEntry]) {
    let shown = entries.prefix(128)
    bytes[0x1E8] = UInt8(shown.count)
    for (index, entry) in shown.enumerated() {
      put(entry.address, at: 0x2D0 + index * 20)
      put(entry.count, at: 0x2D8 + index * 20)
      put(entry.kind.rawValue, at: 0x2E0 + index * 20)
    }
  }

  private mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    for index in 0..<(T.bitWidth / 8) { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
  }
}
