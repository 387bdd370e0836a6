import Hypervisor
import Platform
import Testing

@testable import Jail

/// What the filter of a monitor says of each system call, as the kernel would have it.
@Suite("The filter of system calls")
struct FilterTests {
  private static let allow: UInt32 = 0x7FFF_0000
  private static let trap: UInt32 = 0x0003_0000
  private static let kill: UInt32 = 0x8000_0000
  private static let notImplemented: UInt32 = 0x0005_0026

  private let monitor = FilterInterpreter(instructions: FilterProgram(MonitorRules.all).instructions)

  private func verdict(_ name: String, _ arguments: UInt64...) throws -> UInt32? {
    let call = try #require(SystemCall(name), "\(name)")
    return monitor.verdict(.init(number: call.number, arguments: arguments))
  }

  /// Calls that depend on no argument.
  private static let plain: Set<String> = [
    "read", "write", "futex", "io_uring_enter", "epoll_wait", "readv", "writev", "timerfd_settime", "clock_gettime",
    "pread64", "pwrite64", "preadv", "pwritev", "fdatasync", "fsync", "fallocate", "ftruncate", "lseek", "close",
    "epoll_ctl", "epoll_pwait", "accept4", "recvmsg", "eventfd2", "fstat", "getrandom", "nanosleep", "clock_nanosleep",
    "gettimeofday", "time", "clock_getres", "restart_syscall", "rt_sigreturn", "rt_sigprocmask", "sched_yield",
    "gettid",
    "getpid", "munmap", "mremap", "madvise", "brk", "set_robust_list", "rseq", "sched_getaffinity", "exit",
    "exit_group",
  ]

