public import Binary

/// The identifier of an ISO 9660 volume: sixteen digits that stand where the primary volume descriptor has its
/// modification time (ECMA-119, section 8.4.26.1: YYYYMMDDhhmmsscc). libblkid, GRUB and udev read it as the volume's
/// UUID, hence Linux finds the medium by it.
public struct VolumeUUID: Hashable, Sendable, CustomStringConvertible {
  /// Sixteen decimal digits; they spell a possible point in time.
  public let digits: String

  init(digits: String) { self.digits = digits }

  /// The identifier that follows from a digest: a time of the years 2000 to 2025, taken from its first bytes.
  public init(digest: SHA256.Digest) {
    var value = digest.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    func take(_ lowest: UInt64, _ count: UInt64, width: Int) -> String {
      defer { value /= count }
      let text = String(lowest + value % count)
      return String(repeating: "0", count: width - text.count) + text
    }
    // Every month has 28 days.
    digits =
      take(2000, 26, width: 4) + take(1, 12, width: 2) + take(1, 28, width: 2) + take(0, 24, width: 2)
      + take(0, 60, width: 2) + take(0, 60, width: 2) + take(0, 100, width: 2)
  }

  /// `YYYY-MM-DD-hh-mm-ss-cc`, as blkid prints it.
  public var description: String {
    let all = Array(digits)
    let ends = [4, 6, 8, 10, 12, 14, 16]
    return zip([0] + ends, ends).map { String(all[$0..<$1]) }.joined(separator: "-")
  }
}
