internal import FoundationEssentials

/// What defines a domain that was made on the fly, as tags of its volume: a domain is where its disk is, and there is one
/// as long as there is the other.
///
///     roost.definition.PIECE.PIECES=TEXT   the definition in base64, cut into pieces
///
/// A tag has 1024 characters at most, letters, digits, and `_ + . - / = ! : # &` (lvm(8), "Tags").
enum Definition {
  private static let beginning = "roost.definition."
  /// Characters of a definition in one tag.
  private static let pieceLength = 896
  /// Bytes that a definition may have. LVM cuts a report's line after 4095 bytes, and all tags of a volume are in one.
  static let limit = 2400

  /// The tags that tell a definition.
  static func tags(_ definition: [UInt8]) -> [String] {
    var rest = Data(definition).base64EncodedString()[...]
    var pieces: [Substring] = []
    repeat {
      pieces.append(rest.prefix(pieceLength))
      rest = rest.dropFirst(pieceLength)
    } while !rest.isEmpty
    return pieces.enumerated().map { "\(beginning)\($0.offset).\(pieces.count)=\($0.element)" }
  }

  /// Those of a volume's tags that tell a definition.
  static func tags(among tags: [String]) -> [String] {
    tags.filter { $0.hasPrefix(beginning) }
  }

  /// What a volume's tags tell; nil where they tell none, or not all of one.
  static func read(_ tags: [String]) -> [UInt8]? {
    var pieces: [Int: Substring] = [:]
    var count: Int?
    for tag in tags where tag.hasPrefix(beginning) {
      guard let equals = tag.firstIndex(of: "=") else { return nil }
      let words = tag[..<equals].dropFirst(beginning.count).split(separator: ".", omittingEmptySubsequences: false)
      guard words.count == 2, let number = Int(words[0]), let whole = Int(words[1]), count ?? whole == whole else {
        return nil
      }
      count = whole
      pieces[number] = tag[equals...].dropFirst()
    }
    guard let count, pieces.count == count else { return nil }
    return Data(base64Encoded: pieces.sorted { $0.key < $1.key }.map(\.value).joined()).map(Array.init)
  }

  /// What defines domains, by their names, as text.
  static func report(_ lvm: LVM, group: String) throws(StorageError) -> [String: String] {
    definitions(try lvm.report("lvs", columns: ["lv_name", "lv_tags"], [group]))
  }

  /// Definitions in report rows. A volume with a dot in its name is none yet, or none any more.
  static func definitions(_ rows: [[String: String]]) -> [String: String] {
    var definitions: [String: String] = [:]
    for row in rows {
      guard let name = row["lv_name"], !name.contains("."),
        let bytes = read((row["lv_tags"] ?? "").split(separator: ",").map(String.init))
      else { continue }
      definitions[name] = String(decoding: bytes, as: UTF8.self)
    }
    return definitions
  }

  /// The name of a volume whose domain is being made. No disk has a dot in its name.
  static func unfinished(_ name: String) -> String { "\(name).made" }

  /// Volumes that a power loss, or somebody's SIGKILL, left half-made.
  static func unfinished(among rows: [[String: String]]) -> [String] {
    rows.compactMap { $0["lv_name"] }.filter { $0.hasSuffix(unfinished("")) }.sorted()
  }
}
