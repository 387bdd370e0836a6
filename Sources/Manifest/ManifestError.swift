/// Why there is no manifest.
public enum ManifestError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Its file cannot be read.
  case unreadable(path: String, reason: String)
  /// It is none that this version understands.
  case unusable(path: String, reason: String)

  /// As messages have it.
  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path): cannot be read: \(reason)"
    case .unusable(let path, let reason): "\(path): not a usable appliance manifest: \(reason)"
    }
  }
}
