import Platform

@testable import Hypervisor

extension [UInt8] {
  /// A little-endian integer's bytes.
  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// Appends zeros up to a multiple of `alignment`.
  mutating func pad(_ alignment: Int) {
    while count % alignment != 0 { append(0) }
  }
}

/// An ELF file made by hand.
struct SampleELF {
  struct Segment {
    var virtual: UInt64
    var physical: UInt64
    var bytes: [UInt8]
    var bss = 0
  }

  var isWide = false
  var machine: UInt16?
  var systemABI: UInt8 = 0
  var entry: UInt64 = 0x10_0000
  var segments: [Segment] = []
  /// Owner, type and value of one note.
  var note: (owner: String, type: UInt32, value: [UInt8])?
  /// A symbol table and its strings.
  var symbols: (table: [UInt8], strings: [UInt8])?

  /// Offset of the program headers.
  var headerBytes: Int { isWide ? 64 : 52 }
  var programHeaderBytes: Int { isWide ? 56 : 32 }

  private func word(_ value: UInt64) -> [UInt8] {
    isWide ? .little(value) : .little(UInt32(truncatingIfNeeded: value))
  }

  var bytes: [UInt8] {
    let count = segments.count + (note == nil ? 0 : 1)
    var contents: [UInt8] = []
    var headers: [UInt8] = []
    let start = (headerBytes + count * programHeaderBytes + 15) & ~15
    func header(_ type: UInt32, _ at: Int, _ virtual: UInt64, _ physical: UInt64, _ file: Int, _ memory: Int) {
      headers += .little(type)
      if isWide { headers += .little(7 as UInt32) }
      headers += word(UInt64(at)) + word(virtual) + word(physical) + word(UInt64(file)) + word(UInt64(memory))
      if !isWide { headers += .little(7 as UInt32) }
      headers += word(4)
    }
    for segment in segments {
      contents.pad(16)
      header(
        1, start + contents.count, segment.virtual, segment.physical, segment.bytes.count,
        segment.bytes.count + segment.bss)
      contents += segment.bytes
    }
    if let note {
      contents.pad(16)
      var body: [UInt8] = .little(UInt32(note.owner.utf8.count + 1)) + .little(UInt32(note.value.count))
      body += .little(note.type) + Array(note.owner.utf8) + [0]
      body.pad(4)
      body += note.value
      header(4, start + contents.count, 0, 0, body.count, body.count)
      contents += body
    }
    var sections: [UInt8] = []
    if let symbols {
      contents.pad(16)
      func section(_ type: UInt32, _ at: Int, _ count: Int, link: UInt32) {
        sections += .little(0 as UInt32) + .little(type) + word(0) + word(0) + word(UInt64(at)) + word(UInt64(count))
        sections += .little(link) + .little(0 as UInt32) + word(8) + word(0)
      }
      section(0, 0, 0, link: 0)
      section(2, start + contents.count, symbols.table.count, link: 2)
      contents += symbols.table
      section(3, start + contents.count, symbols.strings.count, link: 0)
      contents += symbols.strings
      contents.pad(16)
    }
    var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, isWide ? 2 : 1, 1, 1, systemABI] + [UInt8](repeating: 0, count: 8)
    file += .little(2 as UInt16) + .little(machine ?? (isWide ? 62 : 3)) + .little(1 as UInt32)
    file += word(entry) + word(UInt64(headerBytes))
    file += word(sections.isEmpty ? 0 : UInt64(start + contents.count)) + .little(0 as UInt32)
    file += .little(UInt16(headerBytes)) + .little(UInt16(programHeaderBytes)) + .little(UInt16(count))
    file += .little(UInt16(isWide ? 64 : 40)) + .little(UInt16(sections.isEmpty ? 0 : 3))
    file += .little(UInt16(sections.isEmpty ? 0 : 2))
    file += headers
    file.pad(16)
    return file + contents + sections
  }
}

extension SampleImages {
  /// A Multiboot 1 header, with its checksum.
  static func multiboot1(flags: UInt32, _ fields: [UInt32] = []) -> [UInt8] {
    let magic: UInt32 = 0x1BAD_B002
    return ([magic, flags, 0 &- magic &- flags] + fields).flatMap { [UInt8].little($0) }
  }

  /// A tag of a Multiboot 2 header, padded to 8 bytes.
  static func tag(_ type: UInt16, _ words: [UInt32], isOptional: Bool = false) -> [UInt8] {
    var tag: [UInt8] = .little(type) + .little((isOptional ? 1 : 0) as UInt16) + .little(UInt32(8 + words.count * 4))
    tag += words.flatMap { [UInt8].little($0) }
    tag.pad(8)
    return tag
  }

  /// A Multiboot 2 header around tags.
  static func multiboot2(_ tags: [[UInt8]] = [], architecture: UInt32 = 0) -> [UInt8] {
    let body = tags.flatMap { $0 } + tag(0, [])
    let (magic, length): (UInt32, UInt32) = (0xE852_50D6, UInt32(16 + body.count))
    return [magic, architecture, length, 0 &- magic &- architecture &- length].flatMap { [UInt8].little($0) } + body
  }

