internal import Binary
internal import Platform

/// A Multiboot kernel in memory: what both versions have in common.
struct MultibootImage {
  let header: MultibootHeader
  /// Physical.
  let entry: UInt64
  /// Where the kernel lies; it differs from where it is linked only when it may be relocated.
  let base: UInt64
  /// Section headers, with the addresses that the symbol table and its strings have in memory; empty without.
  let sections: [UInt8]
  let sectionBytes: Int
  let sectionNames: Int
  var sectionCount: Int { sectionBytes == 0 ? 0 : sections.count / sectionBytes }
  /// Modules in memory.
  private(set) var modules: [Module] = []

  typealias Module = (range: Range<UInt64>, commandLine: String)

  /// What the boot information says about who made it.
  static let loaderName = "Roost"
  /// Modules that one kernel can have.
  static let moduleLimit = 1024
  /// The information goes here, clear of what Plan 9 and FreeBSD write before they read it.
  static let information: UInt64 = 0x3_0000
  static let informationRoom = 0x5_0000

  /// Loads kernel, symbols and modules.
  init(
    _ kernel: some ImageSource, modules: [BootModule<some ImageSource>], framebuffer: Framebuffer?,
    into memory: GuestRAM
  ) throws(HypervisorError) {
    let header = try MultibootHeader(kernel)
    self.header = header
    if let request = header.framebuffer, request.isRequired, framebuffer == nil {
      throw HypervisorError(
        .configuration, "the kernel does not run without a display; give the domain one", offset: header.offset)
    }
    guard modules.count <= Self.moduleLimit else {
      throw HypervisorError(.configuration, "\(modules.count) modules are more than \(Self.moduleLimit)")
    }
    var layout = BootLayout(memory)
    if let addresses = header.addresses {
      (entry, base) = try Self.load(kernel, addresses, header, &layout, memory)
      (sections, sectionBytes, sectionNames) = ([], 0, 0)
    } else {
      let file = try ELFFile(kernel)
      (entry, base) = try Self.load(kernel, file, header, &layout, memory)
      sections = try Self.loadSymbols(kernel, file, header, &layout, memory)
      (sectionBytes, sectionNames) = (file.sectionTable.entryBytes, file.sectionTable.names)
    }
    for module in modules {
      let address = try layout.place(module.image.count, from: Self.floor(header, layout), "a module")
      try module.image.load(at: 0, count: module.image.count, to: address, in: memory)
      self.modules.append((address..<(address + UInt64(module.image.count)), module.commandLine))
    }
  }

  /// A kernel whose header has the addresses.
  private static func load(
    _ kernel: some ImageSource, _ addresses: MultibootHeader.Addresses, _ header: MultibootHeader,
    _ layout: inout BootLayout, _ memory: GuestRAM
  ) throws(HypervisorError) -> (entry: UInt64, base: UInt64) {
    let image = addresses.load..<(addresses.load + addresses.memoryBytes)
    guard let linked = header.entry else {
      throw HypervisorError(
        .image, "the kernel's Multiboot header has addresses and no entry: the file is damaged", offset: header.offset)
    }
    guard image.contains(linked) else {
      throw HypervisorError(
        .image, "the entry \(hex(linked)) lies outside the kernel: the file is damaged", offset: header.offset)
    }
    let delta = try shift(image, header, layout)
    try layout.claim(addresses.load &+ delta, addresses.memoryBytes, "the kernel", header: header.offset)
    let start = addresses.load &+ delta
    try kernel.load(at: addresses.fileOffset, count: addresses.fileBytes, to: start, in: memory)
    let rest = Int(addresses.memoryBytes) - addresses.fileBytes
    memory.mapping.zero(at: try kernel.place(start + UInt64(addresses.fileBytes), rest, in: memory), count: rest)
    return (linked &+ delta, start)
  }

  /// An ELF kernel.
  private static func load(
    _ kernel: some ImageSource, _ file: ELFFile, _ header: MultibootHeader, _ layout: inout BootLayout,
    _ memory: GuestRAM
  ) throws(HypervisorError) -> (entry: UInt64, base: UInt64) {
    let loaded = file.segments.filter { $0.type == 1 && $0.memoryBytes > 0 }
    let start = loaded.map(\.physicalAddress).min() ?? 0
    let end = loaded.map { $0.physicalAddress.addingReportingOverflow($0.memoryBytes) }
      .reduce(start) { $1.overflow ? .max : max($0, $1.partialValue) }
    let delta = try shift(start..<end, header, layout)
    try file.load(kernel, into: memory, layout: &layout) { $0.physicalAddress &+ delta }
    let entry: UInt64
    if let named = header.entry {
      guard file.holds(named) else {
        throw HypervisorError(
          .image, "the entry \(hex(named)) lies outside the kernel: the file is damaged", offset: header.offset)
      }
      entry = named
    } else {
      entry = try file.physicalEntry()
    }
    return (entry &+ delta, start &+ delta)
  }

