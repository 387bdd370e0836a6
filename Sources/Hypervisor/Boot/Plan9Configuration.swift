/// The text of plan9.ini (plan9.ini(8)) that a kernel gets.
///
/// A command line with a newline in it is the text. Without one it is words (see `BootWords`), and each becomes a line.
/// Lines are `name=value`; empty ones and those that begin with `#` are left out. What an unattended boot on a serial
/// console needs is added where the name does not occur.
struct Plan9Configuration: Hashable {
  /// `name=value`.
  private(set) var lines: [String] = []

  static let lineLimit = 64
  static let byteLimit = 3520

  /// - Parameter memory: bytes of RAM below 4 GiB.
  init(_ commandLine: String, for kind: Plan9Boot.Kind, memory: UInt64) throws(HypervisorError) {
    let given =
      commandLine.contains { $0.isNewline }
      ? commandLine.split(whereSeparator: \.isNewline).map { String($0) } : try BootWords.split(commandLine)
    for line in given where line.contains(where: { $0 != " " && $0 != "\t" }) && line.first != "#" {
      guard let mark = line.firstIndex(of: "="), mark != line.startIndex, line.first != "[" else {
        throw HypervisorError(
          .configuration, "the line \(line) of plan9.ini is not name=value; menus are not possible here")
      }
      lines.append(line)
    }
    for line in Self.defaults(for: kind, memory: memory) where !hasLine(named: Self.name(line)) { lines.append(line) }
    guard lines.count <= Self.lineLimit, bytes.count < Self.byteLimit, !bytes.contains(0) else {
      throw HypervisorError(
        .configuration,
        "plan9.ini has \(lines.count) lines and \(bytes.count) bytes with what a serial console needs;"
          + " \(Self.lineLimit) and \(Self.byteLimit - 1) are the limits, and a NUL is not possible")
    }
  }

  /// The text, without the NUL that ends it.
  var bytes: [UInt8] { lines.flatMap { Array($0.utf8) + [0x0A] } }

  /// Names are the same in capitals and small letters.
  private func hasLine(named name: String) -> Bool {
    lines.contains { Self.name($0) == name }
  }

  private static func name(_ line: String) -> String {
    line.prefix { $0 != "=" }.lowercased()
  }

  private static func defaults(for kind: Plan9Boot.Kind, memory: UInt64) -> [String] {
    let console = ["console=0", "user=glenda"]
    let legacy = ["sysname=gnot", "factotumopts=-n", "nobootprompt=local!#S/sdF0/data"]
    return switch kind {
    case .aout32:
      // One CPU with the 8259 pair and the PIT, no BIOS calls, memory by probing up to what there is.
      console + legacy + [
        "*nomp=1", "*norealmode=1", "*maxmem=\(hex(memory))", "nousbboot=1", "*nowatchdog=1",
      ]
    // The driver of the serial port would take its ports away from the console's.
    case .aout64, .elf: console + legacy + ["ioexclude=0x3f8-0x3ff"]
    case .multiboot: console + ["nobootprompt=local!/dev/sdF0/fs"]
    }
  }
}
