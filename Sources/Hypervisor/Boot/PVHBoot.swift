internal import Platform

/// The parts of an ELF file that PVH needs. System V ABI, gabi 4.1, chapters 4 and 5.
struct ELFImage: Hashable {
  /// A loadable segment.
  struct Segment: Hashable {
    let offset: Int
    let fileBytes: Int
    let memoryBytes: Int
    let address: UInt64
  }

  let segments: [Segment]
  /// The 32-bit entry that a XEN_ELFNOTE_PHYS32_ENTRY note names.
  let entry: UInt32

  private struct ProgramHeader {
    let type: UInt32
    let offset: UInt64
    let address: UInt64
    let fileBytes: UInt64
    let memoryBytes: UInt64
    let alignment: UInt64
  }

  /// Whether the file has ELF's magic: enough to choose the protocol.
  static func isPresent(in image: some ImageSource) -> Bool {
    (try? image.bytes(at: 0, count: 4)) == [0x7F, 0x45, 0x4C, 0x46]
  }

  /// Reads program headers and notes, 32-bit or 64-bit.
  init(_ image: some ImageSource) throws(HypervisorError) {
    guard Self.isPresent(in: image) else {
      throw HypervisorError(
        .image, "this is not an ELF file, which PVH boots; give a kernel with a PVH note", offset: 0)
    }
    let format = try image.bytes(at: 4, count: 2)
    guard format[0] == 1 || format[0] == 2, format[1] == 1 else {
      throw HypervisorError(.image, "the ELF file is not a little-endian one of 32 or 64 bits", offset: 4)
    }
    let wide = format[0] == 2
    let machine = try image.little(UInt16.self, at: 18)
    guard machine == 3 || machine == 62 else {
      throw HypervisorError(.image, "the ELF file is for machine \(machine), not for x86", offset: 18)
    }
    let headers = try Self.programHeaders(image, wide: wide)
    segments = try Self.segments(headers, image)
    guard let entry = try Self.entry(headers, image) else {
      throw HypervisorError(
        .image, "the ELF file has no PVH entry (Xen note 18); Linux has one when built with CONFIG_PVH")
    }
    self.entry = entry
  }

  private static func programHeaders(
    _ image: some ImageSource, wide: Bool
  ) throws(HypervisorError) -> [ProgramHeader] {
    let table = wide ? try image.little(UInt64.self, at: 32) : UInt64(try image.little(UInt32.self, at: 28))
    let size = Int(try image.little(UInt16.self, at: wide ? 54 : 42))
    let count = Int(try image.little(UInt16.self, at: wide ? 56 : 44))
    guard size >= (wide ? 56 : 32), (1...512).contains(count), let start = Int(exactly: table), start <= image.count
    else {
      throw HypervisorError(.image, "the ELF file's program headers make no sense", offset: wide ? 54 : 42)
    }
    var headers: [ProgramHeader] = []
    for index in 0..<count {
      let at = start + index * size
      if wide {
        headers.append(
          ProgramHeader(
            type: try image.little(at: at), offset: try image.little(at: at + 8),
            address: try image.little(at: at + 24),
            fileBytes: try image.little(at: at + 32), memoryBytes: try image.little(at: at + 40),
            alignment: try image.little(at: at + 48)))
      } else {
        headers.append(
          ProgramHeader(
            type: try image.little(at: at), offset: UInt64(try image.little(UInt32.self, at: at + 4)),
            address: UInt64(try image.little(UInt32.self, at: at + 12)),
            fileBytes: UInt64(try image.little(UInt32.self, at: at + 16)),
            memoryBytes: UInt64(try image.little(UInt32.self, at: at + 20)),
            alignment: UInt64(try image.little(UInt32.self, at: at + 28))))
      }
    }
    return headers
  }

  private static func segments(
    _ headers: [ProgramHeader], _ image: some ImageSource
  ) throws(HypervisorError) -> [Segment] {
    var segments: [Segment] = []
    for header in headers where header.type == 1 && header.memoryBytes > 0 {
      guard let offset = Int(exactly: header.offset), let fileBytes = Int(exactly: header.fileBytes),
        let memoryBytes = Int(exactly: header.memoryBytes), fileBytes <= memoryBytes,
        !header.address.addingReportingOverflow(header.memoryBytes).overflow
      else {
        throw HypervisorError(.image, "a segment of the ELF file makes no sense: the file is damaged")
      }
      try image.check(offset, fileBytes)
      segments.append(
        Segment(offset: offset, fileBytes: fileBytes, memoryBytes: memoryBytes, address: header.address))
    }
    guard !segments.isEmpty else { throw HypervisorError(.image, "the ELF file has nothing to load") }
    return segments
  }

  /// Walks the notes for type 18 (XEN_ELFNOTE_PHYS32_ENTRY) of owner "Xen". xen/include/public/elfnote.h.
  private static func entry(
    _ headers: [ProgramHeader], _ image: some ImageSource
  ) throws(HypervisorError) -> UInt32? {
    for header in headers where header.type == 4 && header.fileBytes > 0 {
      guard let offset = Int(exactly: header.offset), let count = Int(exactly: header.fileBytes), count <= 1 << 20
      else {
        throw HypervisorError(.image, "the notes of the ELF file make no sense: the file is damaged")
      }
      let notes = BytesImage(try image.bytes(at: offset, count: count))
      let alignment = header.alignment == 8 ? 8 : 4
      var at = 0
      while at + 12 <= count {
        let nameBytes = Int(try notes.little(UInt32.self, at: at))
        let valueBytes = Int(try notes.little(UInt32.self, at: at + 4))
        let type = try notes.little(UInt32.self, at: at + 8)
        let nameAt = at + 12
        let valueAt = align(nameAt + nameBytes, alignment)
        guard nameBytes <= count, valueBytes <= count, valueAt + valueBytes <= count else { break }
        if type == 18, (4...8).contains(valueBytes), try notes.bytes(at: nameAt, count: nameBytes).starts(with: xen) {
          let value = try notes.little(UInt32.self, at: valueAt)
          let upper = try notes.little(UInt32.self, at: valueAt + valueBytes - 4)
          guard valueBytes == 4 || upper == 0 else {
            throw HypervisorError(.image, "the PVH entry is not below 4 GiB", offset: offset + valueAt)
          }
          return value
        }
        at = align(valueAt + valueBytes, alignment)
      }
    }
    return nil
  }

