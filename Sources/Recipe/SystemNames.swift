internal import Manifest

/// What names in a Debian system look like.
enum SystemNames {
  /// Kinds of units that a recipe may switch on and off (systemd.unit(5)).
  static let units = ["service", "socket", "timer", "path", "target", "mount", "automount"]

  /// Of users that a recipe may make, as adduser(8) allows them, and root.
  static func userProblem(_ name: String) -> String? {
    let bytes = Array(name.utf8)
    guard let first = bytes.first, bytes.count <= 32, isLower(first) || first == 95,
      bytes.allSatisfy({ isLower($0) || isDigit($0) || $0 == 45 || $0 == 95 })
    else { return "is no name that Debian gives (at most 32 lower-case letters, digits, - and _, a letter first)" }
    return nil
  }

  /// Of users and of groups that are there: packages of Debian's make some with upper-case letters, such as Debian-exim.
  static func accountProblem(_ name: String) -> String? {
    let bytes = Array(name.utf8)
    guard let first = bytes.first, bytes.count <= 32, !isDigit(first), first != 45,
      bytes.allSatisfy({ isAlphanumeric($0) || $0 == 45 || $0 == 95 })
    else { return "is no name that Debian has (at most 32 letters, digits, - and _, a letter first)" }
    return nil
  }

  /// Of `user`, `user:group`, or the numbers of these.
  static func ownerProblem(_ text: String) -> String? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let areNames = parts.allSatisfy { part in
      part.utf8.allSatisfy(isDigit) ? UInt32(part).map { $0 < 0xFFFF_FFFE } == true : accountProblem(part) == nil
    }
    return (1...2).contains(parts.count) && areNames ? nil : "is no owner; write one as www-data or www-data:adm"
  }

  /// Of a unit, whose `.service` may be left out.
  static func unitProblem(_ name: String) -> String? {
    let isName =
      (1...255).contains(name.utf8.count) && name.first != "-" && name.first != "."
      && name.utf8.allSatisfy { isAlphanumeric($0) || [45, 46, 58, 64, 92, 95].contains($0) }
    return isName ? nil : "is no unit of systemd's, such as nginx or fstrim.timer"
  }

  /// Of a setting of the kernel's.
  static func settingProblem(_ name: String) -> String? {
    let isName =
      (1...255).contains(name.utf8.count) && name.first?.isLetter == true
      && name.utf8.allSatisfy { isAlphanumeric($0) || [45, 46, 47, 58, 95].contains($0) }
      && !name.contains("..") && !name.hasSuffix("/") && !name.hasSuffix(".")
    return isName ? nil : "is no setting of the kernel's, such as net.ipv4.ip_forward"
  }

  /// A path from the root without detours.
  static func pathProblem(_ path: String) -> String? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let isPath =
      path.hasPrefix("/") && path.utf8.count <= 1024 && parts.count > 1
      && parts.dropFirst().allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 }
    return isPath ? nil : "must be a path from the root on, without . and .., such as /etc/motd"
  }

  /// What is mounted over the root when a system runs.
  private static let mounted = ["dev", "proc", "run", "sys", "tmp"]
  /// What other words of the recipe's are for.
  private static let others = [
    "/etc/passwd": "users", "/etc/shadow": "users", "/etc/group": "users", "/etc/gshadow": "users",
    "/etc/hostname": "hostname",
  ]

  /// A path for a file in a system.
  static func targetProblem(_ path: String) -> String? {
    if let problem = pathProblem(path) { return problem }
    if let other = others[path] { return "is what '\(other)' says" }
    guard let top = path.split(separator: "/").first, mounted.contains(String(top)) else { return nil }
    return "would not be seen: /\(top) is empty at each start"
  }

  /// Whether `text` is the hash of a password by a method that is still taken for good (crypt(5)), or `*` for no password.
  static func isPasswordHash(_ text: String) -> Bool {
    if text == "*" { return true }
    let methods = ["y", "gy", "7", "2b", "2y", "6", "5"]
    let parts = text.split(separator: "$", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].isEmpty, methods.contains(String(parts[1])), text.utf8.count <= 256,
      text.utf8.allSatisfy({ isAlphanumeric($0) || [36, 44, 46, 47, 61].contains($0) })
    else { return false }
    // The shortest digests, of SHA-256 and of yescrypt, have 43 characters; bcrypt's has 31 after a salt of 22.
    return (parts.last?.utf8.count ?? 0) >= 43
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    isLower(byte) || isDigit(byte) || (65...90).contains(byte)
  }
  private static func isLower(_ byte: UInt8) -> Bool { (97...122).contains(byte) }
  private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
}
