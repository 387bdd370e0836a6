/// Roost's own version.
public enum RoostVersion {
  /// What `roost --version` says, and what images tell that it made.
  public static let current = "0.1.0"
}