  private static let xen: [UInt8] = [0x58, 0x65, 0x6E]

  private static func align(_ value: Int, _ alignment: Int) -> Int {
    (value + alignment - 1) & ~(alignment - 1)
  }
}

/// The PVH start of day. Xen, docs/misc/pvh.pandoc, and public/arch-x86/hvm/start_info.h (version 1).
enum PVHBoot {
  /// Puts the ELF's segments, the module, the command line and the start info into `memory`.
  static func load(
    _ kernel: some ImageSource, initrd: (some ImageSource)?, commandLine: String, rsdp: UInt64, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let image = try ELFImage(kernel)
    var end = AddressMap.highMemory
    for segment in image.segments {
      guard segment.address >= AddressMap.highMemory,
        memory.offset(of: segment.address, count: segment.memoryBytes) != nil
      else {
        throw HypervisorError(
          .image,
          "a segment of \(segment.memoryBytes) bytes wants to lie at \(hex(segment.address)), and the domain's"
            + " memory is 1 MiB to \(memory.lowCount >> 20) MiB; give the domain more memory")
      }
      try kernel.load(at: segment.offset, count: segment.fileBytes, to: segment.address, in: memory)
      // Fresh RAM is zero already, but another segment may have been there.
      if let rest = memory.offset(
        of: segment.address + UInt64(segment.fileBytes), count: segment.memoryBytes - segment.fileBytes)
      {
        memory.mapping.zero(at: rest, count: segment.memoryBytes - segment.fileBytes)
      }
      if segment.address < AddressMap.deviceHole {
        end = max(end, segment.address + UInt64(segment.memoryBytes))
      }
    }
    guard
      image.segments.contains(where: {
        UInt64(image.entry) >= $0.address && UInt64(image.entry) - $0.address < UInt64($0.memoryBytes)
      })
    else {
      throw HypervisorError(.image, "the PVH entry \(hex(image.entry)) lies outside the kernel: the file is damaged")
    }

    let line = Array(commandLine.utf8)
    guard line.count < AddressMap.commandLineRoom, !line.contains(0) else {
      throw HypervisorError(
        .configuration, "the command line has \(line.count) bytes; \(AddressMap.commandLineRoom - 1) is the limit")
    }
    memory.mapping.write(at: Int(AddressMap.commandLine), from: (line + [0]).span)
    // Modules go low, right above the kernel: a FreeBSD kernel takes its first memory behind them.
    var module: (address: UInt64, count: UInt64)?
    if let initrd, initrd.count > 0 {
      let address = (end + 0xFFF) & ~0xFFF
      guard address + UInt64(initrd.count) <= memory.lowCount else {
        throw HypervisorError(
          .image,
          "kernel and module need \((address + UInt64(initrd.count) + 0xF_FFFF) >> 20) MiB, and the domain has"
            + " \(memory.count >> 20) MiB; give the domain more memory")
      }
      try initrd.load(at: 0, count: initrd.count, to: address, in: memory)
      module = (address, UInt64(initrd.count))
    }
    writeStartInfo(module: module, rsdp: rsdp, to: memory)
    BootState.writeGDT(long: false, to: memory)
    var registers = BootState.flatRegisters(long: false)
    registers.cr0 = 0x11  // PE, ET
    return BootState(
      general: GeneralRegisters(rbx: AddressMap.startInfo, rip: UInt64(image.entry)), system: registers)
  }

  private static func writeStartInfo(
    module: (address: UInt64, count: UInt64)?, rsdp: UInt64, to memory: GuestRAM
  ) {
    let map = memory.map
    let modules = AddressMap.startInfo + 56
    let entries = AddressMap.startInfo + 96
    var fields: [UInt8] = []
    func put<T: FixedWidthInteger>(_ value: T) {
      for index in 0..<(T.bitWidth / 8) { fields.append(UInt8(truncatingIfNeeded: value >> (index * 8))) }
    }
    put(0x336E_C578 as UInt32)
    put(1 as UInt32)  // version
    put(0 as UInt32)  // flags
    put(UInt32(module == nil ? 0 : 1))
    put(module == nil ? 0 : modules)
    put(AddressMap.commandLine)
    put(rsdp)
    put(entries)
    put(UInt32(map.count))
    put(0 as UInt32)
    // struct hvm_modlist_entry: address, size, command line, reserved.
    put(module?.address ?? 0)
    put(module?.count ?? 0)
    put(0 as UInt64)
    put(0 as UInt64)
    while fields.count < 96 { fields.append(0) }
    for entry in map {
      put(entry.address)
      put(entry.count)
      put(entry.kind.rawValue)
      put(0 as UInt32)
    }
    memory.mapping.write(at: Int(AddressMap.startInfo), from: fields.span)
  }
}
