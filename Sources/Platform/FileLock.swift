internal import Glibc

extension FileDescriptor {
  /// Takes the open file's advisory lock for itself alone (flock(2)), which goes with the last descriptor of it.
  /// Waits for it, or returns false when another has it.
  @discardableResult
  public func lock(waiting: Bool) throws(SystemError) -> Bool {
    do throws(SystemError) {
      try systemCall("lock the file") { flock(rawValue, waiting ? LOCK_EX : LOCK_EX | LOCK_NB) }
      return true
    } catch {
      if error.errno == .wouldBlock { return false }
      throw error
    }
  }
}
