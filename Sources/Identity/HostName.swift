/// Names of hosts.
public enum HostName {
  /// What keeps `name` from being a DNS label (RFC 1123 section 2.1, lower case), in words that follow
  /// a subject; nil when nothing does.
  public static func problem(_ name: String) -> String? {
    if name.isEmpty { return "is empty" }
    if name.utf8.count > 63 { return "is longer than 63 characters" }
    let isLetterOrDigit = { (byte: UInt8) in (97...122).contains(byte) || (48...57).contains(byte) }
    guard name.utf8.allSatisfy({ isLetterOrDigit($0) || $0 == 45 }) else {
      return "may only have lower-case letters, digits and hyphens, as in 'web-1'"
    }
    if name.hasPrefix("-") || name.hasSuffix("-") { return "may not begin or end with a hyphen" }
    return nil
  }
}
