/// An instruction of classic BPF (linux/filter.h, bpf_common.h), as seccomp(2) takes it.
public struct FilterInstruction: Hashable, Sendable {
  /// What it does.
  public var code: UInt16
  /// Instructions that are left out when a comparison holds.
  public var jumpTrue: UInt8
  /// Instructions that are left out when it does not.
  public var jumpFalse: UInt8
  /// Its operand.
  public var operand: UInt32

  /// Loads the word at byte `offset` of `struct seccomp_data` (BPF_LD | BPF_W | BPF_ABS).
  static func load(_ offset: UInt32) -> FilterInstruction {
    FilterInstruction(code: 0x20, jumpTrue: 0, jumpFalse: 0, operand: offset)
  }

  /// Compares with the loaded word (BPF_JMP | BPF_JEQ | BPF_K).
  static func ifEqual(_ operand: UInt32, skip jumpTrue: UInt8, else jumpFalse: UInt8) -> FilterInstruction {
    FilterInstruction(code: 0x15, jumpTrue: jumpTrue, jumpFalse: jumpFalse, operand: operand)
  }

  /// Compares without sign (BPF_JMP | BPF_JGE | BPF_K).
  static func ifAtLeast(_ operand: UInt32, skip jumpTrue: UInt8, else jumpFalse: UInt8) -> FilterInstruction {
    FilterInstruction(code: 0x35, jumpTrue: jumpTrue, jumpFalse: jumpFalse, operand: operand)
  }

  /// Looks whether a bit of the operand is set in the loaded word (BPF_JMP | BPF_JSET | BPF_K).
  static func ifAnySet(_ operand: UInt32, skip jumpTrue: UInt8, else jumpFalse: UInt8) -> FilterInstruction {
    FilterInstruction(code: 0x45, jumpTrue: jumpTrue, jumpFalse: jumpFalse, operand: operand)
  }

  /// Ends the filter (BPF_RET | BPF_K).
  static func end(_ verdict: FilterVerdict) -> FilterInstruction {
    FilterInstruction(code: 0x06, jumpTrue: 0, jumpFalse: 0, operand: verdict.rawValue)
  }

  /// As `struct sock_filter` lies in memory.
  public var word: UInt64 {
    UInt64(code) | UInt64(jumpTrue) << 16 | UInt64(jumpFalse) << 24 | UInt64(operand) << 32
  }
}

/// What becomes of a system call (SECCOMP_RET_*).
public enum FilterVerdict: Hashable, Sendable {
  /// It is carried out.
  case allow
  /// It fails with this error number.
  case fail(UInt16)
  /// The thread gets SIGSYS, whose handler names the call and ends the process.
  case trap
  /// The process is ended at once.
  case kill

  /// The kernel's number.
  public var rawValue: UInt32 {
    switch self {
    case .allow: 0x7FFF_0000
    case .fail(let errno): 0x0005_0000 | UInt32(errno)
    case .trap: 0x0003_0000
    case .kill: 0x8000_0000
    }
  }
}

/// What a system call's argument must be. The first has number 0.
public enum ArgumentRule: Hashable, Sendable {
  /// Its low half, which is all that the kernel looks at, is one of these.
  case isOne(of: [UInt32], Int)
  /// Its low half has none of these bits.
  case lacks(UInt32, Int)
  /// All of it is this.
  case equals(UInt64, Int)
}

/// What is to become of a system call.
public struct FilterRule: Hashable, Sendable {
  /// The call.
  public let call: SystemCall
  /// What becomes of it when its arguments are as they must be; else it is trapped.
  public let verdict: FilterVerdict
  /// What they must be, all of it.
  public let arguments: [ArgumentRule]

  /// A rule about `call`.
  public init(_ call: SystemCall, _ verdict: FilterVerdict = .allow, where arguments: [ArgumentRule] = []) {
    self.call = call
    self.verdict = verdict
    self.arguments = arguments
  }
}

/// A filter of system calls for x86-64: what no rule names is trapped. Rules come first that are needed often.
public struct FilterProgram: Hashable, Sendable {
  /// Offsets in `struct seccomp_data` (linux/seccomp.h): the call's number, the architecture, its arguments.
  private static let number: UInt32 = 0
  private static let architecture: UInt32 = 4
  private static let arguments: UInt32 = 16
  /// AUDIT_ARCH_X86_64.
  static let x86: UInt32 = 0xC000_003E
  /// Calls of the x32 ABI have this bit in their number (__X32_SYSCALL_BIT).
  static let x32: UInt32 = 0x4000_0000

  /// The filter.
  public let instructions: [FilterInstruction]

  /// The filter that `rules` describe, of which the first about a call counts.
  public init(_ rules: [FilterRule]) {
    var all: [FilterInstruction] = [
      .load(Self.architecture),
      .ifEqual(Self.x86, skip: 1, else: 0),
      .end(.kill),
      .load(Self.number),
      .ifAtLeast(Self.x32, skip: 0, else: 1),
      .end(.trap),
    ]
    for rule in rules {
      let body = rule.arguments.flatMap(Self.check) + [.end(rule.verdict)]
      // A jump is a byte.
      precondition(body.count <= 255, "the rule about \(rule.call) is too long")
      all.append(.ifEqual(rule.call.number, skip: 0, else: UInt8(body.count)))
      all += body
    }
    instructions = all + [.end(.trap)]
  }

  /// Goes on behind it where the argument is as it must be, and traps elsewhere.
  private static func check(_ rule: ArgumentRule) -> [FilterInstruction] {
    switch rule {
    case .isOne(let values, let index):
      let tests = values.enumerated().map { place, value in
        // Over those that follow, and over the trap.
        FilterInstruction.ifEqual(value, skip: UInt8(values.count - place), else: 0)
      }
      return [.load(low(index))] + tests + [.end(.trap)]
    case .lacks(let bits, let index):
      return [.load(low(index)), .ifAnySet(bits, skip: 0, else: 1), .end(.trap)]
    case .equals(let value, let index):
      return [
        .load(low(index)), .ifEqual(UInt32(truncatingIfNeeded: value), skip: 0, else: 2),
        .load(low(index) + 4), .ifEqual(UInt32(truncatingIfNeeded: value >> 32), skip: 1, else: 0),
        .end(.trap),
      ]
    }
  }

  /// Where an argument's low half is.
  private static func low(_ index: Int) -> UInt32 { arguments + 8 * UInt32(index) }
}
