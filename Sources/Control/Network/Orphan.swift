internal import Platform

/// A helper of a domain manager that was killed. One that gives up root's rights, as dnsmasq does, loses with them the
/// signal that would tell it of its parent's end (prctl(2), PR_SET_PDEATHSIG), and keeps its sockets.
enum Orphan {
  /// How long one may take to end, in milliseconds.
  private static let patience = 2000

  /// Ends the processes with that argument in their command lines, and waits a little for that.
  static func end(having argument: String) {
    let found = processes(having: argument)
    for pid in found { try? ChildProcess(pid: pid).signal(Signal.terminate) }
    for _ in 0..<patience / 10 where !found.isEmpty {
      if !processes(having: argument).contains(where: found.contains) { return }
      MonotonicClock.sleep(milliseconds: 10)
    }
  }

  private static func processes(having argument: String) -> [Int32] {
    ((try? Files.list("/proc")) ?? []).compactMap(Int32.init).filter { pid in
      let words = ((try? Files.readText("/proc/\(pid)/cmdline")) ?? "").split(separator: "\0")
      return words.contains(Substring(argument))
    }
  }
}
