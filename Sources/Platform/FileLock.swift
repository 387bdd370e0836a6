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

extension Files {
  /// Whether somebody has the advisory lock of a file (flock(2)), as /proc/locks tells: nobody is kept from taking it by
  /// the question.
  public static func isLocked(_ path: String) -> Bool {
    guard let status = (try? status(path, followingLinks: true)) ?? nil, let locks = try? readText("/proc/locks") else {
      return false
    }
    let device = BlockTree.number(status.fileSystem).split(separator: ":").compactMap { Int($0) }
    return locks.split(separator: "\n").contains { line in
      // 1: FLOCK  ADVISORY  WRITE 708 00:17:1234 0 EOF, the device in hexadecimal; `->` is before who waits.
      let words = line.split(separator: " ")
      guard words.count >= 6, words[1] == "FLOCK" else { return false }
      let place = words[5].split(separator: ":")
      return place.count == 3 && place.prefix(2).compactMap { Int($0, radix: 16) } == device
        && place[2] == "\(status.inode)"
    }
  }
}
