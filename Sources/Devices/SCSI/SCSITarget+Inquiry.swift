internal import Binary

/// Who the target is: INQUIRY, REPORT LUNS, REQUEST SENSE (SPC-3, 6.4, 6.21, 6.27).
extension SCSITarget {
  /// Ranges that one UNMAP or WRITE SAME may have, in bytes: as much as a virtio disk takes at once.
  var rangeMaximum: UInt64 { 1 << 30 }

  func inquiry(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let limit = command.big(at: 3, count: 2)
    if command[1] & 1 != 0 { return reply(try vitalProductData(page: command[2]), limit: limit) }
    // A page code without EVPD, or CMDDT, which is obsolete.
    guard command[2] == 0, command[1] & 2 == 0 else { throw .invalidField }
    return reply(standardInquiry(), limit: limit)
  }

  /// The peripheral device type.
  private var deviceType: UInt8 { kind == .cdrom ? 0x05 : 0x00 }

  /// 36 bytes (SPC-3, 6.4.2).
  func standardInquiry() -> [UInt8] {
    var writer = ByteWriter(capacity: 36)
    writer.raw([deviceType, kind == .cdrom ? 0x80 : 0x00])
    // SPC-3 and response format 2; an ATAPI device says 0 and 2 with its own version before (SFF-8020i).
    writer.raw(interface == .atapi ? [0x00, 0x21] : [0x05, 0x02])
    writer.raw([31, 0, 0, interface == .atapi ? 0x00 : 0x02])  // CMDQUE
    writer.fixed(vendor, width: 8, padding: 0x20)
    writer.fixed(product, width: 16, padding: 0x20)
    writer.fixed(revision, width: 4, padding: 0x20)
    return writer.bytes
  }

  private func vitalProductData(page: UInt8) throws(SCSISense) -> [UInt8] {
    var body = ByteWriter(capacity: 64)
    switch page {
    case 0x00:
      body.raw(kind == .disk ? [0x00, 0x80, 0x83, 0xB0, 0xB1] + (canDiscard ? [0xB2] : []) : [0x00, 0x80, 0x83])
    case 0x80:
      body.raw(serial.utf8)
    case 0x83:
      // One designator, of the T10 vendor id kind (7.6.3.4): vendor, then what it calls the unit.
      body.raw([0x02, 0x01, 0x00, UInt8(24 + serial.utf8.count)])
      body.fixed(vendor, width: 8, padding: 0x20)
      body.fixed(product, width: 16, padding: 0x20)
      body.raw(serial.utf8)
    case 0xB0 where kind == .disk:
      writeBlockLimits(&body)
    case 0xB1 where kind == .disk:
      body.big(UInt16(1))  // does not rotate
      body.zeros(58)
    case 0xB2 where canDiscard:
      // LBPU, LBPWS, LBPWS10; thin provisioned.
      body.raw([0x00, 0xE0, 0x02, 0x00])
    default:
      throw .invalidField
    }
    return [deviceType, page, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body.bytes
  }

  /// Block limits (SBC-3, 6.6.3).
  private func writeBlockLimits(_ body: inout ByteWriter) {
    let range = UInt32(truncatingIfNeeded: canDiscard ? rangeMaximum / UInt64(blockSize) : 0)
    body.raw([0x01, 0x00])  // WSNZ; no COMPARE AND WRITE
    body.big(UInt16(0))  // optimal transfer length granularity
    body.zeros(12)  // no maximum of a transfer
    body.big(range)  // maximum unmap LBA count
    body.big(UInt32(canDiscard ? 1 : 0))  // maximum unmap block descriptor count
    body.big(UInt32(canDiscard ? max(1, 4096 / blockSize) : 0))  // optimal unmap granularity
    body.zeros(4)
    body.big(UInt64(range))  // maximum write same length
    body.zeros(20)
  }

  /// Logical unit 0 and no other.
  func reportLUNs(_ command: SCSICommand) throws(SCSISense) -> SCSIOutcome {
    let limit = command.big(at: 6, count: 4)
    guard limit >= 16 else { throw .invalidField }
    switch command[2] {
    case 0, 2: return .reply([0, 0, 0, 8] + [UInt8](repeating: 0, count: 12))
    case 1: return .reply([UInt8](repeating: 0, count: 8))  // well known units: none
    default: throw .invalidField
    }
  }

  mutating func requestSense(_ command: SCSICommand) -> SCSIOutcome {
    var sense = kept
    if sense == .none, let pending = attention {
      sense = pending
      attention = nil
    }
    kept = .none
    return senseReply(sense, command)
  }

  func senseReply(_ sense: SCSISense, _ command: SCSICommand) -> SCSIOutcome {
    reply(command[1] & 1 != 0 ? sense.descriptors : sense.fixed, limit: UInt64(command[4]))
  }
}
