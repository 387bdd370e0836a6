internal import Platform
internal import Probing

/// What a device or file holds.
public struct Probe: Hashable, Sendable {
  /// Type of the content, such as `squashfs` or `LVM2_member`; nil when there is none that libblkid knows.
  public let type: String?
  /// Identifier in the content's own notation.
  public let uuid: String?

  /// Looks at `path`, a device or a regular file. Content of two types at once is refused.
  public init(_ path: String) throws(StorageError) {
    let sole = try storage("look into \(path)") { () throws(SystemError) in try ContentProbe(path).sole() }
    switch sole {
    case .ambiguous:
      throw StorageError(.medium, "\(path) has the marks of more than one kind of content; it is not used")
    case .nothing: (type, uuid) = (nil, nil)
    case .content(let content): (type, uuid) = (content.type, content.uuid)
    }
  }

  /// What a device or file is marked with: file systems, physical volumes, partition tables and the like, in libblkid's
  /// words; empty where it holds nothing that libblkid knows.
  ///
  /// - Throws: `system` where it cannot be read: that is not empty.
  public static func marks(_ path: String) throws(StorageError) -> [String] {
    try eachMark(path, isWiped: false)
  }

  /// Takes all marks off a device or file, so that nobody takes it for what it was. Returns what they were.
  @discardableResult
  public static func wipe(_ path: String) throws(StorageError) -> [String] {
    try eachMark(path, isWiped: true)
  }

  private static func eachMark(_ path: String, isWiped: Bool) throws(StorageError) -> [String] {
    try storage(isWiped ? "wipe \(path)" : "look into \(path)") { () throws(SystemError) in
      let probe = try ContentProbe(path, .wipeable)
      var marks: [String] = []
      // A device has fewer marks than this, unless somebody made one to keep us here.
      while marks.count < 64, let content = try probe.next() {
        let label = content.label.map { " \"\($0)\"" } ?? ""
        marks.append(
          (content.type ?? content.partitionTable.map { "partition table (\($0))" } ?? "something") + label)
        if isWiped { try probe.wipe() }
      }
      return marks
    }
  }
}
