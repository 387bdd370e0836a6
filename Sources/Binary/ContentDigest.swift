/// A two-level SHA-256 that can be computed on all processors: the content is cut into consecutive chunks of 4 MiB
/// (the last may be shorter), each chunk is hashed, and the digest is the hash of all chunk digests (32 bytes each),
/// one after the other. Content of no bytes has no chunks. The depth is always two, so no content can pass for
/// another's list of digests.
public enum ChunkedDigest {
  /// Bytes in every chunk but the last.
  public static let chunkSize = 4 << 20

  /// How many chunks content of `length` bytes has.
  public static func chunkCount(of length: Int) -> Int {
    length / chunkSize + (length % chunkSize == 0 ? 0 : 1)
  }

  /// The digest of the content whose chunks have these digests, in order.
  public static func combine(_ chunks: some Sequence<SHA256.Digest>) -> SHA256.Digest {
    var hash = SHA256()
    for chunk in chunks { hash.update(chunk.bytes) }
    return hash.finalize()
  }

  /// The digest of `bytes`. Files are hashed in parallel by `FileDigest` of Platform.
  public static func hash(_ bytes: [UInt8]) -> SHA256.Digest {
    combine(
      stride(from: 0, to: bytes.count, by: chunkSize).map { start in
        SHA256.hash(Array(bytes[start..<min(start + chunkSize, bytes.count)]))
      })
  }
}

/// A digest that says how it was made, as the kernel command line carries it.
public enum ContentDigest: Hashable, Sendable, CustomStringConvertible {
  /// The SHA-256 of the whole, as sha256sum(1) prints it: `sha256:<64 hexadecimal digits>`.
  case sha256(SHA256.Digest)
  /// A `ChunkedDigest`: `sha256-4m:<64 hexadecimal digits>`.
  case chunked(SHA256.Digest)

  /// Parses either form; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let digest = SHA256.Digest(hex: String(parts[1])) else { return nil }
    switch parts[0] {
    case "sha256": self = .sha256(digest)
    case "sha256-4m": self = .chunked(digest)
    default: return nil
    }
  }

  /// The written form: the algorithm, a colon, 64 hexadecimal digits.
  public var description: String {
    switch self {
    case .sha256(let digest): "sha256:\(digest)"
    case .chunked(let digest): "sha256-4m:\(digest)"
    }
  }
}
