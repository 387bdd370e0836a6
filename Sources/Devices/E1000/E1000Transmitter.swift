/// A transmit descriptor, decoded (Intel 317453, 3.3).
enum E1000TransmitDescriptor: Sendable {
  /// Legacy (3.3.3): CSO and CSS say where a checksum goes and what it begins with, if the command's IC asks.
  case legacy(address: UInt64, count: Int, checksum: (start: Int, offset: Int)?, isLast: Bool)
  /// TCP/IP context (3.3.6).
  case context(E1000OffloadContext, isSegmentation: Bool)
  /// TCP/IP data (3.3.7); `insertsIP` and `insertsTCP` are POPTS.
  case data(
    address: UInt64, count: Int, isSegmentation: Bool, insertsIP: Bool, insertsTCP: Bool, isLast: Bool)
  /// A type that does not exist.
  case reserved

  /// The descriptor with these two halves.
  init(address: UInt64, fields: UInt64) {
    let command = UInt8(truncatingIfNeeded: fields >> 24)
    let isLast = command & 0x01 != 0
    guard command & 0x20 != 0 else {
      let start = Int(fields >> 40 & 0xFF)
      let offset = Int(fields >> 16 & 0xFF)
      self = .legacy(
        address: address, count: Int(fields & 0xFFFF), checksum: command & 0x04 != 0 ? (start, offset) : nil,
        isLast: isLast)
      return
    }
    let isSegmentation = command & 0x04 != 0
    switch fields >> 20 & 0xF {
    case 0: self = .context(E1000OffloadContext(low: address, high: fields), isSegmentation: isSegmentation)
    case 1:
      self = .data(
        address: address, count: Int(fields & 0xF_FFFF), isSegmentation: isSegmentation,
        insertsIP: fields >> 40 & 1 != 0, insertsTCP: fields >> 40 & 2 != 0, isLast: isLast)
    default: self = .reserved
    }
  }

  /// Whether the driver wants to know that the descriptor is done (RS, or RPS).
  static func reports(_ fields: UInt64) -> Bool { fields >> 24 & 0x18 != 0 }
}

/// Where headers and checksums are in the frames that follow (3.3.6). Offsets are in bytes from the frame's start; an
/// end of 0 is the frame's end, otherwise the last byte that counts.
struct E1000OffloadContext: Sendable {
  var ipStart = 0
  var ipOffset = 0
  var ipEnd = 0
  var tcpStart = 0
  var tcpOffset = 0
  var tcpEnd = 0
  var headerCount = 0
  var maximumSegment = 0
  var isTCP = false
  var isIPv4 = false

  init() {}

  init(low: UInt64, high: UInt64) {
    ipStart = Int(low & 0xFF)
    ipOffset = Int(low >> 8 & 0xFF)
    ipEnd = Int(low >> 16 & 0xFFFF)
    tcpStart = Int(low >> 32 & 0xFF)
    tcpOffset = Int(low >> 40 & 0xFF)
    tcpEnd = Int(low >> 48 & 0xFFFF)
    isTCP = high >> 24 & 1 != 0
    isIPv4 = high >> 24 & 2 != 0
    headerCount = Int(high >> 40 & 0xFF)
    maximumSegment = Int(high >> 48 & 0xFFFF)
  }
}

/// Gathers frames out of descriptors, finishes their checksums, cuts large ones into segments (Intel 317453, 3.3 to
/// 3.6). A frame that makes no sense is dropped at its last descriptor.
struct E1000Transmitter: Sendable {
  /// Bytes of one gathered packet, headers included.
  static let capacity = 65536 + 256
  /// Longest frame on the wire, in bytes: what the packet buffer takes (3.4).
  static let frameLimit = 16288
  static let shortestFrame = 60

  private var buffer = [UInt8](repeating: 0, count: capacity)
  private var header = [UInt8](repeating: 0, count: 256)
  private var count = 0
  private var isBroken = false
  private var isFirst = true
  private var isSegmented = false
  private var insertsIP = false
  private var insertsTCP = false
  /// The controller keeps one context for segmentation and one for checksums alone.
  private var checksumContext = E1000OffloadContext()
  private var segmentContext = E1000OffloadContext()

  mutating func reset() {
    checksumContext = E1000OffloadContext()
    segmentContext = E1000OffloadContext()
    startPacket()
  }

  private mutating func startPacket() {
    count = 0
    isBroken = false
    isFirst = true
    isSegmented = false
    insertsIP = false
    insertsTCP = false
  }

  /// Takes one descriptor; hands each frame that it completes to `send`.
  mutating func add(
    _ descriptor: E1000TransmitDescriptor, padsShort: Bool, _ memory: some GuestMemory, _ send: (Span<UInt8>) -> Void
  ) {
    switch descriptor {
    case .legacy(let address, let count, let checksum, let isLast):
      gather(address, count, memory)
      isFirst = false
      guard isLast else { return }
      if let checksum { insertChecksum(from: checksum.start, through: 0, at: checksum.offset, 0, isUDP: false) }
      finish(padsShort: padsShort, send)
    case .context(let context, let isSegmentation):
      if isSegmentation { segmentContext = context } else { checksumContext = context }
    case .data(let address, let count, let isSegmentation, let insertsIP, let insertsTCP, let isLast):
      if isFirst {
        // A packet's options count in its first descriptor only (3.3.7.2).
        self.insertsIP = insertsIP
        self.insertsTCP = insertsTCP
        isSegmented = isSegmentation
        isFirst = false
      }
      gather(address, count, memory)
      if isLast { finish(padsShort: padsShort, send) }
    case .reserved:
      isBroken = true
    }
  }

