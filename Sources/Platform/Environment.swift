internal import Glibc

/// What this process was started with, and as whom.
public enum ProcessEnvironment {
  /// The value of an environment variable; nil when it is not set.
  public static func value(_ name: String) -> String? {
    // SAFETY: nothing in this project changes the environment, so the string getenv returns stays valid.
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
  }

  /// True when this process may do what the superuser may.
  public static var isSuperuser: Bool { geteuid() == 0 }

  /// This process's id.
  public static var processID: Int32 { getpid() }

  /// True when `descriptor` is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }
}
