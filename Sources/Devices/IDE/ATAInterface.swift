/// What the host sees of one drive, and what the drive does to it: the command block, the interrupt and the transfer.
struct ATAInterface: Sendable {
  var registers = ATARegisters()
  var transfer = ATATransfer()
  /// The drive wants INTRQ; whether it drives the wire is the channel's matter.
  var isInterruptPending = false

  /// The command ended well.
  mutating func complete(interrupts: Bool = true) {
    transfer.finish()
    registers.error = 0
    registers.status = ATARegisters.Status.idle
    if interrupts { isInterruptPending = true }
  }

  /// The command ended with `error` in the error register and `status` besides ERR.
  mutating func fail(_ error: UInt8, status: UInt8 = 0) {
    transfer.finish()
    registers.error = error
    registers.status = ATARegisters.Status.idle | ATARegisters.Status.error | status
    isInterruptPending = true
  }

  /// The command is none, or not for now.
  mutating func abort() {
    fail(ATARegisters.Failure.aborted)
  }

  /// Data of `range` in the buffer may be moved: DRQ, and INTRQ if `interrupts`.
  mutating func request(_ range: Range<Int>, interrupts: Bool) {
    transfer.open(range)
    registers.status = ATARegisters.Status.idle | ATARegisters.Status.dataRequest
    if interrupts { isInterruptPending = true }
  }

  /// A reset or the end of diagnostics: the signature, and that the diagnostics passed.
  mutating func reset(isPacketDevice: Bool) {
    transfer.finish()
    isInterruptPending = false
    registers.setSignature(isPacketDevice: isPacketDevice)
    registers.error = 0x01
    // A packet device is not ready until its first command, so that drivers of disks pass it by.
    registers.status = isPacketDevice ? 0 : ATARegisters.Status.idle
  }
}
