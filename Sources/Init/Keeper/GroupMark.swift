internal import Binary
internal import Platform

/// What LVM has written last to a physical volume (lib/format_text/layout.h): it tells whether somebody else used the
/// volume while it was away. Each start of the guests' home leaves a mark of its own there.
struct GroupMark: Hashable, Sendable {
  /// The physical volume's identifier, as it lies there.
  var volume: String
  /// The group's identifier; empty for a volume without a group.
  var group: String
  /// How often the group was changed.
  var generation: Int
  /// The head of the metadata area, which changes with each change of the group.
  var head: SHA256.Digest
  /// Where the metadata area begins, in bytes.
  var area: Int

  private static let sector = 512
  /// The label lies in one of the first four sectors.
  private static let labelSectors = 4
  private static let magic = Array(" LVM2 x[5A%r0N*>".utf8)
  private static let textLimit = 1 << 20

  /// Reads `count` bytes of the volume at an offset.
  typealias Reading = (_ offset: Int, _ count: Int) throws(SystemError) -> [UInt8]

  /// The mark of the volume that `read` reads; nil where there is no physical volume with a metadata area.
  static func read(_ read: Reading) throws(SystemError) -> GroupMark? {
    let start = ByteReader(try read(0, labelSectors * sector))
    guard let (volume, area) = try? label(start) else { return nil }
    let head = try read(area, sector)
    guard head.count == sector, head[4..<20].elementsEqual(magic) else { return nil }
    var mark = GroupMark(volume: volume, group: "", generation: 0, head: SHA256.hash(head), area: area)
    guard let place = try? text(ByteReader(head), area: area) else { return mark }
    var bytes: [UInt8] = []
    for range in place { bytes += try read(range.lowerBound, range.count) }
    let words = String(decoding: bytes, as: UTF8.self)
    mark.group = value("id = \"", in: words).map { String($0.prefix { $0 != "\"" }) } ?? ""
    mark.generation = value("seqno = ", in: words).flatMap { Int($0.prefix(while: \.isNumber)) } ?? 0
    return mark
  }

  /// The volume's identifier, and where its metadata area is.
  private static func label(_ reader: ByteReader) throws(TruncatedInput) -> (volume: String, area: Int)? {
    for number in 0..<labelSectors {
      let start = number * sector
      guard try reader.slice(at: start, length: 8).elementsEqual("LABELONE".utf8) else { continue }
      let header = start + Int(try reader.little(UInt32.self, at: start + 20))
      let volume = String(decoding: try reader.slice(at: header, length: 32), as: UTF8.self)
      // Two lists of places, each ended by zeros: of the data, and of metadata areas.
      var place = header + 40
      while try reader.little(UInt64.self, at: place) != 0 { place += 16 }
      let area = try reader.little(UInt64.self, at: place + 16)
      guard area > 0, area < 1 << 40 else { return nil }
      return (volume, Int(area))
    }
    return nil
  }

  /// Where the group's description is, which may go around the area's end; nil for none.
  private static func text(_ head: ByteReader, area: Int) throws(TruncatedInput) -> [Range<Int>]? {
    let size = Int(clamping: try head.little(UInt64.self, at: 32))
    let offset = Int(clamping: try head.little(UInt64.self, at: 40))
    let length = Int(clamping: try head.little(UInt64.self, at: 48))
    guard offset >= sector, length > 0, length <= textLimit, size < 1 << 40, offset < size else { return nil }
    let first = min(length, size - offset)
    var ranges = [(area + offset)..<(area + offset + first)]
    if length > first { ranges.append((area + sector)..<(area + sector + length - first)) }
    return ranges
  }

  private static func value(_ key: String, in text: String) -> Substring? {
    text.firstRange(of: key).map { text[$0.upperBound...] }
  }
}
