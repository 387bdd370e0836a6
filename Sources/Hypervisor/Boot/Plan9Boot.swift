internal import Binary
internal import Platform

/// How Plan 9 kernels start: 9legacy's 32-bit and 64-bit ones, and 9front's.
///
/// Plan 9, sys/src/9/pc/l.s and mem.h, sys/src/9k/k10/l32p.s and multiboot.c, a.out(6); 9front, sys/src/9/pc/bootargs.c.
enum Plan9Boot {
  /// What kind of kernel a file is.
  enum Kind: Hashable {
    /// 32-bit a.out, entered 32 bytes into its image.
    case aout32
    /// 64-bit a.out of 9legacy, entered as Multiboot says.
    case aout64
    /// 9legacy's 64-bit kernel as a 32-bit ELF with a Multiboot header.
    case elf
    /// a.out with a Multiboot header that describes how the file lies in memory: 9front's.
    case multiboot
  }

  /// The header of an executable (a.out(6)): eight big-endian words, and two more where the magic has bit 15.
  private struct Executable {
    let text: Int
    let data: Int
    let bss: Int
    let entry: UInt64
    let headerBytes: Int

    init(_ image: some ImageSource) throws(HypervisorError) {
      let header = ByteReader(try image.bytes(at: 0, count: 32))
      func word(_ index: Int) -> Int { (try? header.big(UInt32.self, at: index * 4)).map { Int($0) } ?? 0 }
      headerBytes = word(0) & 0x8000 == 0 ? 32 : 40
      (text, data, bss) = (word(1), word(2), word(3))
      // The kernel's virtual addresses differ from the physical ones in the upper bits.
      entry = UInt64(word(5)) & 0x0FFF_FFFF
      try image.check(headerBytes, text + data)
    }
  }

  /// I_MAGIC and S_MAGIC.
  private static let magic32: UInt32 = 0x1EB
  private static let magic64: UInt32 = 0x8A97
  /// Words in the BIOS data area: KiB of conventional memory.
  private static let baseMemory: UInt64 = 0x413
  /// A line that nobody reads, and behind it plan9.ini.
  private static let bootLine: UInt64 = 0x1200
  private static let configuration: UInt64 = 0x1240

  /// What the file is; nil when it is no Plan 9 kernel as far as one can see.
  static func kind(of image: some ImageSource) -> Kind? {
    guard let magic = try? image.little(UInt32.self, at: 0).byteSwapped else { return nil }
    if magic == magic32 || magic == magic64 {
      guard (try? Executable(image)) != nil else { return nil }
      // 9legacy's header claims to be enough for a boot loader, and enters where the file's own header does.
      if let header = try? MultibootHeader(image), header.version == 1, let addresses = header.addresses,
        header.entry != addresses.load
      {
        return .multiboot
      }
      return magic == magic32 ? .aout32 : .aout64
    }
    // Nothing in the ELF header tells whose kernel it is, but no other one has these names in it.
    guard let file = try? ELFFile(image), !file.isWide, let header = try? MultibootHeader(image),
      header.version == 1, header.addresses == nil,
      (try? image.contains(["ioexclude", "#S/sd"])) == true
    else { return nil }
    return .elf
  }

  /// Whether the file is a Plan 9 kernel.
  static func isPresent(in image: some ImageSource) -> Bool { kind(of: image) != nil }

  /// Puts kernel and plan9.ini into `memory`. `commandLine` is the latter's text: see `Plan9Configuration`.
  /// An ELF file need not look like Plan 9.
  static func load(
    _ kernel: some ImageSource, modules: [BootModule<some ImageSource>], commandLine: String, rsdp: UInt64,
    framebuffer: Framebuffer?, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    guard modules.allSatisfy({ $0.image.count == 0 }) else {
      throw HypervisorError(
        .configuration, "a Plan 9 kernel takes no initial RAM disk; give its root file system as a disk")
    }
    var kind = kind(of: kernel)
    if kind == nil, ELFFile.isPresent(in: kernel) { kind = .elf }
    guard let kind else {
      throw HypervisorError(
        .image, "this is not a Plan 9 kernel; give one such as 9pcf, 9k10f.elf or 9front's 9pc64", offset: 0)
    }
    let text = try Plan9Configuration(commandLine, for: kind, memory: memory.lowCount).bytes
    memory.mapping.store(UInt16(AddressMap.conventionalEnd >> 10), at: Int(baseMemory))
    if kind == .multiboot {
      return try MultibootBoot.load(
        kernel, modules: [BootModule(BytesImage(text))], commandLine: "", rsdp: rsdp, framebuffer: framebuffer,
        into: memory)
    }
    memory.mapping.zero(at: Int(bootLine), count: Int(configuration - bootLine))
    memory.mapping.write(at: Int(configuration), from: (text + [0]).span)
    switch kind {
    case .elf, .multiboot:
      return try MultibootBoot.load(
        kernel, modules: [] as [BootModule<BytesImage>], commandLine: "", rsdp: rsdp, framebuffer: nil, into: memory)
    case .aout32, .aout64:
      return try loadExecutable(kernel, kind, into: memory)
    }
  }

  /// The text goes to the entry (with the header in front of it in the 32-bit kernel), the data to the page that follows.
  private static func loadExecutable(
    _ kernel: some ImageSource, _ kind: Kind, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let file = try Executable(kernel)
    guard file.text > 0 else { throw HypervisorError(.image, "the kernel has no text: the file is damaged", offset: 4) }
    let entry = kind == .aout32 ? AddressMap.highMemory + 0x20 : file.entry
    guard kind == .aout64 || file.entry == entry else {
      throw HypervisorError(
        .image, "the kernel is linked to be entered at \(hex(file.entry)), and a Plan 9 kernel is at \(hex(entry))",
        offset: 20)
    }
    let data = (entry + UInt64(file.text) + 0xFFF) & ~0xFFF
    let end = data + UInt64(file.data) + UInt64(file.bss)
    // The kernel's first page tables map that much.
    guard kind == .aout64 || end <= 8 << 20 else {
      throw HypervisorError(.image, "the kernel ends at \(hex(end)), and a 32-bit one must end below 8 MiB", offset: 4)
    }
    var layout = BootLayout(memory)
    let start = kind == .aout32 ? AddressMap.highMemory : entry
    try layout.claim(start, end - start, "the kernel", header: 4)
    try kernel.load(
      at: kind == .aout32 ? 0 : file.headerBytes, count: file.text + (kind == .aout32 ? file.headerBytes : 0),
      to: start,
      in: memory)
    try kernel.load(at: file.headerBytes + file.text, count: file.data, to: data, in: memory)
    if kind == .aout32 { return .protectedMode(GeneralRegisters(rip: entry), in: memory) }
    let information = try MultibootBoot.information(
      modules: [], commandLine: "", framebuffer: nil, sections: nil, memory)
    try MultibootImage.write(information, to: memory)
    return .protectedMode(
      GeneralRegisters(rax: MultibootBoot.magic, rbx: MultibootImage.information, rip: entry), in: memory)
  }
}
