/// Disks as a table of plain text.
public enum DiskTable {
  /// A headline and a line for each disk. With `width`, wide names are shortened until the table fits.
  public static func lines(_ disks: [DiskStatus], width: Int? = nil) -> [String] {
    TextTable<DiskStatus>(
      columns: [
        .init(title: "NAME", minimum: 8) { $0.name },
        .init(title: "KIND") { $0.kind.rawValue },
        .init(title: "SIZE", alignsRight: true) { Text.size($0.bytes) },
        .init(title: "WRITTEN", alignsRight: true) { $0.usedPercent.map(Text.percent) ?? "-" },
        .init(title: "OF", minimum: 8) { $0.origin ?? "-" },
        .init(title: "ATTACHED TO", minimum: 11) { $0.attachedTo ?? "-" },
        .init(title: "OPEN") { $0.isOpen ? "yes" : "-" },
      ],
      shrinking: [4, 5, 0]
    ).lines(disks, width: width)
  }
}