  /// A 32-bit ELF at 1 MiB: a header of either version (at most 240 bytes), and at its byte 256 the entry.
  static func multibootELF(_ header: [UInt8], _ code: [UInt8] = [0xF4], symbols: Bool = false) -> [UInt8] {
    var segment = header
    segment.pad(256)
    var file = SampleELF(entry: 0x10_0100)
    file.segments = [.init(virtual: 0x10_0000, physical: 0x10_0000, bytes: segment + code, bss: 64)]
    if symbols { file.symbols = ([UInt8](repeating: 0x51, count: 32), [UInt8](repeating: 0x52, count: 13)) }
    return file.bytes
  }

  /// No ELF: 64 bytes of anything, a Multiboot 1 header with addresses, code.
  static func multibootFlat(_ code: [UInt8] = [0xF4], entry: UInt32 = 0x10_0060) -> [UInt8] {
    let addresses: [UInt32] = [0x10_0010, 0x10_0000, UInt32(0x10_0060 + code.count), UInt32(0x10_00C0 + code.count)]
    var file = [UInt8](repeating: 0xEE, count: 64) + [UInt8](repeating: 0xAA, count: 16)
    file += multiboot1(flags: 0x1_0003, addresses + [entry])
    while file.count < 64 + 0x60 { file.append(0) }
    return file + code + [0xEE, 0xEE]
  }

  /// A 64-bit FreeBSD kernel at 2 MiB.
  static func freeBSD(_ code: [UInt8] = [0xF4], symbols: Bool = true) -> [UInt8] {
    let base = FreeBSDBoot.kernelBase
    var file = SampleELF(isWide: true, systemABI: 9, entry: base + 0x20_0000)
    file.segments = [
      .init(virtual: base + 0x20_0000, physical: 0x20_0000, bytes: code),
      .init(virtual: base + 0x20_1008, physical: 0x20_1008, bytes: [1, 2, 3, 4, 5], bss: 100),
    ]
    if symbols { file.symbols = ([UInt8](repeating: 0x51, count: 48), [UInt8](repeating: 0x52, count: 13)) }
    return file.bytes
  }

  /// A 32-bit Plan 9 kernel with text and data.
  static func plan9(_ code: [UInt8] = [0xF4], data: [UInt8] = [7, 8, 9], magic: UInt32 = 0x1EB) -> [UInt8] {
    let words: [UInt32] = [magic, UInt32(code.count), UInt32(data.count), 100, 0, 0xF010_0020, 0, 0]
    return words.flatMap { [UInt8].little($0.byteSwapped) } + code + data
  }

  /// 9legacy's 64-bit kernel as far as one can tell.
  static func plan9ELF(_ code: [UInt8] = [0xF4]) -> [UInt8] {
    var segment = multiboot1(flags: 3)
    segment.pad(256)
    var file = SampleELF(entry: 0x11_0100)
    file.segments = [
      .init(virtual: 0xF011_0000, physical: 0x11_0000, bytes: segment + code),
      .init(virtual: 0xF011_2000, physical: 0x11_2000, bytes: Array("ioexclude\0#S/sdC0/\0".utf8), bss: 64),
    ]
    return file.bytes
  }

  /// 9front's kernel as far as one can tell: a.out whose Multiboot header enters elsewhere.
  static func plan9Front(_ code: [UInt8] = [0xF4]) -> [UInt8] {
    let count = 0x40 + code.count
    var text = multiboot1(
      flags: 0x1_0007,
      [0x10_0020, 0x10_0020, UInt32(0x10_0020 + count), UInt32(0x10_0420 + count), 0x10_0060, 0, 0, 0, 0])
    while text.count < 0x40 { text.append(0) }
    return plan9(text + code, data: [])
  }

  /// An uncompressed Linux kernel at 16 MiB.
  static func vmlinux(_ code: [UInt8] = [0xF4], at address: UInt64 = 0x100_0000) -> [UInt8] {
    var file = SampleELF(isWide: true, entry: address)
    file.segments = [.init(virtual: 0xFFFF_FFFF_8000_0000 + address, physical: address, bytes: code, bss: 64)]
    file.note = ("Linux", 0x100, [1, 2, 3, 4])
    return file.bytes
  }
}

extension GuestRAM {
  /// An integer at an address below 4 GiB.
  func word<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, _ address: some BinaryInteger) -> T {
    mapping.load(at: Int(address))
  }

  /// An integer of the type that is wanted.
  func word<T: FixedWidthInteger & BitwiseCopyable>(_ address: some BinaryInteger) -> T {
    word(T.self, address)
  }

  /// The bytes up to a NUL.
  func text(_ address: some BinaryInteger) -> String {
    var bytes: [UInt8] = []
    while bytes.count < 5000 {
      let byte = word(UInt8.self, Int(address) + bytes.count)
      if byte == 0 { break }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// What a loader says against an image; empty when it takes it.
func refusal(_ body: () throws(HypervisorError) -> Void) -> String {
  do throws(HypervisorError) {
    try body()
    return ""
  } catch {
    return error.description
  }
}

/// No modules, of a type.
var noModules: [BootModule<BytesImage>] { [] }
