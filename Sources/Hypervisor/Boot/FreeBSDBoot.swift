internal import Binary
internal import Platform

/// What FreeBSD's loader hands to a 64-bit kernel: metadata, an environment, long mode.
///
/// FreeBSD, stand/i386/libi386/bootinfo64.c and amd64_tramp.S, sys/sys/linker.h, sys/x86/include/metadata.h;
/// sys/amd64/amd64/machdep.c and locore.S read it.
enum FreeBSDBoot {
  /// Virtual address of physical address 0 (KERNBASE).
  static let kernelBase: UInt64 = 0xFFFF_FFFF_8000_0000
  /// The page tables repeat the first GiB all over the address space: everything lies in it.
  private static let limit: UInt64 = 1 << 30
  private static let pageTables: UInt64 = 0x2000
  /// Three words for the kernel lie here: 0, metadata, first free byte.
  private static let stack: UInt64 = 0x1000

  /// Records of the metadata.
  private enum Record: UInt32 {
    case end = 0
    case name = 1
    case type = 2
    case address = 3
    case size = 4
    case elfHeader = 0x8002
    case symbolsStart = 0x8003
    case symbolsEnd = 0x8004
    case dynamic = 0x8005
    case environment = 0x8006
    case howTo = 0x8007
    case kernelEnd = 0x8008
    case memoryMap = 0x9001
    case modules = 0x9006
    case framebuffer = 0x9007
  }

  /// Whether the file is a 64-bit FreeBSD kernel: marked as FreeBSD's by the ABI byte or by a note, and linked high.
  static func isPresent(in image: some ImageSource) -> Bool {
    guard let file = try? ELFFile(image), file.isWide, file.machine == ELFFile.Machine.x86_64,
      file.entry >= kernelBase
    else { return false }
    if file.systemABI == 9 { return true }
    return (try? file.notes(image))?.contains { $0.owner == Array("FreeBSD".utf8) } ?? false
  }

  /// Puts kernel, symbols, memory disks, environment and metadata into `memory`.
  ///
  /// - Parameters:
  ///   - disks: images that become md0, md1, …; with one of them, md0 is the root unless the command line says otherwise.
  ///   - commandLine: see `FreeBSDEnvironment`.
  static func load(
    _ kernel: some ImageSource, disks: [BootModule<some ImageSource>], commandLine: String, rsdp: UInt64,
    framebuffer: Framebuffer?, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let file = try ELFFile(kernel)
    guard file.isWide, file.machine == ELFFile.Machine.x86_64 else {
      throw HypervisorError(.image, "this is not a 64-bit FreeBSD kernel; give an amd64 one", offset: 4)
    }
    let environment = try FreeBSDEnvironment(
      commandLine, rsdp: rsdp, hasMemoryDisk: disks.contains { $0.image.count > 0 })
    var layout = BootLayout(memory)
    try file.load(kernel, into: memory, layout: &layout) { segment throws(HypervisorError) in
      guard segment.virtualAddress >= kernelBase else {
        throw HypervisorError(
          .image,
          "a segment wants to lie at \(hex(segment.virtualAddress)), below the kernel's part of the address space;"
            + " this is a program, not a kernel", offset: segment.header)
      }
      return segment.virtualAddress - kernelBase
    }
    guard layout.end <= limit else {
      throw HypervisorError(.image, "the kernel does not lie in the first GiB, which is all that the loader maps")
    }
    guard
      file.segments.contains(where: {
        $0.type == 1 && file.entry >= $0.virtualAddress && file.entry - $0.virtualAddress < $0.memoryBytes
      })
    else {
      throw HypervisorError(
        .image, "the entry \(hex(file.entry)) lies outside the kernel: the file is damaged", offset: 24)
    }
    let start = layout.start
    let symbols = try loadSymbols(kernel, file, &layout, memory)

    var records = Metadata()
    records.add(.name, string: "/boot/kernel/kernel")
    records.add(.type, string: "elf kernel")
    records.add(.address, start)
    records.add(.size, layout.end - start)
    records.add(.elfHeader, bytes: try kernel.bytes(at: 0, count: 64))
    if let symbols {
      records.add(.symbolsStart, symbols.lowerBound)
      records.add(.symbolsEnd, symbols.upperBound)
    }
    if let dynamic = file.segments.first(where: { $0.type == 2 }), dynamic.virtualAddress >= kernelBase {
      records.add(.dynamic, dynamic.virtualAddress - kernelBase)
    }
    records.add(.howTo, bytes: little(environment.howTo))
    if let framebuffer, !framebuffer.isText { records.add(framebuffer) }
    records.add(.memoryMap, bytes: memoryMap(memory))
    let text = environment.bytes
    let variables = try layout.place(text.count, from: layout.end, below: limit, "the environment")
    memory.mapping.write(at: Int(variables), from: text.span)
    records.add(.environment, variables)

    var modules = Metadata()
    for (index, disk) in disks.enumerated() where disk.image.count > 0 {
      let address = try layout.place(disk.image.count, from: layout.end, below: limit, "a memory disk")
      try disk.image.load(at: 0, count: disk.image.count, to: address, in: memory)
      modules.add(.name, string: "/boot/disk\(index)")
      modules.add(.type, string: "md_image")
      modules.add(.address, address)
      modules.add(.size, UInt64(disk.image.count))
    }
    // Two records of 16 bytes and the end mark follow what is there.
    let size = records.bytes.count + modules.bytes.count + 40
    let metadata = try layout.place(size, from: layout.end, below: limit, "the metadata")
    let end = (metadata + UInt64(size) + 0xFFF) & ~0xFFF
    records.add(.kernelEnd, end)
    records.add(.modules, metadata)
    memory.mapping.write(
      at: Int(metadata), from: (records.bytes + modules.bytes + [UInt8](repeating: 0, count: 8)).span)
    return state(entry: file.entry, metadata: metadata, end: end, in: memory)
  }

