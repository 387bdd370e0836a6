internal import Binary
internal import Platform

/// The PVH start of day. Xen, docs/misc/pvh.pandoc, and public/arch-x86/hvm/start_info.h (version 1).
///
/// All that is handed over lies below 1 GiB: the start info and the command lines below 1 MiB, the modules right behind
/// the kernel. FreeBSD takes its first memory behind the last of them, and wants 2 MiB of RAM there.
enum PVHBoot {
  /// Modules that the start info has room for.
  static let moduleLimit = 32
  /// FreeBSD's first page tables map this much.
  private static let pointerLimit: UInt64 = 1 << 30

  /// Whether the file is an ELF file that names a PVH entry.
  static func isPresent(in image: some ImageSource) -> Bool {
    guard let file = try? ELFFile(image) else { return false }
    return (try? entry(file, image)) != nil
  }

  /// Puts the ELF's segments, the modules, the command line and the start info, which has `map`, into `memory`.
  static func load(
    _ kernel: some ImageSource, modules: [BootModule<some ImageSource>], commandLine: String, rsdp: UInt64,
    map: [MemoryMapEntry], into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let file = try ELFFile(kernel)
    guard let entry = try entry(file, kernel) else {
      throw HypervisorError(
        .image, "the ELF file has no PVH entry (Xen note 18); Linux has one when built with CONFIG_PVH")
    }
    var layout = BootLayout(memory)
    try file.load(kernel, into: memory, layout: &layout) { $0.physicalAddress }
    guard file.holds(UInt64(entry)) else {
      throw HypervisorError(.image, "the PVH entry \(hex(entry)) lies outside the kernel: the file is damaged")
    }
    guard modules.count <= moduleLimit else {
      throw HypervisorError(.configuration, "\(modules.count) modules are more than PVH's \(moduleLimit)")
    }
    var lines = CommandLines()
    let line = try lines.append(commandLine)
    var list = ByteWriter()
    for module in modules where module.image.count > 0 {
      let address = try layout.place(module.image.count, from: layout.end, below: pointerLimit, "a module")
      try module.image.load(at: 0, count: module.image.count, to: address, in: memory)
      // struct hvm_modlist_entry: address, size, command line, reserved.
      list.little(address)
      list.little(UInt64(module.image.count))
      list.little(module.commandLine.isEmpty ? 0 : try lines.append(module.commandLine))
      list.little(0 as UInt64)
    }
    lines.write(to: memory)
    writeStartInfo(modules: list.bytes, commandLine: line, rsdp: rsdp, map: map, to: memory)
    return .protectedMode(GeneralRegisters(rbx: AddressMap.startInfo, rip: UInt64(entry)), in: memory)
  }

  /// The 32-bit entry that note 18 (XEN_ELFNOTE_PHYS32_ENTRY) of owner "Xen" names. xen/include/public/elfnote.h.
  private static func entry(_ file: ELFFile, _ image: some ImageSource) throws(HypervisorError) -> UInt32? {
    for note in try file.notes(image)
    where note.type == 18 && (4...8).contains(note.value.count) && note.owner == Array("Xen".utf8) {
      let value = BytesImage(note.value)
      let upper = note.value.count == 4 ? 0 : try value.little(UInt32.self, at: note.value.count - 4)
      guard upper == 0 else {
        throw HypervisorError(.image, "the PVH entry is not below 4 GiB", offset: note.valueOffset)
      }
      return try value.little(at: 0)
    }
    return nil
  }

  private static func writeStartInfo(
    modules: [UInt8], commandLine: UInt64, rsdp: UInt64, map: [MemoryMapEntry], to memory: GuestRAM
  ) {
    let list = AddressMap.startInfo + 56
    var fields = ByteWriter()
    fields.little(0x336E_C578 as UInt32)
    fields.little(1 as UInt32)  // version
    fields.little(0 as UInt32)  // flags
    fields.little(UInt32(modules.count / 32))
    fields.little(modules.isEmpty ? 0 : list)
    fields.little(commandLine)
    fields.little(rsdp)
    fields.little(list + UInt64(modules.count))
    fields.little(UInt32(map.count))
    fields.little(0 as UInt32)
    fields.raw(modules)
    for entry in map {
      fields.little(entry.address)
      fields.little(entry.count)
      fields.little(entry.kind.rawValue)
      fields.little(0 as UInt32)
    }
    memory.mapping.write(at: Int(AddressMap.startInfo), from: fields.bytes.span)
  }
}

/// Command lines at `AddressMap.commandLine`, one behind the other, each with its NUL.
struct CommandLines {
  private(set) var bytes: [UInt8] = []

  /// Adds a line; its address.
  mutating func append(_ line: String) throws(HypervisorError) -> UInt64 {
    let text = Array(line.utf8)
    guard bytes.count + text.count < AddressMap.commandLineRoom, !text.contains(0) else {
      throw HypervisorError(
        .configuration,
        "the command lines have more than \(AddressMap.commandLineRoom - 1) bytes in all, or a NUL in one of them")
    }
    defer { bytes += text + [0] }
    return AddressMap.commandLine + UInt64(bytes.count)
  }

  func write(to memory: GuestRAM) {
    memory.mapping.write(at: Int(AddressMap.commandLine), from: bytes.span)
  }
}
