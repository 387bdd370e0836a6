/// What happens to a domain that reset itself or crashed.
public enum LifecycleAction: String, Sendable, Hashable, Codable, CaseIterable {
  /// It starts anew.
  case restart
  /// It is taken down.
  case destroy
  /// It stays as it is, for who wants to look at it.
  case preserve
}
