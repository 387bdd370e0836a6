internal import Binary

/// A term of ACPI Machine Language, encoded. ACPI 6.5, chapter 20.
struct AML: Hashable {
  var bytes: [UInt8]

  private init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// Several terms, one after another.
  static func list(_ terms: [AML]) -> AML { AML(terms.flatMap(\.bytes)) }

  // MARK: Names and data (20.2.2, 20.2.3)

  /// A path such as `\_SB`, `PCI0` or `\_SB.PCI0`; segments are padded with `_`.
  static func path(_ text: String) -> AML {
    var bytes: [UInt8] = []
    var rest = text[...]
    if rest.hasPrefix("\\") {
      bytes.append(0x5C)
      rest = rest.dropFirst()
    }
    let segments = rest.split(separator: ".")
    switch segments.count {
    case 0: bytes.append(0)
    case 1: break
    case 2: bytes.append(0x2E)
    default: bytes += [0x2F, UInt8(segments.count)]
    }
    for segment in segments {
      bytes += Array(segment.utf8.prefix(4))
      bytes += [UInt8](repeating: 0x5F, count: max(0, 4 - segment.utf8.count))
    }
    return AML(bytes)
  }

  /// The shortest encoding of an integer.
  static func integer(_ value: UInt64) -> AML {
    var writer = ByteWriter()
    switch value {
    case 0: writer.little(0x00 as UInt8)
    case 1: writer.little(0x01 as UInt8)
    case ...0xFF:
      writer.little(0x0A as UInt8)
      writer.little(UInt8(value))
    case ...0xFFFF:
      writer.little(0x0B as UInt8)
      writer.little(UInt16(value))
    case ...0xFFFF_FFFF:
      writer.little(0x0C as UInt8)
      writer.little(UInt32(value))
    default:
      writer.little(0x0E as UInt8)
      writer.little(value)
    }
    return AML(writer.bytes)
  }

  /// A NUL-terminated string of ASCII.
  static func string(_ text: String) -> AML { AML([0x0D] + Array(text.utf8) + [0]) }

  /// An EISA identifier such as PNP0A03, compressed (19.3.4).
  static func eisaID(_ text: String) -> AML {
    let characters = Array(text.utf8)
    let letters = characters.prefix(3).reduce(0 as UInt32) { $0 << 5 | UInt32($1 & 0x1F) }
    let product = UInt32(String(text.dropFirst(3)), radix: 16) ?? 0
    return integer(UInt64((letters << 16 | product).byteSwapped))
  }

  /// A package of terms.
  static func package(_ terms: [AML]) -> AML {
    AML([0x12] + lengthPrefixed([UInt8(terms.count)] + list(terms).bytes))
  }

  /// A buffer of bytes.
  static func buffer(_ contents: [UInt8]) -> AML {
    AML([0x11] + lengthPrefixed(integer(UInt64(contents.count)).bytes + contents))
  }

  // MARK: Named objects (20.2.5)

  /// Gives a name to data.
  static func name(_ name: String, _ value: AML) -> AML { AML([0x08] + path(name).bytes + value.bytes) }

  static func scope(_ name: String, _ terms: [AML]) -> AML {
    AML([0x10] + lengthPrefixed(path(name).bytes + list(terms).bytes))
  }

  static func device(_ name: String, _ terms: [AML]) -> AML {
    AML([0x5B, 0x82] + lengthPrefixed(path(name).bytes + list(terms).bytes))
  }

  /// A method; one that makes names must be serialized.
  static func method(_ name: String, arguments: UInt8, isSerialized: Bool = false, _ terms: [AML]) -> AML {
    let flags = arguments & 7 | (isSerialized ? 0x08 : 0)
    return AML([0x14] + lengthPrefixed(path(name).bytes + [flags] + list(terms).bytes))
  }

  /// Spaces that a region may lie in (5.5.2.4).
  enum Space: UInt8 {
    case io = 1
    case pciConfiguration = 2
  }

  /// `count` bytes from `offset` of a space.
  static func region(_ name: String, _ space: Space, at offset: UInt64, count: UInt64) -> AML {
    AML([0x5B, 0x80] + path(name).bytes + [space.rawValue] + integer(offset).bytes + integer(count).bytes)
  }

  /// The bytes of a region, one name each, accessed as bytes.
  static func byteFields(_ region: String, _ names: [String]) -> AML {
    AML([0x5B, 0x81] + lengthPrefixed(path(region).bytes + [0x01] + names.flatMap { path($0).bytes + [8] }))
  }

