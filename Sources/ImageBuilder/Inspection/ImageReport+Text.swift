internal import Manifest

extension ImageReport {
  /// How many of the largest files are shown.
  private static let largest = 12

  /// The report for people, line by line; nothing in it steers a terminal.
  public var lines: [String] {
    var lines = ["\(path): the appliance \"\(manifest.name)\", \(Self.size(bytes))", ""]
    lines += Self.table([
      ["recipe", "SHA-256 \(manifest.recipeDigest)"],
      ["lock file", lockDigest.map { "SHA-256 \($0)" } ?? "none"],
      ["volume", "\(volume.identifier), \(volume.uuid ?? "without an identifier"), \(Self.size(volume.bytes))"],
      ["Roost", roostVersion ?? "unknown: the image has no bill of materials"],
      ["kernel", kernelVersion ?? "unknown"],
      ["command line", commandLine ?? "unknown"],
      ["control domain", "\(manifest.controlDomain.hostname), Debian \(manifest.controlDomain.suite)"],
    ])
    lines += ["", "Domains"]
    lines += Self.table(
      manifest.domains.map { domain in
        [
          domain.name, domain.os, domain.boot.method.rawValue, "\(domain.cpus) CPU\(domain.cpus == 1 ? "" : "s")",
          "\(Self.size(domain.memoryBytes)) of memory",
          domain.disk.map { "disk of \(Self.size($0.bytes))" } ?? "no disk",
        ]
      })
    lines += ["", "Boots"]
    lines += Self.table(
      bootEntries.map { entry in
        [
          "El Torito", entry.platform,
          "block \(entry.block), loads \(entry.loadBytes) bytes"
            + (entry.emulation == "none" ? "" : ", emulation \(entry.emulation)")
            + (entry.isBootable ? "" : ", not bootable"),
        ]
      } + menu.map { ["GRUB", "menu", $0] })
    lines += ["", "Partitions"]
    lines += Self.table(
      partitions.map { partition in
        [
          partition.table, "\(partition.number)", partition.name ?? "type \(partition.type)",
          "at \(partition.start)", Self.size(partition.bytes) + (partition.isActive ? ", active" : ""),
        ]
      })
    let shown = files.sorted { ($1.bytes, $0.path) < ($0.bytes, $1.path) }
    lines += ["", "Files: \(files.count), \(Self.size(files.reduce(0) { $0 + $1.bytes })) in all"]
    lines += Self.table(shown.prefix(Self.largest).map { [Self.size($0.bytes), $0.path] })
    if shown.count > Self.largest { lines.append("  and \(shown.count - Self.largest) smaller ones") }
    if !roots.isEmpty {
      lines += ["", "Packages"]
      lines += Self.table(
        roots.map { root in
          let known = root.packages.count { $0.license != SPDXDocument.noAssertion }
          return [root.name, "\(root.packages.count) packages, \(known) of them with licences for machines to read"]
        })
    }
    return lines.map { EscapedText.make($0) }
  }

  /// Columns as wide as they need, indented.
  private static func table(_ rows: [[String]]) -> [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      var line = " "
      for (column, text) in row.enumerated() {
        let isLast = column == row.count - 1
        line += " " + text + (isLast ? "" : String(repeating: " ", count: widths[column] - text.count + 1))
      }
      return line
    }
  }

  /// `287.8 MiB`.
  static func size(_ bytes: Int) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] where bytes >= 1 << shift {
      if bytes % (1 << shift) == 0 { return "\(bytes >> shift) \(unit)" }
      let tenths = ((bytes >> (shift - 10)) * 10) / 1024
      return "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(bytes) bytes"
  }
}
