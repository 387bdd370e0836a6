/// The transmit ring (Intel 317453, 3.4).
extension E1000State {
  /// Works on the ring from TDH to TDT: at most once round it.
  mutating func transmit() {
    let base = E1000Register.transmitDescriptors
    let ring = UInt64(self[base]) | UInt64(self[base + 4]) << 32
    let count = self[base + 8] / 16
    let tail = self[base + 0x18]
    guard self[E1000Register.transmitControl] & E1000TransmitControl.enable != 0, isBusMaster,
      self[base + 0x10] < count, tail < count, self[base + 0x10] != tail
    else { return }
    var causes = E1000Cause.transmitQueueEmpty
    for _ in 0..<count {
      let head = self[base + 0x10]
      if head == tail { break }
      if transmitOne(ring &+ 16 &* UInt64(head)) { causes |= E1000Cause.transmitWritten }
      self[base + 0x10] = head &+ 1 == count ? 0 : head &+ 1
    }
    raise(causes)
  }

  /// Takes the descriptor at `address`. True when it was written back, as the driver asked.
  private mutating func transmitOne(_ address: UInt64) -> Bool {
    // A ring that is not in memory has nothing to send.
    guard let low = try? memory.loadUInt64(at: GuestAddress(address)),
      let high = try? memory.loadUInt64(at: GuestAddress(address &+ 8))
    else { return false }
    let descriptor = E1000TransmitDescriptor(address: low, fields: high)
    let padsShort = self[E1000Register.transmitControl] & E1000TransmitControl.padShort != 0
    let isLoopback = E1000ReceiveControl.isLoopback(self[E1000Register.receiveControl])
    let frames = frames
    // Loopback serves self tests; nothing comes back, and nothing may get out.
    let goesOut = phy.isLinkUp && !isLoopback
    var sent = E1000SentFrames()
    transmitter.add(descriptor, padsShort: padsShort, memory) { frame in
      sent.count(frame)
      if goesOut { frames.transmit(frame) }
    }
    record(sent, descriptor)
    guard E1000TransmitDescriptor.reports(high) else { return false }
    let status = UInt32(truncatingIfNeeded: high >> 32) | 1  // DD
    return (try? memory.storeUInt32(status, at: GuestAddress(address &+ 12))) != nil
  }

  private mutating func record(_ sent: E1000SentFrames, _ descriptor: E1000TransmitDescriptor) {
    if case .context(_, isSegmentation: true) = descriptor { count(E1000Statistic.segmentationContexts) }
    guard sent.total > 0 else { return }
    count(E1000Statistic.goodTransmitted, sent.total)
    count(E1000Statistic.totalTransmitted, sent.total)
    count(E1000Statistic.broadcastTransmitted, sent.broadcast)
    count(E1000Statistic.multicastTransmitted, sent.multicast)
    countOctets(E1000Statistic.goodOctetsTransmitted, sent.octets)
    countOctets(E1000Statistic.totalOctetsTransmitted, sent.octets)
    count(Self.sizeClass(E1000Statistic.transmittedBySize, length: sent.octets / sent.total), sent.total)
  }
}

/// What one descriptor sent.
private struct E1000SentFrames {
  var total = 0
  var broadcast = 0
  var multicast = 0
  /// With the check sequence of each frame.
  var octets = 0

  mutating func count(_ frame: Span<UInt8>) {
    total &+= 1
    octets &+= frame.count &+ 4
    guard frame.count >= 6, frame[0] & 1 != 0 else { return }
    if E1000Receiver.isBroadcast(frame) { broadcast &+= 1 } else { multicast &+= 1 }
  }
}