  @Test("What is on the list is allowed; every other number is trapped")
  func list() throws {
    let numbers = SystemCall.numbers
    let allowed = Set(try Self.plain.map { try #require(numbers[$0], "\($0)") })
    // An argument of zeros makes no thread and no request, and calls that look at one are tried below.
    let looksAtArguments: Set<String> = [
      "mmap", "mprotect", "sched_setaffinity", "clone3", "ioctl", "tgkill", "clone", "fcntl", "newfstatat", "prctl",
      "io_uring_register", "rt_sigaction",
    ]
    let special = Set(try looksAtArguments.map { try #require(numbers[$0], "\($0)") })
    for number in (0..<1024 as Range<UInt32>) where !special.contains(number) {
      let verdict = monitor.verdict(.init(number: number))
      #expect(verdict == (allowed.contains(number) ? Self.allow : Self.trap), "call \(number)")
    }
    #expect(monitor.verdict(.init(number: .max)) == Self.trap)
  }

  @Test("No call that takes a path, makes a socket, a ring or a process is allowed, whatever its arguments")
  func forbidden() throws {
    for name in [
      "open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat2", "mkdir", "mknod", "chmod",
      "chown", "stat", "lstat", "access", "readlink", "chdir", "chroot", "pivot_root", "mount", "umount2", "move_mount",
      "socket", "socketpair", "connect", "bind", "listen", "sendto", "sendmsg", "fork", "vfork", "execve", "execveat",
      "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill", "pidfd_open", "pidfd_send_signal",
      "pidfd_getfd", "unshare", "setns", "setuid", "setresuid", "setgid", "capset", "seccomp", "bpf", "io_uring_setup",
      "userfaultfd", "memfd_create", "shmat", "personality", "pkey_mprotect", "remap_file_pages", "keyctl", "add_key",
      "init_module", "finit_module", "kexec_load", "perf_event_open", "clock_settime", "setrlimit", "prlimit64",
      "rt_sigqueueinfo", "rt_tgsigqueueinfo", "wait4", "dup2", "memfd_secret", "modify_ldt", "arch_prctl", "iopl",
    ] {
      for fill in [0, 1, .max] as [UInt64] {
        let verdict = monitor.verdict(
          .init(number: try #require(SystemCall(name)).number, arguments: Array(repeating: fill, count: 6)))
        #expect(verdict == Self.trap, "\(name)")
      }
    }
  }

  @Test("Threads are made, and nothing else by clone; clone3 is not there")
  func clone() throws {
    #expect(try verdict("clone", 0x3D_0F00) == Self.allow)
    // A process; a thread in a namespace of users of its own; what the kernel ignores nowhere.
    for flags in [0, 17, 0x3D_0F00 | 0x1000_0000, 0x1000_0000, 0x3D_0F00 | 1 << 32] as [UInt64] {
      #expect(try verdict("clone", flags) == Self.trap, "\(flags)")
    }
    #expect(try verdict("clone3", 1, 88) == Self.notImplemented)
  }

  @Test("Memory is never executable")
  func memory() throws {
    for name in ["mmap", "mprotect"] {
      for protection in [0, 1, 2, 3, 0x0100_0003] as [UInt64] {
        #expect(try verdict(name, 0, 4096, protection) == Self.allow)
        #expect(try verdict(name, 0, 4096, protection | 4) == Self.trap)
      }
    }
  }

  @Test("Of devices only what a guest needs is asked")
  func control() throws {
    // KVM_RUN, KVM_SET_USER_MEMORY_REGION, BLKDISCARD; the kernel looks at the request's low half alone.
    for request in [0xAE80, 0x4020_AE46, 0x1277, 0xFFFF_FFFF_0000_AE80] as [UInt64] {
      #expect(try verdict("ioctl", 9, request) == Self.allow)
    }
    // KVM_CREATE_VM, KVM_CREATE_VCPU, TIOCSTI, TUNSETIFF, SG_IO, FIGETBSZ.
    for request in [0xAE01, 0xAE41, 0x5412, 0x4004_54CA, 0x2285, 2, 0] as [UInt64] {
      #expect(try verdict("ioctl", 9, request) == Self.trap)
    }
  }

  @Test("Other calls with arguments")
  func arguments() throws {
    #expect(try verdict("tgkill", 1, 7, 10) == Self.allow && verdict("tgkill", 2, 7, 10) == Self.trap)
    #expect(try verdict("fcntl", 5, 3) == Self.allow && verdict("fcntl", 5, 4, 0x800) == Self.allow)
    #expect(try verdict("fcntl", 5, 1030) == Self.allow)
    // F_SETOWN sends signals to others.
    #expect(try verdict("fcntl", 5, 8) == Self.trap && verdict("fcntl", 5, 0) == Self.trap)
    #expect(try verdict("newfstatat", 5, 0, 0, 0x1000) == Self.allow && verdict("newfstatat", 5, 0, 0, 0) == Self.trap)
    #expect(try verdict("prctl", 15) == Self.allow && verdict("prctl", 4, 1) == Self.trap)
    #expect(try verdict("io_uring_register", 9, 12) == Self.allow && verdict("io_uring_register", 9, 11) == Self.trap)
    #expect(try verdict("sched_setaffinity", 0) == Self.allow && verdict("sched_setaffinity", 44) == Self.trap)
    #expect(try verdict("rt_sigaction", 6) == Self.allow && verdict("rt_sigaction", 31) == Self.trap)
    #expect(try verdict("rt_sigaction", 33) == Self.allow && verdict("rt_sigaction", 10) == Self.trap)
  }

  @Test("Calls of other architectures end the process, and those of x32 are trapped")
  func architectures() throws {
    let read = try #require(SystemCall("read")).number
    for architecture in [0x4000_0003, 0xC000_00B7, 0, .max] as [UInt32] {
      #expect(monitor.verdict(.init(number: read, architecture: architecture)) == Self.kill)
    }
    #expect(monitor.verdict(.init(number: read | 0x4000_0000)) == Self.trap)
    #expect(monitor.verdict(.init(number: read)) == Self.allow)
  }

  @Test("Rules: values of a list, bits, both halves of an argument, all of several, and the first rule of a call")
  func assembler() throws {
    let call = try #require(SystemCall("ioctl"))
    func verdict(_ arguments: [ArgumentRule], _ values: UInt64...) -> UInt32? {
      FilterInterpreter(
        instructions: FilterProgram([FilterRule(call, where: arguments), FilterRule(call)]).instructions
      )
      .verdict(.init(number: call.number, arguments: values))
    }
    for value in 1...250 as ClosedRange<UInt64> {
      #expect(verdict([.isOne(of: Array(1...250), 0)], value) == Self.allow)
    }
    #expect(verdict([.isOne(of: Array(1...250), 0)], 251) == Self.trap)
    #expect(verdict([.isOne(of: [], 0)], 0) == Self.trap)
    #expect(verdict([.lacks(6, 5)], 0, 0, 0, 0, 0, 9) == Self.allow)
    #expect(verdict([.lacks(6, 5)], 0, 0, 0, 0, 0, 2) == Self.trap)
    let wide: UInt64 = 0x1_0000_0002
    #expect(verdict([.equals(wide, 2)], 0, 0, wide) == Self.allow)
    #expect(verdict([.equals(wide, 2)], 0, 0, 2) == Self.trap)
    #expect(verdict([.equals(wide, 2)], 0, 0, 1 << 32) == Self.trap)
    let several: [ArgumentRule] = [.isOne(of: [3, 4], 0), .lacks(1, 1), .equals(7, 2)]
    #expect(verdict(several, 4, 2, 7) == Self.allow)
    #expect(verdict(several, 5, 2, 7) == Self.trap && verdict(several, 4, 3, 7) == Self.trap)
    #expect(verdict(several, 4, 2, 8) == Self.trap)
  }

  @Test("The table of names has the numbers of the kernel's")
  func names() {
    let numbers = SystemCall.numbers
    for (name, number) in [
      ("read", 0), ("clone", 56), ("ptrace", 101), ("openat", 257), ("rseq", 334), ("pidfd_send_signal", 424),
      ("io_uring_setup", 425), ("clone3", 435), ("landlock_restrict_self", 446), ("mseal", 462),
    ] as [(String, UInt32)] {
      #expect(numbers[name] == number, "\(name)")
    }
    #expect(numbers.count == 379 && Set(numbers.values).count == 379)
    #expect(SystemCall("nonsense") == nil && SystemCall("=424") == nil)
  }

  @Test("Landlock is asked for what its version knows")
  func landlock() {
    #expect(LandlockRules(version: 0) == LandlockRules(version: -1) && LandlockRules(version: 0).files == 0)
    let files = (1...7).map { LandlockRules(version: $0).files }
    #expect(files == [0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF])
    #expect((1...6).map { LandlockRules(version: $0).network } == [0, 0, 0, 3, 3, 3])
    #expect((1...6).map { LandlockRules(version: $0).scope } == [0, 0, 0, 0, 0, 3])
  }
}
