internal import CLinux
internal import Glibc

/// A terminal's modes and size.
public enum Terminal {
  /// Columns and rows.
  public struct Size: Hashable, Sendable {
    /// Characters in a row.
    public let columns: Int
    /// Rows.
    public let rows: Int

    /// All fields.
    public init(columns: Int, rows: Int) {
      self.columns = columns
      self.rows = rows
    }
  }

  /// True when the descriptor is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool {
    isatty(descriptor) == 1
  }

  /// The terminal's size; nil when it does not know, as serial lines do not.
  public static func size(of descriptor: Int32) -> Size? {
    var raw = winsize()
    // SAFETY: TIOCGWINSZ fills a winsize, which lives for the call.
    let result = unsafe withUnsafeMutableBytes(of: &raw) {
      unsafe clinux_ioctl_pointer(descriptor, UInt(TIOCGWINSZ), $0.baseAddress)
    }
    guard result == 0, raw.ws_col > 0, raw.ws_row > 0 else { return nil }
    return Size(columns: Int(raw.ws_col), rows: Int(raw.ws_row))
  }

  /// A bar of `width` cells, so much of which is filled, such as `[####......]`.
  ///
  /// - Parameter fraction: from 0 to 1; what is outside is taken for the nearer of them.
  public static func bar(_ fraction: Double, width: Int) -> String {
    let filled = fraction > 0 ? Int(min(fraction, 1) * Double(width)) : 0
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled) + "]"
  }

  /// The modes of a terminal before they were changed.
  public struct Modes: Sendable {
    fileprivate let raw: termios
  }

  /// Hands every byte through as it is: no echo, no lines, no signals from keys. Returns what to restore.
  public static func makeRaw(_ descriptor: Int32) throws(SystemError) -> Modes {
    var before = termios()
    // SAFETY: the structures live for the calls.
    try systemCall("read the terminal's modes") { unsafe tcgetattr(descriptor, &before) }
    var raw = before
    unsafe cfmakeraw(&raw)
    try systemCall("set the terminal's modes") { unsafe tcsetattr(descriptor, TCSANOW, &raw) }
    return Modes(raw: before)
  }

  /// Restores modes; a terminal that is gone is nobody's loss.
  public static func restore(_ modes: Modes, on descriptor: Int32) {
    var raw = modes.raw
    // SAFETY: the structure lives for the call.
    unsafe tcsetattr(descriptor, TCSADRAIN, &raw)
  }

  /// Two ends of a new pseudo-terminal: what drives it, and the path that a program opens as its terminal.
  public static func makePseudoTerminal() throws(SystemError) -> PseudoTerminal {
    let driver = try FileDescriptor(opening: "/dev/ptmx", [.readWrite, .noControllingTerminal])
    var unlocked: Int32 = 0
    var number: UInt32 = 0
    // SAFETY: both requests take a pointer to an int (ioctl_tty(2)): TIOCSPTLCK, TIOCGPTN.
    try unsafe driver.control(0x4004_5431, &unlocked, "unlock a pseudo-terminal")
    try unsafe driver.control(0x8004_5430, &number, "name a pseudo-terminal")
    return PseudoTerminal(driver: driver, path: "/dev/pts/\(number)")
  }
}

/// A pseudo-terminal (pty(7)).
public struct PseudoTerminal: ~Copyable, Sendable {
  /// What is written here is typed; what is read here was shown.
  public let driver: FileDescriptor
  /// The terminal.
  public let path: String
}
