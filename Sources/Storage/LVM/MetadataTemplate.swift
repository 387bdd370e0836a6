/// The volume group's description on the medium, in LVM's text format.
struct MetadataTemplate {
  let text: String

  /// The same group with another size of the physical volume `pv_ram`, whose extents are all free.
  ///
  /// The medium's description says how much memory the recipe wants; the machine may have less.
  func withRAM(extents: Int, extentBytes: Int) throws(StorageError) -> MetadataTemplate {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard let start = lines.firstIndex(where: { Self.words($0) == ["pv_ram", "{"] }),
      let end = lines[start...].firstIndex(where: { Self.words($0) == ["}"] })
    else { throw StorageError(.medium, "the medium's volume-group.conf has no physical volume pv_ram") }
    var dataOffset: Int?  // sectors
    var places: [String: Int] = [:]
    for index in start..<end {
      let words = Self.words(lines[index])
      guard words.count == 3, words[1] == "=" else { continue }
      if words[0] == "pe_start" { dataOffset = Int(words[2]) }
      places[words[0]] = index
    }
    guard let dataOffset, let size = places["dev_size"], let count = places["pe_count"] else {
      throw StorageError(.medium, "the medium's volume-group.conf does not tell the size of pv_ram")
    }
    lines[size] = "dev_size = \(dataOffset + extents * (extentBytes / 512))"
    lines[count] = "pe_count = \(extents)"
    return MetadataTemplate(text: lines.joined(separator: "\n"))
  }

  /// The same group with another identifier and another one for `pv_ram`: a group of its own, on another device.
  func withIdentifiers(group: String, volume: String) throws(StorageError) -> MetadataTemplate {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    func isIdentifier(_ line: String) -> Bool { Self.words(line).prefix(2) == ["id", "="] }
    guard let first = lines.firstIndex(where: isIdentifier),
      let start = lines.firstIndex(where: { Self.words($0) == ["pv_ram", "{"] }), first < start,
      let second = lines[start...].firstIndex(where: isIdentifier)
    else { throw StorageError(.medium, "the medium's volume-group.conf has no physical volume pv_ram") }
    lines[first] = "id = \"\(group)\""
    lines[second] = "id = \"\(volume)\""
    return MetadataTemplate(text: lines.joined(separator: "\n"))
  }

  private static func words(_ line: String) -> [String] {
    line.split { $0 == " " || $0 == "\t" }.map(String.init)
  }
}