  private mutating func gather(_ address: UInt64, _ length: Int, _ memory: some GuestMemory) {
    guard length > 0, !isBroken else { return }
    guard length <= Self.capacity &- count else {
      isBroken = true
      return
    }
    let start = count
    var span = buffer.mutableSpan
    var part = span._mutatingExtracting(start..<(start &+ length))
    do {
      try memory.read(at: GuestAddress(address), into: &part)
      count = start &+ length
    } catch {
      // What is no RAM has nothing to send.
      isBroken = true
    }
  }

  private mutating func finish(padsShort: Bool, _ send: (Span<UInt8>) -> Void) {
    defer { startPacket() }
    guard !isBroken, count > 0 else { return }
    if isSegmented {
      sendSegments(send)
      return
    }
    if insertsIP || insertsTCP { insertChecksums(checksumContext, start: 0, added: 0) }
    if padsShort {
      while count < Self.shortestFrame {
        buffer[count] = 0
        count &+= 1
      }
    }
    if count <= Self.frameLimit { send(buffer.span.extracting(0..<count)) }
  }

  // MARK: Segmentation (3.5)

  /// Each segment's header is written over the payload of the one before, right in front of its own payload.
  private mutating func sendSegments(_ send: (Span<UInt8>) -> Void) {
    let context = segmentContext
    let headerCount = context.headerCount
    guard headerCount > 0, headerCount <= count, context.maximumSegment > 0,
      headerCount &+ context.maximumSegment <= Self.frameLimit
    else { return }
    for index in 0..<headerCount { header[index] = buffer[index] }
    let end = count
    var start = 0
    var number: UInt16 = 0
    repeat {
      let isLast = end &- headerCount &- start <= context.maximumSegment
      let segmentEnd = isLast ? end : start &+ headerCount &+ context.maximumSegment
      for index in 0..<headerCount { buffer[start &+ index] = header[index] }
      count = segmentEnd
      adjustHeaders(context, start: start, payload: start, number: number, isLast: isLast)
      send(buffer.span.extracting(start..<segmentEnd))
      number &+= 1
      start &+= context.maximumSegment
    } while start &+ headerCount < end
  }

  /// Lengths, identification, sequence number and flags of the segment from `start` to `count`, whose first byte of
  /// payload is byte `payload` of all (3.5.6).
  private mutating func adjustHeaders(
    _ context: E1000OffloadContext, start: Int, payload: Int, number: UInt16, isLast: Bool
  ) {
    let length = count &- start
    if context.isIPv4 {
      put(UInt16(truncatingIfNeeded: length &- context.ipStart), at: start &+ context.ipStart &+ 2)
      let identification = start &+ context.ipStart &+ 4
      put(get(identification) &+ number, at: identification)
    } else {
      put(UInt16(truncatingIfNeeded: length &- context.ipStart &- 40), at: start &+ context.ipStart &+ 4)
    }
    let transport = start &+ context.tcpStart
    let transportCount = UInt16(truncatingIfNeeded: length &- context.tcpStart)
    if context.isTCP {
      let sequence = UInt32(get(transport &+ 4)) << 16 | UInt32(get(transport &+ 6))
      let next = sequence &+ UInt32(truncatingIfNeeded: payload)
      put(UInt16(truncatingIfNeeded: next >> 16), at: transport &+ 4)
      put(UInt16(truncatingIfNeeded: next), at: transport &+ 6)
      // FIN and PSH belong to the last segment.
      if !isLast, transport &+ 13 < count { buffer[transport &+ 13] &= ~0x09 }
    } else {
      put(transportCount, at: transport &+ 4)
    }
    // The driver's sum over the pseudo header has no length in it.
    insertChecksums(context, start: start, added: transportCount)
  }

  // MARK: Checksums (3.6)

  private mutating func insertChecksums(_ context: E1000OffloadContext, start: Int, added: UInt16) {
    if insertsTCP {
      insertChecksum(
        from: start &+ context.tcpStart, through: context.tcpEnd == 0 ? 0 : start &+ context.tcpEnd,
        at: start &+ context.tcpOffset, added, isUDP: !context.isTCP)
    }
    if insertsIP {
      insertChecksum(
        from: start &+ context.ipStart, through: context.ipEnd == 0 ? 0 : start &+ context.ipEnd,
        at: start &+ context.ipOffset, 0, isUDP: false)
    }
  }

  /// Writes the checksum of the bytes from `first` to `last`, or to the packet's end where `last` is 0. What already
  /// stands at `offset` counts, as the pseudo header's sum does. Positions beyond the packet insert nothing.
  private mutating func insertChecksum(from first: Int, through last: Int, at offset: Int, _ added: UInt16, isUDP: Bool)
  {
    let end = last == 0 ? count : min(count, last &+ 1)
    guard first < end, offset &+ 1 < count else { return }
    let sum = ~E1000Checksum.add(E1000Checksum.sum(buffer.span, first..<end), added)
    // A UDP checksum of zero means that there is none (RFC 768).
    put(isUDP && sum == 0 ? 0xFFFF : sum, at: offset)
  }

  /// Big-endian words inside the packet; beyond it they are nothing.
  private mutating func put(_ value: UInt16, at offset: Int) {
    guard offset &+ 1 < count else { return }
    buffer[offset] = UInt8(truncatingIfNeeded: value >> 8)
    buffer[offset &+ 1] = UInt8(truncatingIfNeeded: value)
  }

  private func get(_ offset: Int) -> UInt16 {
    guard offset &+ 1 < count else { return 0 }
    return UInt16(buffer[offset]) << 8 | UInt16(buffer[offset &+ 1])
  }
}
