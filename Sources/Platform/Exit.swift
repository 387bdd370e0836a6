internal import Glibc

/// Ends this process. For executables only.
public func exitProcess(_ code: Int32) -> Never {
  exit(code)
}

/// The streams that every process is given. They are borrowed, never closed.
public enum StandardStream: Int32, Sendable {
  case input = 0
  case output = 1
  case error = 2

  /// Writes all of `text`; what cannot be written is lost, as there is nobody left to tell.
  public func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      // SAFETY: the buffer is valid for the call and its count bounds the write.
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(rawValue, $0.baseAddress, $0.count) }
      if count < 0 && currentErrno() != .interrupted { return }
      rest = rest.dropFirst(max(0, count))
    }
  }
}