  // MARK: What methods do (20.2.5)

  static func argument(_ index: UInt8) -> AML { AML([0x68 + index]) }

  static func store(_ value: AML, _ target: AML) -> AML { AML([0x70] + value.bytes + target.bytes) }

  /// Bitwise; without a target only the value counts.
  static func and(_ left: AML, _ right: AML, to target: AML = nothing) -> AML {
    AML([0x7B] + left.bytes + right.bytes + target.bytes)
  }

  /// Bitwise.
  static func or(_ left: AML, _ right: AML, to target: AML = nothing) -> AML {
    AML([0x7D] + left.bytes + right.bytes + target.bytes)
  }

  /// Logical.
  static func not(_ value: AML) -> AML { AML([0x92] + value.bytes) }

  static func when(_ condition: AML, _ terms: [AML]) -> AML {
    AML([0xA0] + lengthPrefixed(condition.bytes + list(terms).bytes))
  }

  /// Tells the system's driver of a device what happened to it (5.6.6).
  static func notify(_ device: String, _ what: UInt64) -> AML { AML([0x86] + path(device).bytes + integer(what).bytes) }

  /// Ends a method.
  static func result(_ value: AML) -> AML { AML([0xA4] + value.bytes) }

  /// Names the four bytes at `offset` of a buffer.
  static func doubleWordField(_ name: String, in buffer: AML, at offset: UInt64) -> AML {
    AML([0x8A] + buffer.bytes + integer(offset).bytes + path(name).bytes)
  }

  /// The target that takes nothing.
  private static var nothing: AML { AML([0]) }

  /// PkgLength and what it counts: the length includes its own one to four bytes (20.2.4).
  private static func lengthPrefixed(_ body: [UInt8]) -> [UInt8] {
    if body.count + 1 < 0x40 { return [UInt8(body.count + 1)] + body }
    let more = body.count + 2 < 1 << 12 ? 1 : body.count + 3 < 1 << 20 ? 2 : 3
    let length = body.count + 1 + more
    var prefix = [UInt8(more << 6 | length & 0x0F)]
    for index in 0..<more { prefix.append(UInt8(truncatingIfNeeded: length >> (4 + 8 * index))) }
    return prefix + body
  }

  // MARK: Resources (6.4)

  /// A resource template: descriptors and the end tag, in a buffer.
  static func resources(_ descriptors: [Resource]) -> AML {
    buffer(descriptors.flatMap(\.bytes) + [0x79, 0])
  }
}

/// A resource descriptor. ACPI 6.5, 6.4.
enum Resource: Hashable {
  /// Ports that are decoded with 16 bits.
  case ports(UInt16, count: UInt8)
  /// An ISA interrupt: edge, active high, exclusive.
  case interrupt(UInt8)
  /// A PCI interrupt as link devices give it: level, active high (as the I/O APIC sees the wires), shared.
  case sharedInterrupt(UInt32)
  /// What a bridge passes on.
  case buses(ClosedRange<UInt16>)
  case portWindow(ClosedRange<UInt16>)
  case memoryWindow32(ClosedRange<UInt32>)
  case memoryWindow64(ClosedRange<UInt64>)

  var bytes: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .ports(let first, let count):
      writer.raw([0x47, 1])
      writer.little(first)
      writer.little(first)
      writer.raw([1, count])
    case .interrupt(let line):
      writer.little(0x22 as UInt8)
      writer.little(UInt16(1) << UInt16(line & 15))
    case .sharedInterrupt(let line):
      writer.raw([0x89, 6, 0, 0x09, 1])
      writer.little(line)
    case .buses(let range):
      writer.raw([0x88, 13, 0, 2, 0x0C, 0])
      Self.window(range, &writer)
    case .portWindow(let range):
      writer.raw([0x88, 13, 0, 1, 0x0C, 3])
      Self.window(range, &writer)
    case .memoryWindow32(let range):
      writer.raw([0x87, 23, 0, 0, 0x0C, 1])
      Self.window(range, &writer)
    case .memoryWindow64(let range):
      writer.raw([0x8A, 43, 0, 0, 0x0C, 1])
      Self.window(range, &writer)
    }
    return writer.bytes
  }

  /// Granularity, first, last, translation, length.
  private static func window<T: FixedWidthInteger>(_ range: ClosedRange<T>, _ writer: inout ByteWriter) {
    writer.little(0 as T)
    writer.little(range.lowerBound)
    writer.little(range.upperBound)
    writer.little(0 as T)
    writer.little(range.upperBound &- range.lowerBound &+ 1)
  }
}
