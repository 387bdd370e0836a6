internal import CLinux
internal import Glibc

/// What this process gives up for good. All of it is about the calling thread and those that it starts, so it is to be
/// called while there is no other.
public enum Isolation {
  /// Resources that are limited (getrlimit(2)).
  public enum Limit: Sendable, Hashable {
    /// Descriptors: the highest number, and one.
    case openFiles
    /// Threads and processes of this process's user.
    case tasks
    /// Bytes of a core dump.
    case coreDump
    /// Bytes of a file that this process writes.
    case fileSize
  }

  /// How many threads this process has.
  public static func threadCount() throws(SystemError) -> Int {
    try Files.list("/proc/self/task").count
  }

  /// Leaves the system's mounts, IPC objects, host name, network and control groups (namespaces(7)).
  public static func leaveNamespaces() throws(SystemError) {
    try systemCall("make namespaces") { clinux_leave_namespaces() }
  }

  /// Makes an empty file system that nobody may look into the only one there is; in a mount namespace of its own.
  public static func enterEmptyRoot() throws(SystemError) {
    try systemCall("make an empty root") { clinux_enter_empty_root() }
  }

  /// Becomes user and group `id`, without other groups and without capabilities, whatever is executed later.
  public static func becomeNobody(_ id: UInt32) throws(SystemError) {
    try systemCall("become user \(id)") { clinux_become_nobody(id) }
  }

  /// Executes nothing with more rights than it has, and is looked into by root alone (prctl(2), PR_SET_NO_NEW_PRIVS and
  /// PR_SET_DUMPABLE).
  public static func seal() throws(SystemError) {
    try systemCall("give up new privileges") { clinux_seal() }
  }

  /// Lowers a limit to `value`; one that is lower stays.
  public static func lower(_ limit: Limit, to value: UInt64) throws(SystemError) {
    let number: clinux_limit =
      switch limit {
      case .openFiles: CLINUX_OPEN_FILES
      case .tasks: CLINUX_TASKS
      case .coreDump: CLINUX_CORE
      case .fileSize: CLINUX_FILE_SIZE
      }
    try systemCall("limit \(limit)") { clinux_limit(number, value) }
  }

  /// The kernel's version of Landlock (landlock(7)); 0 where it has none.
  public static func landlockVersion() throws(SystemError) -> Int32 {
    try systemCall("ask for Landlock") { clinux_landlock_version() }
  }

  /// Forbids by Landlock what the masks name, without exception. `version` is the kernel's.
  public static func restrict(version: Int32, files: UInt64, network: UInt64, scope: UInt64) throws(SystemError) {
    try systemCall("restrict itself by Landlock") { clinux_landlock_restrict(version, files, network, scope) }
  }

  /// Installs a seccomp filter: instructions of classic BPF, as `struct sock_filter` has them in a word.
  public static func install(filter: [UInt64]) throws(SystemError) {
    // SAFETY: the array bounds what the call reads.
    try systemCall("install a filter of system calls") {
      unsafe filter.withUnsafeBufferPointer { unsafe clinux_install_filter($0.baseAddress, $0.count) }
    }
  }

  /// Ends this process with `code` when a filter traps a system call, after a line of `prefix` and the call's name on
  /// standard error. `names` are those of all calls in the order of their numbers, a blank between; `=N` goes on at N.
  public static func endAtViolation(names: StaticString, prefix: String, code: Int32) throws(SystemError) {
    // SAFETY: a static string's bytes and the copy, which nobody frees, live for ever.
    try systemCall("take violations") {
      unsafe clinux_end_at_violation(
        UnsafeRawPointer(names.utf8Start).assumingMemoryBound(to: CChar.self), names.utf8CodeUnitCount,
        strdup(prefix), code)
    }
  }

  /// Has all threads allocate from one heap. glibc gives threads heaps of their own, and looks into a file of /proc
  /// before it shrinks one (malloc/arena.c, `shrink_heap`): it must not have to where there is none.
  public static func useSingleHeap() throws(SystemError) {
    try systemCall("allocate from one heap") { clinux_single_heap() }
  }
}
