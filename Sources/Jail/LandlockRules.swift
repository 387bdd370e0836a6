/// All that a version of Landlock can forbid (landlock(7), linux/landlock.h).
public struct LandlockRules: Hashable, Sendable {
  /// Kinds of access to files: version 1 has 13, 2 adds links between directories, 3 truncation, 5 control of devices.
  public let files: UInt64
  /// TCP: to listen and to connect; from version 4 on.
  public let network: UInt64
  /// Abstract unix sockets and signals of others; from version 6 on.
  public let scope: UInt64

  /// What the kernel's `version` knows; nothing where that is 0.
  public init(version: Int32) {
    files =
      switch version {
      case ..<1: 0
      case 1: (1 << 13) - 1
      case 2: (1 << 14) - 1
      case 3, 4: (1 << 15) - 1
      default: (1 << 16) - 1
      }
    network = version >= 4 ? 0b11 : 0
    scope = version >= 6 ? 0b11 : 0
  }
}
