internal import Glibc

/// What this process was started with, and as whom.
public enum ProcessEnvironment {
  /// The value of an environment variable; nil when it is not set.
  public static func value(_ name: String) -> String? {
    // SAFETY: the environment is only changed (`set`) while there is one thread, so the string stays valid until copied.
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
  }

  /// Sets a variable for this process and the libraries in it. To be called only while the process has one thread
  /// (setenv(3)).
  public static func set(_ name: String, to value: String) throws(SystemError) {
    // SAFETY: the C strings live for the call, which copies them; the caller vouches for the one thread.
    try systemCall("set the environment variable \(name)") { unsafe setenv(name, value, 1) }
  }

  /// True when this process may do what the superuser may.
  public static var isSuperuser: Bool { geteuid() == 0 }

  /// What others may not do with files that this process makes from now on (umask(2)).
  public static func setFileMask(_ mask: UInt32) { _ = umask(mask) }

  /// This process's id.
  public static var processID: Int32 { getpid() }

  /// True when `descriptor` is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }
}