  /// By how much a kernel is moved from where it is linked, modulo 2^64.
  private static func shift(
    _ linked: Range<UInt64>, _ header: MultibootHeader, _ layout: BootLayout
  ) throws(HypervisorError) -> UInt64 {
    guard let relocation = header.relocation else { return 0 }
    let alignment = max(relocation.alignment, 1)
    let count = linked.upperBound - linked.lowerBound
    let low = max(relocation.minimum, AddressMap.highMemory)
    let high = min(relocation.maximum &+ 1, layout.top)
    let lowest = (low + alignment - 1) & ~(alignment - 1)
    guard alignment & (alignment - 1) == 0, alignment <= 1 << 30, lowest <= high, count <= high - lowest else {
      throw HypervisorError(
        .image,
        "the kernel, of \(count) bytes, wants to lie between \(hex(relocation.minimum)) and"
          + " \(hex(relocation.maximum)), where the domain has not that much memory; give it more",
        offset: header.offset)
    }
    switch relocation.preference {
    case 1: return lowest &- linked.lowerBound
    case 2: return ((high - count) & ~(alignment - 1)) &- linked.lowerBound
    default:
      let fits =
        linked.lowerBound >= low && linked.upperBound <= high && linked.lowerBound & (alignment - 1) == 0
      return fits ? 0 : lowest &- linked.lowerBound
    }
  }

  /// What belongs to a kernel follows it: kernels take their first memory behind that. One that may be moved can lie at
  /// the top of RAM, and knows that others may be anywhere.
  private static func floor(_ header: MultibootHeader, _ layout: BootLayout) -> UInt64 {
    header.relocation == nil ? layout.end : AddressMap.highMemory
  }

  /// Loads symbol and string tables that no segment has; the section headers with their addresses.
  private static func loadSymbols(
    _ kernel: some ImageSource, _ file: ELFFile, _ header: MultibootHeader, _ layout: inout BootLayout,
    _ memory: GuestRAM
  ) throws(HypervisorError) -> [UInt8] {
    var headers = try file.sectionBytes(kernel)
    for (index, section) in try file.sections(kernel).enumerated()
    where !section.isLoaded && section.count > 0 && (section.type == 2 || section.type == 3) {
      let address = try layout.place(section.count, alignment: 16, from: floor(header, layout), "the kernel's symbols")
      try kernel.load(at: section.offset, count: section.count, to: address, in: memory)
      let field = index * file.sectionTable.entryBytes + (file.isWide ? 16 : 12)
      for byte in 0..<(file.isWide ? 8 : 4) {
        headers[field + byte] = UInt8(truncatingIfNeeded: address >> (UInt64(byte) * 8))
      }
    }
    return headers
  }

  /// Checks that the information fits, and puts it down.
  static func write(_ information: [UInt8], to memory: GuestRAM) throws(HypervisorError) {
    guard information.count <= informationRoom else {
      throw HypervisorError(
        .configuration,
        "what the kernel is to be told has \(information.count) bytes, and there is room for \(informationRoom);"
          + " give it fewer modules or shorter command lines")
    }
    memory.mapping.write(at: Int(Self.information), from: information.span)
  }

  /// A C string; a NUL in it is refused.
  static func string(_ text: String) throws(HypervisorError) -> [UInt8] {
    let bytes = Array(text.utf8)
    guard !bytes.contains(0) else { throw HypervisorError(.configuration, "a command line has a NUL in it") }
    return bytes + [0]
  }

  /// KiB of RAM below 640 KiB, and from 1 MiB on without a gap.
  static func basicMemory(_ memory: GuestRAM) -> (lower: UInt32, upper: UInt32) {
    (
      UInt32(truncatingIfNeeded: AddressMap.conventionalEnd >> 10),
      UInt32(truncatingIfNeeded: (memory.lowCount - AddressMap.highMemory) >> 10)
    )
  }
}
