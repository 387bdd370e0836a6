internal import Binary

/// Block commands (SBC-3, chapter 5). Nothing here adds two numbers of the guest's before their range is known.
extension SCSITarget {
  /// Commands of disks only.
  mutating func beginOnDisk(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    switch command.operation {
    case SCSIOperation.write6, SCSIOperation.write10, SCSIOperation.write12, SCSIOperation.write16,
      SCSIOperation.writeVerify10, SCSIOperation.writeVerify12, SCSIOperation.writeVerify16:
      return try write(command)
    case SCSIOperation.synchronizeCache10, SCSIOperation.synchronizeCache16:
      return try synchronize(command)
    case SCSIOperation.unmapOrSubchannel where canDiscard:
      // ANCHOR is of no use without anchored blocks.
      guard command[1] & 1 == 0 else { throw .invalidField }
      try checkWritable()
      let count = Int(command.big(at: 7, count: 2))
      return count == 0 ? .reply([]) : .parameters(count: count)
    case SCSIOperation.writeSame10 where canDiscard, SCSIOperation.writeSame16 where canDiscard:
      _ = try rangeOfWriteSame(command)
      // NDOB: no block comes, it is all zeroes.
      if hasNoBlock(command) { return try writeSame(command, block: []) }
      return .parameters(count: Int(blockSize))
    case SCSIOperation.sendDiagnostic:
      // The default self-test, which always passes.
      guard command[1] & 0x04 != 0, command.big(at: 3, count: 2) == 0 else { throw .invalidField }
      return .reply([])
    case SCSIOperation.reserve6, SCSIOperation.release6, SCSIOperation.reserve10, SCSIOperation.release10:
      // There is one initiator: it has the unit for itself.
      return .reply([])
    default:
      throw .invalidOperation
    }
  }

  // MARK: Fields

  /// First block and number of blocks, in the places where the READ and WRITE commands have them.
  private func extent(_ command: SCSICommand) -> (first: UInt64, count: UInt64) {
    switch command.operation >> 5 {
    case 0:
      let count = UInt64(command[4])
      return (command.big(at: 1, count: 3) & 0x1F_FFFF, count == 0 ? 256 : count)
    case 1, 2: return (command.big(at: 2, count: 4), command.big(at: 7, count: 2))
    case 4: return (command.big(at: 2, count: 8), command.big(at: 10, count: 4))
    default: return (command.big(at: 2, count: 4), command.big(at: 6, count: 4))
    }
  }

  /// The extent in bytes, which must lie on the medium.
  private func bytes(_ command: SCSICommand) throws(SCSISense) -> (offset: UInt64, count: UInt64) {
    let (first, count) = extent(command)
    return try bytes(first, count)
  }

  private func bytes(_ first: UInt64, _ count: UInt64) throws(SCSISense) -> (offset: UInt64, count: UInt64) {
    let blocks = try blocks()
    guard first <= blocks, count <= blocks - first else { throw .outOfRange }
    return (first * UInt64(blockSize), count * UInt64(blockSize))
  }

  /// Protection information (RDPROTECT, WRPROTECT, VRPROTECT) is not there; six-byte commands have no such field.
  private func checkProtection(_ command: SCSICommand) throws(SCSISense) {
    guard command.operation >> 5 == 0 || command[1] >> 5 == 0 else { throw .invalidField }
  }

  private func checkWritable() throws(SCSISense) {
    _ = try blocks()
    guard !isReadOnly else { throw .writeProtected }
  }

  // MARK: Commands

  func read(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    // The top bits of byte 1 are old units' numbers on a drive.
    if kind == .disk { try checkProtection(command) }
    let (offset, count) = try bytes(command)
    return count == 0 ? .reply([]) : .read(offset: offset, count: count)
  }