  /// The symbol table and its strings, each behind its length in 64 bits; from the first length to the end.
  private static func loadSymbols(
    _ kernel: some ImageSource, _ file: ELFFile, _ layout: inout BootLayout, _ memory: GuestRAM
  ) throws(HypervisorError) -> Range<UInt64>? {
    guard let (table, strings) = try file.symbols(kernel) else { return nil }
    let room = (16 + table.count + 7) & ~7 + (strings.count + 7) & ~7
    let start = try layout.place(room, alignment: 8, from: layout.end, below: limit, "the kernel's symbols")
    var address = start
    for section in [table, strings] {
      memory.mapping.write(at: Int(address), from: little(UInt64(section.count)).span)
      try kernel.load(at: section.offset, count: section.count, to: address + 8, in: memory)
      address = (address + 8 + UInt64(section.count) + 7) & ~7
    }
    return start..<address
  }

  private static func memoryMap(_ memory: GuestRAM) -> [UInt8] {
    var entries = ByteWriter()
    for entry in memory.map {
      entries.little(entry.address)
      entries.little(entry.count)
      entries.little(entry.kind.rawValue)
    }
    return entries.bytes
  }

  private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    var writer = ByteWriter()
    writer.little(value)
    return writer.bytes
  }

  /// Long mode as amd64_tramp.S leaves it.
  private static func state(entry: UInt64, metadata: UInt64, end: UInt64, in memory: GuestRAM) -> BootState {
    for index in 0..<512 as Range<UInt64> {
      let place = Int(pageTables + index * 8)
      memory.mapping.store((pageTables + 0x1000) | 7, at: place)
      memory.mapping.store((pageTables + 0x2000) | 7, at: place + 0x1000)
      memory.mapping.store(index << 21 | 0x87, at: place + 0x2000)
    }
    for (index, descriptor) in [0, 0x0020_9A00_0000_0000, 0x0000_9200_0000_0000, 0, 0].enumerated() {
      memory.mapping.store(UInt64(descriptor).littleEndian, at: Int(AddressMap.gdt) + index * 8)
    }
    for (index, word) in [0, metadata, end].enumerated() {
      memory.mapping.store(UInt32(truncatingIfNeeded: word), at: Int(stack) + index * 4)
    }
    var registers = SystemRegisters()
    registers.code = Segment(limit: .max, selector: 8, type: 11, long: true, granular: true)
    registers.data = Segment(limit: .max, selector: 16, type: 3, big: true, granular: true)
    registers.gdtBase = AddressMap.gdt
    registers.gdtLimit = 5 * 8 - 1
    registers.cr0 = 0x8000_0011  // PE, ET, PG
    registers.cr3 = pageTables
    registers.cr4 = 0x20  // PAE
    registers.efer = 0x500  // LME, LMA
    return BootState(general: GeneralRegisters(rsp: stack, rip: entry), system: registers)
  }

  /// Records: type, length, data, padding to 8 bytes.
  private struct Metadata {
    private var writer = ByteWriter()
    var bytes: [UInt8] { writer.bytes }

    mutating func add(_ record: Record, bytes: [UInt8]) {
      writer.little(record.rawValue)
      writer.little(UInt32(bytes.count))
      writer.raw(bytes)
      writer.align(8)
    }

    mutating func add(_ record: Record, string: String) {
      add(record, bytes: Array(string.utf8) + [0])
    }

    mutating func add(_ record: Record, _ value: UInt64) {
      add(record, bytes: FreeBSDBoot.little(value))
    }

    /// struct vbe_fb; the pitch counts pixels.
    mutating func add(_ framebuffer: Framebuffer) {
      var body = ByteWriter()
      body.little(framebuffer.address)
      body.little(UInt64(truncatingIfNeeded: framebuffer.pitch &* framebuffer.height))
      body.little(UInt32(truncatingIfNeeded: framebuffer.height))
      body.little(UInt32(truncatingIfNeeded: framebuffer.width))
      body.little(UInt32(truncatingIfNeeded: framebuffer.pitch / max(framebuffer.depth / 8, 1)))
      for color in framebuffer.colors { body.little(((1 as UInt32) << color.bits - 1) << color.position) }
      body.little(0 as UInt32)  // reserved bits
      body.little(UInt32(truncatingIfNeeded: framebuffer.depth))
      add(.framebuffer, bytes: body.bytes)
    }
  }
}
