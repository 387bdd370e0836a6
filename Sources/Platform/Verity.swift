public import Binary

/// Device-mapper's `verity` target: a read-only device each block of which is checked as it is read, by a tree of SHA-256
/// digests whose root is known (Documentation/admin-guide/device-mapper/verity.rst). There is no superblock and no salt.
public enum Verity {
  /// Bytes of a block, of data and of digests.
  public static let blockBytes = 4096

  /// The whole of a device.
  ///
  /// - Parameters:
  ///   - bytes: what it has, a multiple of `blockBytes`.
  ///   - data: the device that has it.
  ///   - tree: the device with the digests.
  ///   - root: the tree's root.
  public static func target(bytes: Int, data: String, tree: String, root: SHA256.Digest) -> DeviceMapper.Target {
    // Format 1 without a salt; the tree begins at its device's first block.
    let parameters = "1 \(data) \(tree) \(blockBytes) \(blockBytes) \(bytes / blockBytes) 0 sha256 \(root) -"
    return DeviceMapper.Target(length: bytes / 512, type: "verity", parameters: parameters)
  }

  /// A tree's root as Roost's command lines have it: `verity:` and 64 hexadecimal digits.
  public static func text(_ root: SHA256.Digest) -> String { "\(prefix)\(root)" }

  /// The root out of such a text.
  public static func root(_ text: some StringProtocol) -> SHA256.Digest? {
    text.hasPrefix(prefix) ? SHA256.Digest(hex: String(text.dropFirst(prefix.count))) : nil
  }

  private static let prefix = "verity:"
}
