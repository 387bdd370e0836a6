internal import CLinux
internal import Glibc

/// How a machine stops.
public enum PowerAction: String, Hashable, Sendable, CaseIterable {
  case powerOff = "poweroff"
  case restart = "reboot"
  case halt = "halt"
}

/// What a process with the rights of an init does to the whole machine.
public enum RunningSystem {
  /// Stops the kernel at once (reboot(2)): nothing is written back, no process is told.
  public static func stop(_ action: PowerAction) throws(SystemError) {
    let command: UInt32 =
      switch action {
      case .powerOff: 0x4321_FEDC
      case .restart: 0x0123_4567
      case .halt: 0xCDEF_0123
      }
    try systemCall(action.rawValue) { clinux_reboot(command) }
  }

  /// Whether Ctrl-Alt-Del restarts the machine at once (the kernel's default) or interrupts PID 1.
  public static func setControlAltDelete(restartsAtOnce: Bool) throws(SystemError) {
    try systemCall("set what Ctrl-Alt-Del does") { clinux_reboot(restartsAtOnce ? 0x89AB_CDEF : 0) }
  }

  /// Brings all file systems' data to their media.
  public static func synchronize() {
    sync()
  }

  /// Names the machine.
  public static func setHostName(_ name: String) throws(SystemError) {
    // SAFETY: the string lives for the call, and its length bounds what is read.
    try systemCall("set the host name to \(name)") { unsafe sethostname(name, name.utf8.count) }
  }

  /// Brings a network interface up.
  public static func raiseInterface(_ name: String) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    try systemCall("bring up the network interface \(name)") { unsafe clinux_raise_interface(name) }
  }

  /// The running kernel's release, such as `6.12.0-amd64`.
  public static var kernelRelease: String {
    // SAFETY: a static, NUL-terminated buffer.
    unsafe String(cString: clinux_kernel_release())
  }

  /// Makes the mount at `target` the root directory of this process and of those it starts. `/` must be the
  /// initramfs, whose files are removed.
  public static func switchRoot(to target: String) throws(SystemError) {
    let old = try FileDescriptor(opening: "/", [.readOnly, .directory])
    try changeDirectory(target)
    try Mount.mount(".", at: "/", .move)
    // SAFETY: the C string lives for the call.
    try systemCall("change the root to", path: target) { unsafe chroot(".") }
    try changeDirectory("/")
    let number = old.release()
    try systemCall("remove the initramfs") { clinux_remove_memory_tree(number) }
  }

  /// Changes this process's working directory.
  public static func changeDirectory(_ path: String) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    try systemCall("change the directory to", path: path) { unsafe chdir(path) }
  }
}

/// This process itself.
public enum CurrentProcess {
  /// Becomes another program, in the same process. Returns only by throwing.
  public static func execute(_ arguments: [String]) throws(SystemError) {
    let path = arguments.first ?? ""
    let list = CStringArray(arguments)
    // SAFETY: the strings outlive the call, which does not return when it succeeds.
    try systemCall("execute", path: path) { unsafe clinux_execute(path, list.pointer) }
  }

  /// From now on a trap or fault in this process executes `arguments` with the signal's number after them, instead
  /// of ending it: for a PID 1, whose end is the kernel's.
  public static func executeOnFault(_ arguments: [String]) throws(SystemError) {
    // SAFETY: the strings are never freed, as the C side requires.
    let list = unsafe Unmanaged.passRetained(CStringArray(arguments)).takeUnretainedValue()
    try systemCall("take faults over") { unsafe clinux_execute_on_fault(list.pointer[0], list.pointer) }
  }

  /// Makes `path` (a terminal, mostly) this process's standard input, output and error.
  public static func redirectStandardStreams(to path: String) throws(SystemError) {
    let file = try FileDescriptor(opening: path, [.readWrite, .noControllingTerminal])
    for number: Int32 in 0...2 { try systemCall("redirect to", path: path) { dup2(file.rawValue, number) } }
  }

  /// Brings all of this process into memory and keeps it there, but not what it takes from now on (mlockall(2)): its
  /// program may be on a disk that goes away.
  public static func lockMemory() throws(SystemError) {
    try systemCall("keep the program in memory") { mlockall(1) }  // MCL_CURRENT
  }

  /// Gives the superuser's rights up for those of a user and a group, in all threads and for good. Does nothing where
  /// this process is not the superuser's.
  public static func become(user: UInt32, group: UInt32) throws(SystemError) {
    guard geteuid() == 0 else { return }
    try systemCall("leave the superuser's groups") { setgroups(0, nil) }
    try systemCall("become group \(group)") { setgid(group) }
    try systemCall("become user \(user)") { setuid(user) }
  }

  /// Sends a signal to every process but this one and PID 1.
  public static func signalAllOthers(_ number: Int32) {
    _ = kill(-1, number)
  }
}
