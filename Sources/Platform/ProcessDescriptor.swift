internal import CLinux
internal import Glibc

/// A process as a descriptor that becomes readable when it has ended (pidfd_open(2)). It need not be a child.
public struct ProcessDescriptor: ~Copyable, Sendable {
  /// The descriptor, for epoll.
  public let file: FileDescriptor

  /// Throws `noSuchProcess` when there is none of this id.
  public init(_ process: ChildProcess) throws(SystemError) {
    file = FileDescriptor(
      adopting: try systemCall("watch process \(process.pid)") { clinux_pidfd_open(process.pid) })
  }
}

extension ChildProcess {
  /// When a process was started, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)): with its id, this
  /// names a process for good. Nil when there is no such process.
  public static func startTicks(of pid: Int32) -> UInt64? {
    guard let text = try? Files.readText("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
    // The command may hold spaces and parentheses; what follows the last one begins with field 3.
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 19 ? UInt64(fields[19]) : nil
  }
}
