internal import Binary

/// MODE SENSE and MODE SELECT (SPC-3, 6.7 to 6.10 and 7.4; SBC-3, 6.5; MMC-5, 7).
extension SCSITarget {
  /// Mode pages.
  private enum Page {
    static let errorRecovery: UInt8 = 0x01
    static let caching: UInt8 = 0x08
    static let control: UInt8 = 0x0A
    static let capabilities: UInt8 = 0x2A
    static let all: UInt8 = 0x3F
  }

  private var pages: [UInt8] {
    kind == .disk
      ? [Page.errorRecovery, Page.caching, Page.control] : [Page.errorRecovery, Page.control, Page.capabilities]
  }

  func modeSense(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let isShort = command.operation == SCSIOperation.modeSense6
    let limit = isShort ? UInt64(command[4]) : command.big(at: 7, count: 2)
    let code = command[2] & 0x3F
    let isChangeable = command[2] >> 6 == 1
    guard command[2] >> 6 != 3 else { throw .noSaving }
    // Subpages are not there, but all of them may be asked for.
    guard command[3] == 0 || command[3] == 0xFF else { throw .invalidField }
    guard code == Page.all || pages.contains(code) else { throw .invalidField }

    var body = ByteWriter(capacity: 64)
    // A drive has no block descriptor; a disk's is left out with DBD.
    let descriptor = kind == .disk && command[1] & 0x08 == 0
    if descriptor {
      body.big(UInt32(clamping: medium ?? 0))
      body.big(blockSize)
    }
    for page in pages where code == Page.all || code == page {
      body.raw(isChangeable ? changeable(page) : current(page))
    }
    var writer = ByteWriter(capacity: body.count + 8)
    let mediumType: UInt8 = 0
    // WP, and DPOFUA for who can write.
    let specific: UInt8 = kind == .cdrom ? 0x00 : (isReadOnly ? 0x80 : 0x00) | 0x10
    if isShort {
      writer.raw([UInt8(truncatingIfNeeded: body.count + 3), mediumType, specific, descriptor ? 8 : 0])
    } else {
      writer.big(UInt16(truncatingIfNeeded: body.count + 6))
      writer.raw([mediumType, specific, 0, 0, 0, descriptor ? 8 : 0])
    }
    writer.raw(body.bytes)
    return reply(writer.bytes, limit: limit)
  }

  /// A page as it is, which is also how it was in the beginning but for WCE.
  private func current(_ page: UInt8) -> [UInt8] {
    switch page {
    case Page.errorRecovery:
      return kind == .disk ? [page, 10] + zeros(10) : [page, 6] + zeros(6)
    case Page.caching:
      return [page, 18, hasWriteCache ? 0x04 : 0x00] + zeros(17)
    case Page.control:
      return [page, 10] + zeros(10)
    default:
      // Reads CD-R, CD-RW and DVD-ROM; mode 2 and sessions; a tray that ejects and locks; 50 times 176 kB/s.
      return [page, 18, 0x0B, 0, 0x70, 0, 0x29 | (isLocked ? 0x02 : 0), 0, 0x22, 0x60, 0, 0, 8, 0, 0x22, 0x60]
        + zeros(4)
    }
  }

  private func changeable(_ page: UInt8) -> [UInt8] {
    var bytes = current(page)
    for index in 2..<bytes.count { bytes[index] = 0 }
    if page == Page.caching, !isReadOnly { bytes[2] = 0x04 }
    return bytes
  }

  private func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

  /// Takes a parameter list whose pages differ from the present ones in changeable bits only, or refuses all of it.
  mutating func selectModes(_ command: SCSICommand, _ parameters: [UInt8]) throws(SCSISense) -> SCSIOutcome {
    // SP: save pages.
    guard command[1] & 0x01 == 0 else { throw .invalidField }
    let isShort = command.operation == SCSIOperation.modeSelect6
    let header = isShort ? 4 : 8
    guard parameters.count >= header else { throw .parameterLength }
    let descriptors = isShort ? Int(parameters[3]) : Int(parameters[6]) << 8 | Int(parameters[7])
    guard descriptors == 0 || descriptors == 8, parameters.count - header >= descriptors else {
      throw .invalidParameter
    }
    if descriptors == 8 { try checkDescriptor(parameters, at: header) }
    var offset = header + descriptors
    var cached = hasWriteCache
    while offset < parameters.count {
      guard parameters.count - offset >= 2 else { throw .parameterLength }
      let code = parameters[offset] & 0x3F
      let count = Int(parameters[offset + 1]) + 2
      guard parameters[offset] & 0x40 == 0, pages.contains(code) else { throw .invalidParameter }
      guard parameters.count - offset >= count else { throw .parameterLength }
      let now = current(code)
      let mask = changeable(code)
      guard count == now.count else { throw .invalidParameter }
      // A drive's pages are let pass: drivers write them back with speeds and retries of their own.
      if kind == .disk {
        for index in 2..<count where (parameters[offset + index] ^ now[index]) & ~mask[index] != 0 {
          throw .invalidParameter
        }
      }
      if code == Page.caching { cached = parameters[offset + 2] & 0x04 != 0 }
      offset += count
    }
    // What was cached under the old rule is made durable with the change.
    let flushes = hasWriteCache && !cached
    hasWriteCache = cached
    return flushes ? .flush : .reply([])
  }

  /// The block descriptor may repeat the block size, not change it.
  private func checkDescriptor(_ parameters: [UInt8], at offset: Int) throws(SCSISense) {
    let size = try? ByteReader(parameters).big(UInt32.self, at: offset + 4)
    guard let size, size & 0xFF_FFFF == blockSize else { throw .invalidParameter }
  }
}
