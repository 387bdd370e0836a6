public import Jail
internal import Platform

/// The system calls that a monitor makes once its guest runs.
///
/// The C library's own are among them: what starts and ends a thread, gives it memory, and lets it wait. Where a call can
/// do more than the monitor needs, its arguments are looked at. Missing on purpose: everything that takes a path, makes a
/// socket or a ring (io_uring(7) does what it is told past the filter: rings are made before, each limited to what disks
/// need), starts a process or sends a signal to another, or makes memory executable.
public enum MonitorRules {
  /// What the call returns that does not exist (ENOSYS).
  private static let notImplemented: UInt16 = 38

  /// Flags of the C library's threads (clone(2)): VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID,
  /// CHILD_CLEARTID.
  private static let threadFlags: UInt64 = 0x3D_0F00
  /// PROT_EXEC (mmap(2)).
  private static let executable: UInt32 = 4
  /// AT_EMPTY_PATH (newfstatat(2)): the C library's fstat.
  private static let emptyPath: UInt64 = 0x1000
  /// F_GETFL, F_SETFL and F_DUPFD_CLOEXEC (fcntl(2)).
  private static let descriptorRequests: [UInt32] = [3, 4, 1030]
  /// The C library's signal for threads that change their user (SIGSETXID).
  private static let setXID: UInt32 = 33
  /// PR_SET_NAME (prctl(2)).
  private static let setName: UInt64 = 15
  /// IORING_REGISTER_ENABLE_RINGS (io_uring_register(2)).
  private static let enableRings: UInt64 = 12
  /// TUNSETOFFLOAD and TUNSETVNETHDRSZ (linux/if_tun.h); BLKDISCARD and BLKZEROOUT (linux/fs.h).
  private static let deviceRequests: [UInt32] = [0x4004_54D0, 0x4004_54D8, 0x1277, 0x127F]
  /// VHOST_SET_OWNER, VHOST_SET_FEATURES, VHOST_SET_MEM_TABLE, VHOST_SET_VRING_NUM, _ADDR, _BASE, _KICK, _CALL and _ERR, and
  /// VHOST_NET_SET_BACKEND (linux/vhost.h): the kernel that serves a network is shown this process's memory and no other.
  private static let vhostRequests: [UInt32] = [
    0x4008_AF21, 0xAF01, 0x4008_AF00, 0x4008_AF03, 0x4008_AF10, 0x4028_AF11, 0x4008_AF12, 0x4008_AF20, 0x4008_AF22,
    0x4008_AF30,
  ]

  /// The rules, for a process that is the first of its namespace of process ids; the frequent ones first.
  public static let all: [FilterRule] =
    [rule("ioctl", [.isOne(of: RuntimeRequests.numbers + deviceRequests + vhostRequests, 1)])]
    + allow(
      "read", "write", "futex", "io_uring_enter", "epoll_wait", "readv", "writev", "timerfd_settime", "clock_gettime",
      "pread64", "pwrite64", "preadv", "pwritev", "fdatasync", "fsync", "fallocate", "ftruncate", "lseek", "close",
      "epoll_ctl", "epoll_pwait", "accept4", "recvmsg", "eventfd2", "fstat", "getrandom", "nanosleep",
      "clock_nanosleep",
      "gettimeofday", "time", "clock_getres", "restart_syscall", "rt_sigreturn", "rt_sigprocmask", "sched_yield",
      "gettid", "getpid", "munmap", "mremap", "madvise", "brk", "set_robust_list", "rseq", "sched_getaffinity", "exit",
      "exit_group")
    + [
      rule("tgkill", [.equals(1, 0)]),
      rule("mmap", [.lacks(executable, 2)]),
      rule("mprotect", [.lacks(executable, 2)]),
      rule("clone", [.equals(threadFlags, 0)]),
      rule("fcntl", [.isOne(of: descriptorRequests, 1)]),
      rule("newfstatat", [.equals(emptyPath, 3)]),
      rule("prctl", [.equals(setName, 0)]),
      rule("io_uring_register", [.equals(enableRings, 1)]),
      rule("sched_setaffinity", [.equals(0, 0)]),
      // What abort(3) does to end the process, and what is done before the first thread starts (nptl/pthread_create.c).
      rule("rt_sigaction", [.isOne(of: [UInt32(Signals.abort), setXID], 0)]),
      // Its flags lie in memory, where no filter can look: the C library then takes clone.
      rule("clone3", [], .fail(notImplemented)),
    ]

  private static func rule(
    _ name: String, _ arguments: [ArgumentRule], _ verdict: FilterVerdict = .allow
  ) -> FilterRule {
    guard let call = SystemCall(name) else { preconditionFailure("there is no system call \(name)") }
    return FilterRule(call, verdict, where: arguments)
  }

  private static func allow(_ names: String...) -> [FilterRule] { names.map { rule($0, []) } }
}

extension Jail {
  /// The jail of a monitor whose domain is called `name`, as `user`.
  public static func monitor(named name: String, user: UInt32) -> Jail {
    Jail(user: user, rules: MonitorRules.all, prefix: "roost-vmm: \(name): ")
  }
}
