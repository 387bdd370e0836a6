/// The receive ring (3.2.6).
extension E1000State {
  /// Frames delivered in one go, so that a flood leaves room for others.
  private static var receiveBudget: Int { 256 }

  private var freeDescriptors: Int {
    let base = E1000Register.receiveDescriptors
    let count = self[base + 8] / 16
    let head = self[base + 0x10]
    let tail = self[base + 0x18]
    guard head < count, tail < count else { return 0 }
    return Int(tail >= head ? tail &- head : count &- head &+ tail)
  }

  private var canReceive: Bool {
    self[E1000Register.receiveControl] & E1000ReceiveControl.enable != 0 && isBusMaster && freeDescriptors > 0
  }

  /// True once when there is room again for who was told that there is none.
  mutating func takeRoom() -> Bool {
    guard isWaitingForRoom, canReceive else { return false }
    isWaitingForRoom = false
    return true
  }

  /// Moves waiting frames to the guest. False when it has no descriptors for one that may be waiting.
  mutating func receive() -> Bool {
    var causes: UInt32 = 0
    defer { raise(causes) }
    for _ in 0..<Self.receiveBudget {
      guard canReceive else {
        isWaitingForRoom = true
        return false
      }
      if receiver.count == 0 {
        guard receiver.fetch(frames) else { return true }
        guard admit() else {
          receiver.drop()
          continue
        }
        if self[E1000Register.receiveControl] & E1000ReceiveControl.stripCRC == 0 { receiver.appendCheckSequence() }
      }
      let size = E1000ReceiveControl.bufferCount(self[E1000Register.receiveControl])
      let needed = (receiver.count &+ size &- 1) / size
      let before = freeDescriptors
      if needed > before {
        count(E1000Statistic.receiveNoBuffers)
        let all = Int(self[E1000Register.receiveDescriptors + 8] / 16)
        if needed >= all {
          // It will never fit.
          receiver.drop()
          count(E1000Statistic.missed)
          causes |= E1000Cause.receiveOverrun
          continue
        }
        isWaitingForRoom = true
        return false
      }
      deliver(bufferSize: size)
      causes |= E1000Cause.receiveTimer
      let all = Int(self[E1000Register.receiveDescriptors + 8] / 16)
      let threshold = E1000ReceiveControl.threshold(self[E1000Register.receiveControl], of: all)
      if before > threshold, freeDescriptors <= threshold { causes |= E1000Cause.receiveThreshold }
    }
    return true
  }

  /// Whether the frame just fetched is for this station (3.2.1), with what the counters make of it.
  private mutating func admit() -> Bool {
    let control = self[E1000Register.receiveControl]
    let octets = receiver.count &+ E1000Receiver.checkCount
    count(E1000Statistic.totalReceived)
    countOctets(E1000Statistic.totalOctetsReceived, octets)
    guard receiver.count <= E1000Receiver.longestFrame || control & E1000ReceiveControl.longFrames != 0 else {
      count(E1000Statistic.receiveOversize)
      return false
    }
    let isMulticast = receiver.buffer[0] & 1 != 0
    let isBroadcast = isMulticast && E1000Receiver.isBroadcast(receiver.buffer.span)
    guard let isInexact = passes(control, isMulticast: isMulticast, isBroadcast: isBroadcast) else { return false }
    receiver.isInexact = isInexact
    count(E1000Statistic.goodReceived)
    countOctets(E1000Statistic.goodOctetsReceived, octets)
    if isBroadcast {
      count(E1000Statistic.broadcastReceived)
    } else if isMulticast {
      count(E1000Statistic.multicastReceived)
    }
    count(Self.sizeClass(E1000Statistic.receivedBySize, length: octets))
    return true
  }

  /// The filters' answer: nil refuses; true when the match was not of the whole address.
  private func passes(_ control: UInt32, isMulticast: Bool, isBroadcast: Bool) -> Bool? {
    let bytes = receiver.buffer
    if isBroadcast, control & E1000ReceiveControl.acceptBroadcast != 0 { return false }
    let low = UInt32(bytes[0]) | UInt32(bytes[1]) << 8 | UInt32(bytes[2]) << 16 | UInt32(bytes[3]) << 24
    let high = UInt32(bytes[4]) | UInt32(bytes[5]) << 8 | 1 << 31
    for index in 0..<16 {
      let entry = E1000Register.receiveAddress + 8 * index
      // AV and ASEL: valid, and to be compared with the destination.
      if self[entry] == low, self[entry + 4] & 0x8003_FFFF == high { return false }
    }
    guard isMulticast else { return control & E1000ReceiveControl.unicastPromiscuous != 0 ? true : nil }
    if control & E1000ReceiveControl.multicastPromiscuous != 0 { return true }
    let bit = E1000ReceiveControl.multicastBit(control, fifth: bytes[4], sixth: bytes[5])
    return self[E1000Register.multicastTable + 4 * (bit >> 5)] >> UInt32(bit & 31) & 1 != 0 ? true : nil
  }

  /// Writes the frame into as many descriptors as it takes; the caller has seen that they are there.
  private mutating func deliver(bufferSize: Int) {
    let base = E1000Register.receiveDescriptors
    let ring = UInt64(self[base]) | UInt64(self[base + 4]) << 32
    let total = self[base + 8] / 16
    var offset = 0
    while offset < receiver.count {
      let part = min(bufferSize, receiver.count &- offset)
      let isLast = offset &+ part == receiver.count
      let head = self[base + 0x10]
      let address = ring &+ 16 &* UInt64(head)
      // As on a bus: what is written where no memory is, is lost.
      if let buffer = try? memory.loadUInt64(at: GuestAddress(address)) {
        try? memory.write(
          at: GuestAddress(buffer), from: receiver.buffer.span.extracting(offset..<(offset &+ part)))
      }
      var status = E1000Receiver.Status.done
      if isLast {
        status |= E1000Receiver.Status.endOfPacket | E1000Receiver.Status.ignoreChecksums
        if receiver.isInexact { status |= E1000Receiver.Status.inexactFilter }
      }
      // Length, checksum (none), status, errors (none), special: in one store, as drivers poll for the status.
      let fields = UInt64(part) | UInt64(status) << 32
      try? memory.storeUInt64(fields, at: GuestAddress(address &+ 8))
      self[base + 0x10] = head &+ 1 == total ? 0 : head &+ 1
      offset &+= part
    }
    receiver.drop()
  }
}
