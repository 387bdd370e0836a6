/// How a domain's kernel is entered.
public enum BootMethod: String, Sendable, Hashable, Codable, CaseIterable {
  /// Linux boot protocol, bzImage, 64-bit entry.
  case linux
  /// PVH: a 32-bit entry that an ELF note names.
  case pvh
}

/// What happens to a domain that reset itself or crashed.
public enum LifecycleAction: String, Sendable, Hashable, Codable, CaseIterable {
  /// It starts anew.
  case restart
  /// It is taken down.
  case destroy
  /// It stays as it is, for who wants to look at it.
  case preserve
}