  private func write(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    try checkProtection(command)
    var flushes = !hasWriteCache
    switch command.operation {
    case SCSIOperation.write6: break
    case SCSIOperation.writeVerify10, SCSIOperation.writeVerify12, SCSIOperation.writeVerify16:
      // BYTCHK: a comparison, which is not there.
      guard command[1] & 0x06 == 0 else { throw .invalidField }
      flushes = true
    default: flushes = flushes || command[1] & 0x08 != 0  // FUA
    }
    try checkWritable()
    let (offset, count) = try bytes(command)
    return count == 0 ? .reply([]) : .write(offset: offset, count: count, flushes: flushes)
  }

  /// VERIFY without a comparison says whether the blocks are there; what is on them the host vouches for.
  func verify(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    guard command[1] & 0x06 == 0 else { throw .invalidField }
    _ = try bytes(command)
    return .reply([])
  }

  /// The whole cache, whatever range is asked for; the range must be one (SBC-3, 5.26).
  private func synchronize(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    _ = try bytes(command)
    return isReadOnly ? .reply([]) : .flush
  }

  func readCapacity10(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let blocks = try blocks()
    // PMI with 0, or a block address without PMI.
    guard command[8] & 1 != 0 || command.big(at: 2, count: 4) == 0 else { throw .invalidField }
    var writer = ByteWriter(capacity: 8)
    writer.big(UInt32(clamping: blocks == 0 ? 0 : blocks - 1))
    writer.big(blockSize)
    return .reply(writer.bytes)
  }

  func readCapacity16(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let blocks = try blocks()
    var writer = ByteWriter(capacity: 32)
    writer.big(blocks == 0 ? 0 : blocks - 1)
    writer.big(blockSize)
    writer.zeros(2)
    writer.big(UInt16(canDiscard ? 0x8000 : 0))  // LBPME
    writer.zeros(16)
    return reply(writer.bytes, limit: command.big(at: 10, count: 4))
  }

  // MARK: Deallocation

  /// UNMAP parameters (SBC-3, 5.28): the one range that the block limits page allows, or none.
  func unmap(_ parameters: [UInt8]) throws(SCSISense) -> SCSIOutcome {
    let reader = ByteReader(parameters)
    guard let length = try? reader.big(UInt16.self, at: 2), parameters.count >= 8, length % 16 == 0,
      Int(length) <= parameters.count - 8
    else { throw .parameterLength }
    guard length > 0 else { return .reply([]) }
    guard length == 16, let first = try? reader.big(UInt64.self, at: 8),
      let count = try? reader.big(UInt32.self, at: 16)
    else { throw .invalidParameter }
    guard UInt64(count) <= rangeMaximum / UInt64(blockSize) else { throw .invalidParameter }
    let range = try bytes(first, UInt64(count))
    return count == 0 ? .reply([]) : .discard(offset: range.offset, count: range.count)
  }

  /// What WRITE SAME covers. A count of 0 would mean the rest of the disk, which the block limits page excludes.
  private func rangeOfWriteSame(_ command: SCSICommand) throws(SCSISense) -> (offset: UInt64, count: UInt64) {
    try checkWritable()
    // WRPROTECT, ANCHOR, and the obsolete PBDATA and LBDATA, which change each block.
    guard command[1] & 0xF6 == 0 else { throw .invalidField }
    let range = extent(command)
    guard range.count > 0, range.count <= rangeMaximum / UInt64(blockSize) else { throw .invalidField }
    return try bytes(range.first, range.count)
  }

  private func hasNoBlock(_ command: SCSICommand) -> Bool {
    command.operation == SCSIOperation.writeSame16 && command[1] & 1 != 0
  }

  /// Only zeroes can be written so: nothing else is worth the work.
  func writeSame(_ command: SCSICommand, block: [UInt8]) throws(SCSISense) -> SCSIOutcome {
    let range = try rangeOfWriteSame(command)
    guard hasNoBlock(command) || block.count == Int(blockSize) else { throw .parameterLength }
    guard block.allSatisfy({ $0 == 0 }) else { throw .invalidField }
    return .writeZeroes(offset: range.offset, count: range.count, unmap: command[1] & 0x08 != 0)
  }
}
