internal import Platform

/// An ELF file for x86, of 32 or 64 bits: its header, program headers and notes; sections on request.
/// System V ABI, gabi 4.1, chapters 4 and 5.
struct ELFFile: Hashable {
  /// A program header.
  struct Segment: Hashable {
    /// PT_LOAD is 1, PT_DYNAMIC 2, PT_INTERP 3, PT_NOTE 4.
    let type: UInt32
    /// Byte offset of the header itself, for messages.
    let header: Int
    let offset: UInt64
    let virtualAddress: UInt64
    let physicalAddress: UInt64
    let fileBytes: UInt64
    let memoryBytes: UInt64
    let alignment: UInt64
  }

  /// A section header.
  struct Section: Hashable {
    /// SHT_SYMTAB is 2, SHT_STRTAB 3.
    let type: UInt32
    /// SHF_ALLOC is 2.
    let flags: UInt64
    let address: UInt64
    let offset: Int
    let count: Int
    /// Of a symbol table: the index of its string table.
    let link: Int

    var isLoaded: Bool { flags & 2 != 0 }
  }

  /// A note. The name has no NUL, `valueOffset` is the value's place in the file.
  struct Note: Hashable {
    let owner: [UInt8]
    let type: UInt32
    let value: [UInt8]
    let valueOffset: Int
  }

  /// Machines of e_machine.
  enum Machine {
    static let i386: UInt16 = 3
    static let x86_64: UInt16 = 62
  }

  /// Whether it is a file of 64 bits.
  let isWide: Bool
  let machine: UInt16
  /// EI_OSABI: 9 is FreeBSD.
  let systemABI: UInt8
  let entry: UInt64
  let segments: [Segment]
  /// Section headers: where, how long each, how many, and which holds the names.
  let sectionTable: (offset: UInt64, entryBytes: Int, count: Int, names: Int)

  static func == (left: Self, right: Self) -> Bool {
    left.entry == right.entry && left.segments == right.segments && left.isWide == right.isWide
      && left.machine == right.machine && left.systemABI == right.systemABI && left.sectionTable == right.sectionTable
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(entry)
    hasher.combine(segments)
  }

  /// Program and section headers that a kernel may have; real ones have some dozens.
  static let segmentLimit = 512
  static let sectionLimit = 4096

  /// Whether the file has ELF's magic.
  static func isPresent(in image: some ImageSource) -> Bool {
    (try? image.bytes(at: 0, count: 4)) == [0x7F, 0x45, 0x4C, 0x46]
  }

  /// Reads and checks header and program headers.
  init(_ image: some ImageSource) throws(HypervisorError) {
    guard Self.isPresent(in: image) else {
      throw HypervisorError(.image, "this is not an ELF file", offset: 0)
    }
    let format = try image.bytes(at: 4, count: 4)
    guard format[0] == 1 || format[0] == 2, format[1] == 1 else {
      throw HypervisorError(.image, "the ELF file is not a little-endian one of 32 or 64 bits", offset: 4)
    }
    let wide = format[0] == 2
    isWide = wide
    systemABI = format[3]
    machine = try image.little(at: 18)
    guard machine == Machine.i386 || machine == Machine.x86_64 else {
      throw HypervisorError(.image, "the ELF file is for machine \(machine), not for x86", offset: 18)
    }
    entry = wide ? try image.little(at: 24) : UInt64(try image.little(UInt32.self, at: 24))
    sectionTable = (
      wide ? try image.little(at: 40) : UInt64(try image.little(UInt32.self, at: 32)),
      Int(try image.little(UInt16.self, at: wide ? 58 : 46)), Int(try image.little(UInt16.self, at: wide ? 60 : 48)),
      Int(try image.little(UInt16.self, at: wide ? 62 : 50))
    )
    segments = try Self.programHeaders(image, wide: wide)
  }

