import TestMachine
import Testing

@testable import Devices

private typealias Register = E1000Driver.Register

/// The rings of the 82540EM: what goes out, what comes in, what a hostile driver gets.
@Suite struct E1000RingTests {
  /// One's complement sum of big-endian words, another way than the device's.
  private func checksum(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var sum = 0
    for (index, byte) in bytes.enumerated() { sum += Int(byte) << (index % 2 == 0 ? 8 : 0) }
    return UInt16(sum % 0xFFFF)
  }

  // MARK: Transmit

  @Test func transmitsAndReports() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    driver.write(0x03, Register.maskSet)
    let frame = (0..<200).map { UInt8($0) }
    try driver.queue(frame)
    driver.kick()
    #expect(driver.frames.takeSent() == [frame])
    #expect(try driver.transmitStatus(0) == 1)
    #expect(driver.line.isHigh && driver.read(Register.cause) == 0x03)
    #expect(driver.read(Register.transmitRing + 0x10) == 1)
    // Without RS nothing is written back.
    try driver.queue(frame, command: 0x01)
    driver.kick()
    #expect(try driver.transmitStatus(1) == 0 && driver.read(Register.cause) == 0x02)
  }

  @Test func gathersPadsAndWraps() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    for round in 0..<10 {
      try driver.queue([UInt8](repeating: 1, count: 14), at: 0, command: 0x08)
      try driver.queue([UInt8](repeating: 2, count: 3), at: 0x100, command: 0x08)
      try driver.queue([UInt8(round)], at: 0x200, command: 0x09)
      driver.kick()
      let expected = [UInt8](repeating: 1, count: 14) + [2, 2, 2, UInt8(round)] + [UInt8](repeating: 0, count: 42)
      #expect(driver.frames.takeSent() == [expected])
    }
    #expect(driver.read(Register.transmitRing + 0x10) == 30 % 8)
  }

  @Test func staysSilentWithoutLinkEnableOrBusMaster() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    driver.write(0, Register.transmitControl)
    try driver.queue([UInt8](repeating: 1, count: 60))
    driver.kick()
    #expect(driver.read(Register.transmitRing + 0x10) == 0)
    driver.bus.write(0x8000_1004, at: 0, width: .doubleWord)
    driver.bus.write(0x0003, at: 4, width: .word)
    driver.write(2, Register.transmitControl)
    #expect(driver.read(Register.transmitRing + 0x10) == 0)
    driver.bus.write(0x0007, at: 4, width: .word)
    driver.function.isLinkUp = false
    driver.kick()
    #expect(driver.read(Register.transmitRing + 0x10) == 1)
    #expect(driver.frames.takeSent().isEmpty)
  }

  @Test func insertsALegacyChecksum() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    var frame = (0..<80).map { UInt8($0 * 3 & 0xFF) }
    frame[50] = 0
    frame[51] = 0
    // IC, with CSS 34 and CSO 50.
    try driver.queue(frame, command: 0x0D, extra: 34 << 40 | 50 << 16)
    driver.kick()
    let sent = try #require(driver.frames.takeSent().first)
    #expect(checksum(sent[34...]) == 0 && (sent[50], sent[51]) != (0, 0))
    #expect(sent[..<50] == frame[..<50] && sent[52...] == frame[52...])
  }

  /// An Ethernet, IPv4 and TCP header of 54 bytes as drivers leave it to the adapter: lengths, checksums open.
  private func header(flags: UInt8 = 0x19) -> [UInt8] {
    var bytes: [UInt8] = [0x02, 0, 0, 0, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x08, 0x00]
    bytes += [0x45, 0, 0, 0, 0x12, 0xFF, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1]
    bytes += [0x80, 0x01, 0, 80, 0xFF, 0xFF, 0xFE, 0, 0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0]
    // The sum over addresses and protocol, without the length.
    let sum = checksum(bytes[26..<34] + [0, 6])
    bytes[50] = UInt8(sum >> 8)
    bytes[51] = UInt8(sum & 0xFF)
    return bytes
  }

  /// Checks that a frame's IPv4 and TCP checksums hold.
  private func expectSound(_ frame: [UInt8]) {
    let length = Int(frame[16]) << 8 | Int(frame[17])
    #expect(length == frame.count - 14)
    #expect(checksum(frame[14..<34]) == 0)
    let transport = frame.count - 34
    #expect(
      checksum(frame[26..<34] + [0, frame[23], UInt8(transport >> 8), UInt8(transport & 0xFF)] + frame[34...]) == 0)
  }

  private func queueContext(
    _ driver: E1000Driver, command: UInt64, transportOffset: UInt64 = 50, headerCount: UInt64 = 54, segment: UInt64
  ) throws {
    try driver.queue(
      14 | 24 << 8 | 33 << 16 | 34 << 32 | transportOffset << 40,
      command << 24 | headerCount << 40 | segment << 48)
  }

  @Test func segmentsTCP() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    let payload = (0..<2500).map { UInt8(truncatingIfNeeded: $0 * 7) }
    try queueContext(driver, command: 0x27, segment: 1000)  // DEXT, TSE, IP, TCP
    try driver.memory.write(header(), at: GuestAddress(E1000Driver.transmitBuffer))
    try driver.memory.write(payload, at: GuestAddress(E1000Driver.transmitBuffer + 0x1000))
    // DEXT, TSE; both checksums.
    try driver.queue(E1000Driver.transmitBuffer, 54 | 1 << 20 | 0x24 << 24 | 3 << 40)
    try driver.queue(E1000Driver.transmitBuffer + 0x1000, 2500 | 1 << 20 | 0x2D << 24)
    driver.kick()
    let sent = driver.frames.takeSent()
    #expect(sent.map(\.count) == [1054, 1054, 554])
    #expect(sent.flatMap { $0[54...] } == payload)
    for (index, frame) in sent.enumerated() {
      expectSound(frame)
      #expect(Int(frame[18]) << 8 | Int(frame[19]) == 0x12FF + index)
      let sequence = frame[38..<42].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      #expect(sequence == 0xFFFF_FE00 &+ UInt32(1000 * index))
      // FIN and PSH in the last only.
      #expect(frame[47] == (index == 2 ? 0x19 : 0x10))
    }
    #expect(try driver.transmitStatus(2) == 1)
    #expect(driver.read(0x40F8) == 1)
  }

  /// The checksums of a single frame; its header's sum has the length in it here.
  @Test func insertsChecksumsOfTheContext() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    var frame = header() + [UInt8](repeating: 0x5A, count: 33)
    frame[16] = 0
    frame[17] = UInt8(frame.count - 14)
    let sum = checksum(frame[26..<34] + [0, 6, 0, UInt8(frame.count - 34)])
    frame[50] = UInt8(sum >> 8)
    frame[51] = UInt8(sum & 0xFF)
    try queueContext(driver, command: 0x23, segment: 0)
    // A context for segmentation does not disturb the other one.
    try queueContext(driver, command: 0x27, transportOffset: 0, segment: 9)
    try driver.memory.write(frame, at: GuestAddress(E1000Driver.transmitBuffer))
    try driver.queue(E1000Driver.transmitBuffer, UInt64(frame.count) | 1 << 20 | 0x29 << 24 | 3 << 40)
    driver.kick()
    let sent = driver.frames.takeSent()
    #expect(sent.count == 1)
    expectSound(sent.first ?? [])
  }

  /// A UDP checksum that comes out as zero is sent as all ones.
  @Test func segmentsUDPOverIPv6() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    var bytes: [UInt8] = [0x02, 0, 0, 0, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x86, 0xDD]
    bytes += [0x60, 0, 0, 0, 0, 0, 17, 64] + [UInt8](repeating: 0, count: 32)
    bytes += [0, 1, 0, 2, 0, 0, 0xFF, 0xDC]  // addresses and protocol, for a sum of zero
    try driver.queue(14 | 0 << 8 | 0 << 16 | 54 << 32 | 60 << 40, 0x24 << 24 | 62 << 40 | 8 << 48)
    try driver.memory.write(
      bytes + [UInt8](repeating: 0xFF, count: 4) + [0, 0, 0, 0, 1], at: GuestAddress(E1000Driver.transmitBuffer))
    try driver.queue(E1000Driver.transmitBuffer, UInt64(bytes.count + 9) | 1 << 20 | 0x2D << 24 | 2 << 40)
    driver.kick()
    let sent = driver.frames.takeSent()
    #expect(sent.map(\.count) == [70, 63])
    for frame in sent {
      #expect(Int(frame[18]) << 8 | Int(frame[19]) == frame.count - 54)
      #expect(Int(frame[58]) << 8 | Int(frame[59]) == frame.count - 54)
      // The length is in the sum twice: once in the header, once for the pseudo header.
      let rest = frame.count - 54
      #expect(checksum(frame[54...] + (frame.count % 2 == 0 ? [] : [0]) + [0, UInt8(rest), 0xFF, 0xDC]) == 0)
    }
    #expect(sent.first?[60..<62] == [0xFF, 0xFF])
  }

  // MARK: Receive

  @Test func receivesAndReports() throws {
    let driver = try E1000Driver()
    try driver.startReceive()
    driver.write(0x80, Register.maskSet)
    let frame = E1000Driver.mac + (6..<100).map { UInt8($0) }
    driver.frames.offer(frame)
    #expect(driver.function.receiveFrames())
    #expect(driver.line.isHigh && driver.read(Register.cause) == 0x80)
    let received = try #require(try driver.takeReceived())
    #expect(received.bytes == frame && received.status == 0x07)  // DD, EOP, IXSM
    #expect(try driver.takeReceived() == nil)
    // Short frames are filled up; with the check sequence there are four bytes more.
    driver.write(0x8002, Register.receiveControl)
    driver.frames.offer(E1000Driver.mac + [9])
    #expect(driver.function.receiveFrames())
    let padded = try #require(try driver.takeReceived())
    #expect(padded.bytes == E1000Driver.mac + [9] + [UInt8](repeating: 0, count: 57))
  }

  @Test func filters() throws {
    let driver = try E1000Driver()
    func passes(_ control: UInt32, _ destination: [UInt8]) throws -> UInt8? {
      driver.write(0x0400_0002 | control, Register.receiveControl)
      driver.frames.offer(destination + [UInt8](repeating: 0, count: 60))
      #expect(driver.function.receiveFrames())
      return try driver.takeReceived()?.status
    }
    try driver.startReceive()
    let broadcast = [UInt8](repeating: 0xFF, count: 6)
    let other: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x57]
    let multicast: [UInt8] = [0x01, 0x00, 0x5E, 0x00, 0xAB, 0xCD]
    #expect(try passes(0, E1000Driver.mac) == 0x07)
    #expect(try passes(0, broadcast) == nil)
    #expect(try passes(0x8000, broadcast) == 0x07)
    #expect(try passes(0, other) == nil)
    #expect(try passes(0x08, other) == 0x87)  // unicast promiscuous: inexact
    #expect(try passes(0, multicast) == nil)
    #expect(try passes(0x10, multicast) == 0x87)
    // 0xCDAB by MO: bits 47:36, 46:35, 45:34, 43:32.
    for (offset, hash) in [0xCDA, 0x9B5, 0x36A, 0xDAB].enumerated() {
      driver.write(1 << UInt32(hash & 31), Register.multicastTable + 4 * UInt64(hash >> 5))
      for another in 0..<4 {
        #expect(try passes(UInt32(another) << 12, multicast) == (another == offset ? 0x87 : nil))
      }
      driver.write(0, Register.multicastTable + 4 * UInt64(hash >> 5))
    }
    // A second address; without AV it does not count.
    driver.write(0x1200_5452, Register.receiveAddress + 8)
    driver.write(0x0000_5734, Register.receiveAddress + 12)
    #expect(try passes(0, other) == nil)
    driver.write(0x8000_5734, Register.receiveAddress + 12)
    #expect(try passes(0, other) == 0x07)
  }

  @Test func longFramesTakeSeveralDescriptors() throws {
    let driver = try E1000Driver()
    driver.receiveBufferStride = 512
    try driver.startReceive(control: 0x0402_8002)  // 512-byte buffers, strip CRC
    let frame = E1000Driver.mac + (0..<1200).map { UInt8(truncatingIfNeeded: $0) }
    for _ in 0..<5 {  // round the ring twice
      driver.frames.offer(frame)
      #expect(driver.function.receiveFrames())
      var bytes: [UInt8] = []
      for status in [UInt8(0x01), 0x01, 0x07] {
        let part = try #require(try driver.takeReceived())
        #expect(part.status == status)
        bytes += part.bytes
      }
      #expect(bytes == frame)
    }
    // Beyond 1518 bytes only with LPE.
    driver.frames.offer(E1000Driver.mac + [UInt8](repeating: 1, count: 1600))
    #expect(driver.function.receiveFrames())
    #expect(try driver.takeReceived() == nil && driver.read(0x40AC) == 1)
    driver.write(0x0402_8022, Register.receiveControl)
    driver.frames.offer(E1000Driver.mac + [UInt8](repeating: 1, count: 1600))
    #expect(driver.function.receiveFrames())
    #expect(try driver.takeReceived()?.bytes.count == 512)
  }

  @Test func bufferSizes() {
    let sizes = [2048, 1024, 512, 256, 2048, 16384, 8192, 4096]
    for (index, size) in sizes.enumerated() {
      let control = UInt32(index & 3) << 16 | UInt32(index >> 2) << 25
      #expect(E1000ReceiveControl.bufferCount(control) == size)
    }
  }

  @Test func aFrameWaitsForDescriptors() throws {
    let driver = try E1000Driver()
    driver.frames.offer(E1000Driver.mac + [UInt8](repeating: 3, count: 600))
    #expect(!driver.function.receiveFrames())  // not even enabled
    #expect(driver.rooms.edges == 0)
    driver.receiveBufferStride = 256
    try driver.startReceive(control: 0x0403_8002, available: 2)  // three are needed
    #expect(driver.rooms.edges == 1)
    #expect(!driver.function.receiveFrames())
    #expect(try driver.takeReceived() == nil)
    driver.write(3, Register.receiveTail)
    #expect(driver.rooms.edges == 2)
    #expect(!driver.function.receiveFrames())  // delivered, and none left
    for count in [256, 256, 94] { #expect(try driver.takeReceived()?.bytes.count == count) }
    // What could never fit is dropped instead.
    driver.receiveCount = 8
    try driver.startReceive(control: 0x0403_8022)
    driver.frames.offer(E1000Driver.mac + [UInt8](repeating: 3, count: 256 * 8))
    driver.frames.offer(E1000Driver.mac + [UInt8](repeating: 4, count: 60))
    _ = driver.read(Register.cause)
    #expect(driver.function.receiveFrames())
    #expect(driver.read(Register.cause) == 0xC0 && driver.read(0x4010) == 1)
    #expect(try driver.takeReceived()?.bytes.count == 66)
  }

  @Test func theThresholdInterrupts() throws {
    let driver = try E1000Driver()
    try driver.startReceive(control: 0x0400_8002)  // RDMTS 0: half
    for index in 0..<4 {
      driver.frames.offer(E1000Driver.mac + [UInt8](repeating: 0, count: 60))
      #expect(driver.function.receiveFrames())
      #expect(driver.read(Register.cause) == (index == 2 ? 0x90 : 0x80))  // 7, 6, 5, then 4 of 8 left
    }
  }

  // MARK: Hostile drivers

  @Test func nonsenseIsSurvived() throws {
    let driver = try E1000Driver()
    for count in [UInt32(0), 0x80, 0xFFF80] {
      for index in [UInt32(0), 7, 8, 0xFFFF] {
        for base in [UInt32(0x1000), 0x7FF0, 0xFFFF_FFF0] {
          for ring in [Register.transmitRing, Register.receiveRing] {
            driver.write(base, ring)
            driver.write(base == 0xFFFF_FFF0 ? .max : 0, ring + 4)
            driver.write(count, ring + 8)
            driver.write(index, ring + 0x10)
            driver.write(0x0403_8002, Register.receiveControl)
            driver.write(2, Register.transmitControl)
            driver.write(index ^ 3, ring + 0x18)
            driver.frames.offer([UInt8](repeating: 0xFF, count: 300))
            _ = driver.function.receiveFrames()
          }
        }
      }
    }
    // It works again after a reset.
    driver.write(1 << 26, Register.control)
    _ = driver.frames.takeSent()
    driver.startTransmit()
    try driver.queue([UInt8](repeating: 1, count: 60))
    driver.kick()
    #expect(driver.frames.takeSent().count == 1)
  }

  @Test func brokenFramesAreDroppedAndTheNextOneGoes() throws {
    let driver = try E1000Driver()
    driver.startTransmit()
    let good = [UInt8](repeating: 1, count: 60)
    let bad: [(low: UInt64, high: UInt64, sent: Int)] = [
      (0x8000, 60 | 0x09 << 24, 2),  // no memory there
      (.max - 3, 60 | 0x09 << 24, 2),
      (E1000Driver.transmitBuffer, 0x1_0101 | 1 << 20 | 0x29 << 24, 2),  // a byte too much
      (E1000Driver.transmitBuffer, 0x4001 | 1 << 20 | 0x29 << 24, 2),  // too long for the wire
      (E1000Driver.transmitBuffer, 100 | 1 << 20 | 0x2D << 24, 2),  // segments of no context
      // A type that does not exist ends no packet; the next one's end drops both.
      (E1000Driver.transmitBuffer, 60 | 5 << 20 | 0x29 << 24, 1),
    ]
    for (low, high, count) in bad {
      try driver.queue(low, high)
      try driver.queue(good)
      try driver.queue(good)
      driver.kick()
      #expect(driver.frames.takeSent() == [[UInt8]](repeating: good, count: count))
    }
    // Segments of one byte are allowed; more of them than bytes are not possible.
    try queueContext(driver, command: 0x27, segment: 1)
    try driver.queue(E1000Driver.transmitBuffer, 154 | 1 << 20 | 0x2D << 24 | 3 << 40)
    driver.kick()
    #expect(driver.frames.takeSent().count == 100)
    // Headers that are longer than the packet.
    try queueContext(driver, command: 0x27, headerCount: 255, segment: 1)
    try driver.queue(E1000Driver.transmitBuffer, 100 | 1 << 20 | 0x2D << 24 | 3 << 40)
    driver.kick()
    #expect(driver.frames.takeSent().isEmpty)
  }

  @Test func fuzz() throws {
    var random = SeededNumbers(5)
    let driver = try E1000Driver()
    var (sent, received) = (0, 0)
    func odd(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }
    for _ in 0..<6_000 {
      if odd(100) {
        driver.write(1 << 26, Register.control)
        driver.startTransmit()
        driver.receiveBufferStride = 256
        try driver.startReceive(control: UInt32.random(in: 0...(.max), using: &random) | 0x8002)
      }
      if odd(20) {
        let offset = UInt64.random(in: 0..<0x1800, using: &random) * 4
        let value = UInt32.random(in: 0...(.max), using: &random) >> UInt32.random(in: 0..<32, using: &random)
        if odd(2) { driver.write(value, offset) } else { _ = driver.read(offset) }
        let width: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]
        driver.bus.writePort(UInt64(value), at: driver.ports + UInt64(value & 0x1F), width: width[Int(value & 3)])
        _ = driver.bus.readMemory(at: driver.base + UInt64(value & 0x1FFF8), width: width[Int(value >> 3 & 3)])
      }
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let type: UInt64 = odd(2) ? 0 : 0x20
        let command = type | UInt64.random(in: 0..<16, using: &random) | (odd(3) ? 0 : 1)
        let kind: UInt64 = odd(4) ? UInt64.random(in: 0..<16, using: &random) : 1
        let length = odd(30) ? UInt64.random(in: 0...(0xF_FFFF), using: &random) : .random(in: 0..<3000, using: &random)
        let options = UInt64.random(in: 0...(.max), using: &random) & 0x00FF_FF3F_0000_0000 | 0x0100_0000_0000_0000
        let address =
          type == 0 || kind == 1
          ? (odd(50) ? UInt64.random(in: 0...(.max), using: &random) : E1000Driver.transmitBuffer)
          : UInt64.random(in: 0...(.max), using: &random) & 0x00FF_3F3F_00FF_3F3F
        try driver.queue(address, length & 0xF_FFFF | (type == 0 ? 0 : kind << 20) | command << 24 | options)
      }
      driver.kick()
      sent += driver.frames.takeSent().count
      driver.frames.offer(
        [UInt8](repeating: odd(2) ? 0xFF : 0x52, count: Int.random(in: 0..<(odd(10) ? 17000 : 1600), using: &random)))
      _ = driver.function.receiveFrames()
      for _ in 0..<8 where try driver.takeReceived() != nil { received += 1 }
    }
    // Both must have happened, or the fuzzer is blind.
    #expect(sent > 2_000 && received > 2_000, "\(sent) sent, \(received) received")
  }
}
