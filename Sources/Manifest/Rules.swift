internal import Identity

/// What values a recipe may have.
package enum Limits {
  package static let cpus = 1...64
  package static let memory = (8 << 20)...(1 << 40)  // bytes
  package static let memoryGranule = 1 << 20  // bytes
  package static let disk = (16 << 20)...(1 << 44)  // bytes
  /// The size of LVM's extents, and so the granule of disks.
  package static let diskGranule = 4 << 20  // bytes
  package static let ramVolume = (64 << 20)...(1 << 40)  // bytes
  package static let readySeconds = 1...86_400
  package static let commandLine = 2_000  // bytes
  package static let domains = 64
  package static let networks = 32
  package static let cards = 8  // of a domain
  /// What VNC's authentication looks at (RFC 6143, section 7.2.2).
  package static let vncPassword = 8  // bytes
  package static let modules = 32
  package static let sources = 64
  package static let remotes = 32
  package static let tokens = 64
  package static let fileSize = 1 << 20  // bytes
  /// Aliases that a recipe may have: few enough that nesting them cannot blow up its size.
  package static let aliases = 30
  package static let nesting = 64
  /// Users, services or the like of one system.
  /// Levels of zstd.
  package static let compression = 1...22
  package static let customEntries = 256
  package static let customFiles = 1024
  package static let customFileSize = 64 << 20  // bytes
  /// What GRUB's menu cannot hold: it would end or expand something there.
  package static let menuCharacters: Set<Character> = [
    "\"", "'", "\\", "$", "`", ";", "{", "}", "<", ">", "|", "&", "#", "\n", "@",
  ]
  package static let includeDepth = 8
  package static let includes = 64
  package static let includedSize = 4 << 20  // bytes
  package static let variables = 256
  /// Of one variable's value.
  package static let variableSize = 16 << 10  // bytes
  /// All text that variables are replaced in, afterwards: aliases could multiply it.
  package static let replacedSize = 4 << 20  // bytes
}

package enum Names {
  /// What keeps `name` from being a DNS label (RFC 1123 section 2.1, lower case), in words that follow
  /// a subject; nil when nothing does.
  package static func problem(_ name: String) -> String? {
    HostName.problem(name)
  }

  /// Beginnings of names that the appliance's volume group or LVM itself keeps (lvm(8), "Valid names").
  package static let reservedBeginnings = ["image-", "pvmove", "snapshot", "roost-"]

  /// What keeps `name` from being a domain's: it is a host's name and a logical volume's at once.
  package static func domainProblem(_ name: String) -> String? {
    volumeProblem(name, tooLong: "is longer than 48 characters, more than its disk's name can take")
  }

  /// What keeps `name` from being that of a disk, a snapshot or a clone, which are logical volumes.
  package static func diskProblem(_ name: String) -> String? {
    volumeProblem(name, tooLong: "is longer than 48 characters")
  }

  /// Of the 127 bytes of a device-mapper name, 48 are left for a volume's (hyphens are doubled there).
  private static func volumeProblem(_ name: String, tooLong: String) -> String? {
    if let problem = problem(name) { return problem }
    if name.utf8.count > 48 { return tooLong }
    guard let beginning = reservedBeginnings.first(where: name.hasPrefix) else { return nil }
    return "may not begin with '\(beginning)', which is kept for the appliance's own volumes"
  }

  /// What keeps `name` from being a Debian package's (Debian Policy section 5.6.1).
  package static func packageProblem(_ name: String) -> String? {
    let bytes = Array(name.utf8)
    let isLetterOrDigit = { (byte: UInt8) in (97...122).contains(byte) || (48...57).contains(byte) }
    guard bytes.count >= 2, let first = bytes.first, isLetterOrDigit(first),
      bytes.allSatisfy({ isLetterOrDigit($0) || [43, 45, 46].contains($0) })
    else { return "is not the name of a Debian package (lower-case letters, digits, and + - .)" }
    return nil
  }

  /// What keeps `name` from being a network interface's (linux/if.h: IFNAMSIZ is 16 with the NUL).
  package static func interfaceProblem(_ name: String) -> String? {
    let isName =
      (1...15).contains(name.utf8.count)
      && name.allSatisfy { $0.isASCII && !$0.isWhitespace && $0 != "/" && $0 != ":" }
      && isPrintable(name) && name != "." && name != ".."
    return isName ? nil : "is not the name of a network card, such as eth0"
  }

  /// True if `text` shows as itself on any terminal: no control characters.
  package static func isPrintable(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      switch scalar.properties.generalCategory {
      case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
      default: true
      }
    }
  }
}

/// Guesses at what was meant.
public enum Spelling {
  /// The candidate that `word` was probably meant to be; nil when none is near.
  public static func nearest(to word: String, in candidates: [String]) -> String? {
    guard word.count <= 64 else { return nil }
    let near = candidates.map { (distance: distance(word.lowercased(), $0), word: $0) }.min { $0 < $1 }
    guard let near, near.distance <= max(1, min(word.count, near.word.count) / 3) + 1,
      near.distance < near.word.count
    else { return nil }
    return near.word
  }

  /// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other
  /// (optimal string alignment).
  static func distance(_ left: String, _ right: String) -> Int {
    let a = Array(left)
    let b = Array(right)
    var table = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
    for i in 0...a.count { table[i][0] = i }
    for j in 0...b.count { table[0][j] = j }
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    for i in 1...a.count {
      for j in 1...b.count {
        let replace = table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
        table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replace)
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
        }
      }
    }
    return table[a.count][b.count]
  }
}