  private static func programHeaders(
    _ image: some ImageSource, wide: Bool
  ) throws(HypervisorError) -> [Segment] {
    let table = wide ? try image.little(UInt64.self, at: 32) : UInt64(try image.little(UInt32.self, at: 28))
    let size = Int(try image.little(UInt16.self, at: wide ? 54 : 42))
    let count = Int(try image.little(UInt16.self, at: wide ? 56 : 44))
    guard size >= (wide ? 56 : 32), (1...segmentLimit).contains(count), let start = Int(exactly: table),
      start <= image.count
    else {
      throw HypervisorError(.image, "the ELF file's program headers make no sense", offset: wide ? 54 : 42)
    }
    let bytes = BytesImage(try image.bytes(at: start, count: size * count))
    var segments: [Segment] = []
    for index in 0..<count {
      let at = index * size
      let type = try bytes.little(UInt32.self, at: at)
      if wide {
        segments.append(
          Segment(
            type: type, header: start + at, offset: try bytes.little(at: at + 8),
            virtualAddress: try bytes.little(at: at + 16), physicalAddress: try bytes.little(at: at + 24),
            fileBytes: try bytes.little(at: at + 32), memoryBytes: try bytes.little(at: at + 40),
            alignment: try bytes.little(at: at + 48)))
      } else {
        var words: [UInt64] = []
        for word in 1..<8 { words.append(UInt64(try bytes.little(UInt32.self, at: at + word * 4))) }
        segments.append(
          Segment(
            type: type, header: start + at, offset: words[0], virtualAddress: words[1], physicalAddress: words[2],
            fileBytes: words[3], memoryBytes: words[4], alignment: words[6]))
      }
    }
    return segments
  }

  /// The section headers, as they lie in the file; none when it is stripped of them.
  func sectionBytes(_ image: some ImageSource) throws(HypervisorError) -> [UInt8] {
    let (offset, entryBytes, count, _) = sectionTable
    guard offset != 0, count != 0 else { return [] }
    guard entryBytes == (isWide ? 64 : 40), count <= Self.sectionLimit, let start = Int(exactly: offset),
      start <= image.count
    else {
      throw HypervisorError(.image, "the ELF file's section headers make no sense", offset: isWide ? 58 : 46)
    }
    return try image.bytes(at: start, count: entryBytes * count)
  }

  /// The sections; their contents are checked to lie in the file, where they have any.
  func sections(_ image: some ImageSource) throws(HypervisorError) -> [Section] {
    let bytes = BytesImage(try sectionBytes(image))
    var sections: [Section] = []
    for at in stride(from: 0, to: bytes.count, by: max(sectionTable.entryBytes, 1)) {
      let type = try bytes.little(UInt32.self, at: at + 4)
      func field(_ narrow: Int, _ wide: Int) throws(HypervisorError) -> UInt64 {
        isWide ? try bytes.little(at: at + wide) : UInt64(try bytes.little(UInt32.self, at: at + narrow))
      }
      let (offset, count) = (try field(16, 24), try field(20, 32))
      let hasContents = type != 0 && type != 8  // SHT_NULL, SHT_NOBITS
      guard !hasContents || offset <= UInt64(image.count) && count <= UInt64(image.count) - offset else {
        throw HypervisorError(
          .image, "the file is cut short: a section of the ELF file lies past its end",
          offset: Int(truncatingIfNeeded: sectionTable.offset) &+ at)
      }
      sections.append(
        Section(
          type: type, flags: try field(8, 8), address: try field(12, 16),
          offset: hasContents ? Int(truncatingIfNeeded: offset) : 0,
          count: hasContents ? Int(truncatingIfNeeded: count) : 0,
          link: Int(try bytes.little(UInt32.self, at: at + (isWide ? 40 : 24)))))
    }
    return sections
  }

  /// The symbol table and its strings, where the file has them.
  func symbols(_ image: some ImageSource) throws(HypervisorError) -> (table: Section, strings: Section)? {
    let sections = try sections(image)
    guard let table = sections.first(where: { $0.type == 2 && $0.count > 0 }), sections.indices.contains(table.link)
    else { return nil }
    let strings = sections[table.link]
    return strings.type == 3 && strings.count > 0 ? (table, strings) : nil
  }

