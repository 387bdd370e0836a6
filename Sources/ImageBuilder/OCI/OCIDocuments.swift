internal import Binary
internal import FoundationEssentials

/// The documents of an image, as far as a guest's root is made of them (OCI Image Format Specification 1.1; Docker's
/// manifests of version 2 have the same fields).
enum OCIDocument {
  /// Bytes of one, the most that registries take.
  static let limit = 4 << 20

  /// Reads one; `name` is what a message calls it.
  static func decode<Value: Decodable>(_ bytes: [UInt8], as type: Value.Type, called name: String) throws(BuildError)
    -> Value
  {
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch {
      throw BuildError(
        .badFile, "\(name) is not as the OCI image specification has it: \(EscapedText.make(words(of: error)))")
    }
  }

  /// What is wrong, without what is Swift's about it.
  private static func words(of error: any Error) -> String {
    func place(_ path: [any CodingKey]) -> String {
      path.map { $0.intValue.map { "\($0)" } ?? $0.stringValue }.joined(separator: ".")
    }
    return switch error as? DecodingError {
    case .keyNotFound(let key, let context)?: "there is no '\(place(context.codingPath + [key]))'"
    case .typeMismatch(_, let context)?, .valueNotFound(_, let context)?:
      "'\(place(context.codingPath))' is of another type"
    case .dataCorrupted(let context)? where !context.codingPath.isEmpty:
      "'\(place(context.codingPath))' cannot be: \(context.debugDescription)"
    default: "it is no JSON"
    }
  }
}

/// Where something is, and what it is (descriptor.md).
struct OCIDescriptor: Decodable, Sendable, Hashable {
  /// The system that an image is for.
  struct Platform: Decodable, Sendable, Hashable {
    let architecture: String
    let os: String
  }

  let mediaType: String?
  /// `sha256:` and 64 hexadecimal digits.
  let digest: String
  /// Bytes.
  let size: Int
  let platform: Platform?
  let annotations: [String: String]?

  /// The digest; nil for one of another kind, or none.
  var sha256: SHA256.Digest? {
    let prefix = "sha256:"
    let digits = String(digest.dropFirst(prefix.count))
    guard digest.hasPrefix(prefix), let found = SHA256.Digest(hex: digits) else { return nil }
    // In the one way of writing it that there is (descriptor.md): the blob's file has that name.
    return found.description == digits ? found : nil
  }

  /// What it is a list of, by its media type.
  var isIndex: Bool {
    mediaType == "application/vnd.oci.image.index.v1+json"
      || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
  }

  /// Names that an index gives it.
  var references: [String] {
    ["org.opencontainers.image.ref.name", "io.containerd.image.name"].compactMap { annotations?[$0] }
  }
}

/// A list of images (image-index.md).
struct OCIIndex: Decodable, Sendable {
  let manifests: [OCIDescriptor]
}

/// One image (manifest.md).
struct OCIManifest: Decodable, Sendable {
  let config: OCIDescriptor
  let layers: [OCIDescriptor]
}

/// What an image is and runs (config.md).
struct OCIConfig: Decodable, Sendable {
  /// What its containers run.
  struct Execution: Decodable, Sendable {
    var user: String?
    var environment: [String]?
    var entrypoint: [String]?
    var command: [String]?
    var directory: String?

    enum CodingKeys: String, CodingKey {
      case user = "User"
      case environment = "Env"
      case entrypoint = "Entrypoint"
      case command = "Cmd"
      case directory = "WorkingDir"
    }
  }

  /// Digests of the layers when they are unpacked.
  struct Root: Decodable, Sendable {
    let layers: [String]

    enum CodingKeys: String, CodingKey { case layers = "diff_ids" }
  }

  let architecture: String
  let os: String
  let config: Execution?
  let rootfs: Root
}
