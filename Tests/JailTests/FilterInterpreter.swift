@testable import Jail

/// Classic BPF as the kernel carries it out for seccomp(2): the instructions that a filter here may have.
struct FilterInterpreter {
  /// A system call as a filter sees it (`struct seccomp_data`).
  struct Call {
    var number: UInt32
    var architecture: UInt32 = 0xC000_003E
    var arguments: [UInt64] = []

    fileprivate func word(at offset: UInt32) -> UInt32? {
      switch offset {
      case 0: return number
      case 4: return architecture
      case 16..<64 where offset % 4 == 0:
        let index = Int(offset - 16) / 8
        let value = arguments.indices.contains(index) ? arguments[index] : 0
        return UInt32(truncatingIfNeeded: offset % 8 == 0 ? value : value >> 32)
      default: return nil
      }
    }
  }

  let instructions: [FilterInstruction]

  /// What becomes of `call`; nil where the kernel would not have taken the filter.
  func verdict(_ call: Call) -> UInt32? {
    var accumulator: UInt32 = 0
    var place = 0
    while instructions.indices.contains(place) {
      let instruction = instructions[place]
      place += 1
      let holds: Bool
      switch instruction.code {
      case 0x20:  // BPF_LD | BPF_W | BPF_ABS
        guard let word = call.word(at: instruction.operand) else { return nil }
        accumulator = word
        continue
      case 0x06: return instruction.operand  // BPF_RET | BPF_K
      case 0x15: holds = accumulator == instruction.operand  // BPF_JEQ
      case 0x35: holds = accumulator >= instruction.operand  // BPF_JGE
      case 0x45: holds = accumulator & instruction.operand != 0  // BPF_JSET
      default: return nil
      }
      place += Int(holds ? instruction.jumpTrue : instruction.jumpFalse)
    }
    return nil
  }
}