  /// All notes of the PT_NOTE segments. A note that is cut short ends its segment.
  func notes(_ image: some ImageSource) throws(HypervisorError) -> [Note] {
    var all: [Note] = []
    for segment in segments where segment.type == 4 && segment.fileBytes > 0 {
      guard let offset = Int(exactly: segment.offset), segment.fileBytes <= 1 << 20 else {
        throw HypervisorError(
          .image, "the notes of the ELF file make no sense: the file is damaged", offset: segment.header)
      }
      let count = Int(segment.fileBytes)
      let bytes = try image.bytes(at: offset, count: count)
      let notes = BytesImage(bytes)
      let alignment = segment.alignment == 8 ? 8 : 4
      func align(_ value: Int) -> Int { (value + alignment - 1) & ~(alignment - 1) }
      var at = 0
      while at + 12 <= count {
        let nameBytes = Int(try notes.little(UInt32.self, at: at))
        let valueBytes = Int(try notes.little(UInt32.self, at: at + 4))
        let nameAt = at + 12
        let valueAt = align(nameAt + nameBytes)
        guard nameBytes <= count, valueBytes <= count, valueAt + valueBytes <= count else { break }
        all.append(
          Note(
            owner: Array(bytes[nameAt..<(nameAt + nameBytes)].prefix { $0 != 0 }),
            type: try notes.little(at: at + 8), value: Array(bytes[valueAt..<(valueAt + valueBytes)]),
            valueOffset: offset + valueAt))
        at = align(valueAt + valueBytes)
      }
    }
    return all
  }

  /// Copies every PT_LOAD segment to the address that `place` gives for it, and zeroes what follows its bytes.
  /// Nothing is written before all of them are known to be right.
  func load(
    _ image: some ImageSource, into memory: GuestRAM, layout: inout BootLayout,
    at place: (Segment) throws(HypervisorError) -> UInt64
  ) throws(HypervisorError) {
    var copies: [(segment: Segment, offset: Int, address: UInt64)] = []
    for segment in segments where segment.type == 1 && segment.memoryBytes > 0 {
      guard let offset = Int(exactly: segment.offset), segment.fileBytes <= segment.memoryBytes,
        let fileBytes = Int(exactly: segment.fileBytes)
      else {
        throw HypervisorError(
          .image, "a segment of the ELF file makes no sense: the file is damaged", offset: segment.header)
      }
      try image.check(offset, fileBytes)
      let address = try place(segment)
      try layout.claim(address, segment.memoryBytes, "a segment of the kernel", header: segment.header)
      copies.append((segment, offset, address))
    }
    guard !copies.isEmpty else { throw HypervisorError(.image, "the ELF file has nothing to load") }
    for (segment, offset, address) in copies {
      let count = Int(segment.fileBytes)
      try image.load(at: offset, count: count, to: address, in: memory)
      // Fresh RAM is zero already, but another system may have run in it.
      let rest = try image.place(address + segment.fileBytes, Int(segment.memoryBytes) - count, in: memory)
      memory.mapping.zero(at: rest, count: Int(segment.memoryBytes) - count)
    }
  }

  /// The physical address of `entry`: by the segment whose virtual addresses hold it, or else as it is, if a segment
  /// has it among its physical ones.
  func physicalEntry() throws(HypervisorError) -> UInt64 {
    for segment in segments where segment.type == 1 {
      if entry >= segment.virtualAddress, entry - segment.virtualAddress < segment.memoryBytes {
        return segment.physicalAddress &+ (entry - segment.virtualAddress)
      }
    }
    guard holds(entry) else {
      throw HypervisorError(
        .image, "the entry \(hex(entry)) lies outside the kernel: the file is damaged", offset: 24)
    }
    return entry
  }

  /// Whether a segment to load has the physical address.
  func holds(_ address: UInt64) -> Bool {
    segments.contains {
      $0.type == 1 && address >= $0.physicalAddress && address - $0.physicalAddress < $0.memoryBytes
    }
  }
}
