import Binary
import Synchronization
import Testing

@testable import Devices

/// Xen's hypercalls, called as a guest does: structures in its memory, their address in a register.
@Suite("Xen's hypercalls")
struct XenTests {
  private static let console: UInt64 = 0x2000
  private static let store: UInt64 = 0x3000
  /// Where arguments are.
  private static let arguments: UInt32 = 0x4000
  private static let own: UInt32 = 0x7FF0
  private static let map = [
    XenLayout.Run(address: 0, count: 0x9_A000, kind: 1), XenLayout.Run(address: 0x1_0000_0000, count: 1 << 30, kind: 2),
  ]

  private final class Rig: Sendable {
    let memory = TestMemory()
    let sink = TestSink()
    let xen: XenHypercalls<TestMemory, TestSink>

    let ends: Ends

    init(tscKHz: UInt32 = 2_500_000) {
      let ends = Ends()
      self.ends = ends
      xen = XenHypercalls(
        memory: memory,
        layout: XenLayout(
          consolePage: XenTests.console, storePage: XenTests.store, map: XenTests.map, tscKHz: tscKHz, startTime: 77,
          name: "lab"), console: sink
      ) { reason in ends.reasons.withLock { $0.append(reason) } }
    }

    final class Ends: Sendable {
      let reasons = Mutex<[XenHypercalls<TestMemory, TestSink>.Shutdown]>([])
    }

    /// Calls with words put down as the argument's structure.
    func call(_ number: UInt32, _ command: UInt32, _ words: UInt32..., count: UInt32 = 1) throws -> Int32 {
      for (index, word) in words.enumerated() {
        try memory.storeUInt32(word, at: GuestAddress(UInt64(XenTests.arguments) + UInt64(4 * index)))
      }
      return xen.call(number, command, XenTests.arguments, count)
    }

    func word(_ index: Int) throws -> UInt32 {
      try memory.loadUInt32(at: GuestAddress(UInt64(XenTests.arguments) + UInt64(4 * index)))
    }

    func word(at address: UInt64) throws -> UInt32 { try memory.loadUInt32(at: GuestAddress(address)) }

    /// Sends a message to the store; its answer's kind, names and content.
    func ask(_ kind: UInt32, _ payload: String) throws -> (kind: UInt32, names: [UInt32], content: [UInt8]) {
      var message = ByteWriter()
      for word in [kind, 5, 6, UInt32(payload.utf8.count + 1)] { message.little(word) }
      message.raw(Array(payload.utf8) + [0])
      var produced = try word(at: XenTests.store + 2052)
      // In parts, as a guest whose ring is full would.
      for byte in message.bytes {
        try memory.write(at: GuestAddress(XenTests.store + UInt64(produced % 1024)), from: [byte].span)
        produced += 1
        try memory.storeUInt32(produced, at: GuestAddress(XenTests.store + 2052))
        if produced % 7 == 0 { #expect(try call(29, 0) == 0) }
      }
      #expect(try call(32, 4, 2) == 0)
      #expect(try word(at: XenTests.store + 2048) == produced)
      let (consumed, end) = (try word(at: XenTests.store + 2056), try word(at: XenTests.store + 2060))
      var answer: [UInt8] = []
      for index in consumed..<end {
        answer += try memory.bytes(at: GuestAddress(XenTests.store + 1024 + UInt64(index % 1024)), count: 1)
      }
      try memory.storeUInt32(end, at: GuestAddress(XenTests.store + 2056))
      func field(_ index: Int) -> UInt32 {
        answer[(4 * index)..<(4 * index + 4)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
      }
      #expect(Int(field(3)) == answer.count - 16)
      return (field(0), [field(1), field(2)], Array(answer[16...]))
    }
  }

  @Test("A stub puts its number into EAX, enters by the port, and returns; each has 32 bytes")
  func stubs() {
    let page = XenHypercalls<TestMemory, TestSink>.stubs(port: 0xEC)
    #expect(page.count == 4096)
    #expect(Array(page[(34 * 32)..<(34 * 32 + 8)]) == [0xB8, 34, 0, 0, 0, 0xE7, 0xEC, 0xC3])
    #expect(page[4095] == 0xCC)
  }

  @Test("The memory map has 20 bytes a run; what the guest makes of it is what it reads later")
  func memoryMap() throws {
    let rig = Rig()
    #expect(try rig.call(12, 9, 1, 0x5000) == -22, "no room")
    #expect(try rig.call(12, 9, 128, 0x5000) == 0)
    #expect(try rig.word(0) == 2)
    #expect(try rig.word(at: 0x5008) == 0x9_A000 && rig.word(at: 0x5010) == 1)
    #expect(try rig.word(at: 0x5014) == 0 && rig.word(at: 0x5018) == 1 && rig.word(at: 0x5024) == 2)
    #expect(try rig.call(12, 13, Self.own, 1, 0x5014) == 0)
    #expect(try rig.call(12, 9, 128, 0x6000) == 0)
    #expect(try rig.word(0) == 1 && rig.word(at: 0x6004) == 1)
    #expect(try rig.call(12, 13, 3, 1, 0x5014) == -1, "another domain's")
    #expect(try rig.call(12, 13, Self.own, 129, 0x5014) == -22)
    #expect(try rig.call(12, 13, Self.own, 2, 0x7FF0) == -14, "not RAM")
    #expect(try rig.call(12, 9, 128, 0x8000) == -14)
    #expect(rig.xen.call(12, 9, 0x8000, 0) == -14 && rig.xen.call(12, 9, .max, 0) == -14)
    #expect(try rig.call(12, 99) == -38 && rig.call(99, 0) == -38)
  }

  @Test("Shared information has the first CPU's time, by which a counter of any speed becomes nanoseconds")
  func sharedInformation() throws {
    for (kHz, scale, shift) in [(2_500_000, 0x6666_6666, 0), (1_000_000, 0x8000_0000, 1), (1, 0xF424_0000, 20)]
      as [(UInt32, UInt32, UInt32)]
    {
      let rig = Rig(tscKHz: kHz)
      try rig.memory.storeUInt32(.max, at: GuestAddress(0x6000))
      #expect(try rig.call(12, 7, Self.own, 0, 0, 6) == 0)
      #expect(try rig.word(at: 0x6000) == 0 && rig.word(at: 0x6020) == 2)
      #expect(try rig.word(at: 0x6038) == scale && rig.word(at: 0x603C) == shift)
      #expect(try rig.word(at: 0x6900) == 2 && rig.word(at: 0x6904) == 77)
    }
    let unknown = Rig(tscKHz: 0)
    #expect(try unknown.call(12, 7, Self.own, 0, 0, 6) == 0 && unknown.word(at: 0x6038) == 0)
    #expect(try unknown.call(12, 7, Self.own, 0, 0, 8) == -14, "not RAM")
    #expect(try unknown.call(12, 7, Self.own, 2, 0, 6) == -22, "no such space")
    #expect(try unknown.call(12, 7, Self.own, 0, 1, 6) == -22, "no such index")
    #expect(try unknown.call(12, 7, 0, 0, 0, 6) == -1)
  }

  @Test("The grant table is where the guest has put it, and has one version")
  func grants() throws {
    let rig = Rig()
    #expect(try rig.call(20, 2, Self.own, 1, 0, 0x5000) == 0)
    #expect(try rig.word(2) & 0xFFFF == 0xFFFF, "it is nowhere yet")
    #expect(try rig.call(12, 7, Self.own, 1, 0, 7) == 0)
    #expect(try rig.call(20, 2, Self.own, 1, 9, 0x5000) == 0)
    #expect(try rig.word(2) & 0xFFFF == 0 && rig.word(at: 0x5000) == 7)
    #expect(try rig.call(20, 2, 1, 1, 0, 0x5000) == 0 && rig.word(2) & 0xFFFF == 0xFFFE)
    #expect(try rig.call(20, 8, 1) == 0 && rig.call(20, 8, 2) == -22)
    #expect(try rig.call(20, 2, Self.own, 1, 0, 0x5000, count: 2) == -22 && rig.call(20, 3) == -38)
  }

  @Test("What the guest prints is seen when it says so; what is typed waits for room")
  func consoleRings() throws {
    let rig = Rig()
    #expect(rig.xen.receive([1]) == nil, "the guest does not know its console yet")
    #expect(try rig.call(34, 1, Self.own, 17, 0, 0) == 0 && rig.word(2) == 2)
    #expect(try rig.call(34, 1, Self.own, 18, 0, 0) == 0)
    let port = try rig.word(2)
    // Across the ring's end.
    let (first, text) = (UInt32(2046), Array("hello".utf8))
    for (index, byte) in text.enumerated() {
      let place = UInt64((Int(first) + index) % 2048)
      try rig.memory.write(at: GuestAddress(Self.console + 1024 + place), from: [byte].span)
    }
    try rig.memory.storeUInt32(first, at: GuestAddress(Self.console + 3080))
    try rig.memory.storeUInt32(first + 5, at: GuestAddress(Self.console + 3084))
    #expect(try rig.call(32, 4, port) == 0)
    #expect(rig.sink.text == "hello")
    #expect(try rig.word(at: Self.console + 3080) == first + 5)
    #expect(try rig.call(32, 4, 9) == -22 && rig.call(32, 1) == -38)

    #expect(rig.xen.receive([UInt8](repeating: 0x61, count: 1020)) == 1020)
    #expect(rig.xen.receive(Array("bcdefg".utf8)) == 4)
    #expect(try rig.memory.bytes(at: GuestAddress(Self.console + 1018), count: 6) == Array("aabcde".utf8))
    try rig.memory.storeUInt32(1023, at: GuestAddress(Self.console + 3072))
    #expect(rig.xen.receive(Array("fg".utf8)) == 2)
    #expect(try rig.memory.bytes(at: GuestAddress(Self.console), count: 2) == Array("fg".utf8))

    // Counters that contradict each other are as if nothing were there.
    try rig.memory.storeUInt32(0, at: GuestAddress(Self.console + 3084))
    try rig.memory.storeUInt32(5000, at: GuestAddress(Self.console + 3072))
    #expect(try rig.call(29, 0) == 0 && rig.sink.text == "hello" && rig.xen.receive([1]) == 0)

    try rig.memory.write(at: GuestAddress(0x5000), from: text.span)
    #expect(rig.xen.call(18, 0, 5, 0x5000) == 5 && rig.sink.text == "hellohello")
    #expect(rig.xen.call(18, 0, .max, 0x7FFF) == -14 && rig.xen.call(18, 1, 0, 0) == -38)
  }

  @Test("The store has the domain's name and no devices, and takes nothing")
  func xenStore() throws {
    let rig = Rig()
    #expect(try rig.call(34, 1, Self.own, 1, 0, 0) == 0 && rig.word(2) == 3)
    #expect(try rig.call(34, 1, Self.own, 2, 0, 0) == 0 && rig.word(2) == 2)
    #expect(try rig.call(34, 1, Self.own, 3, 0, 0) == -22 && rig.call(34, 0) == -38)
    let name = try rig.ask(2, "name")
    #expect(name.kind == 2 && name.names == [5, 6] && name.content == Array("lab".utf8))
    #expect(try rig.ask(2, "/local/domain/1/domid").content == Array("1".utf8))
    #expect(try rig.ask(1, "/local/domain/1").content == Array("domid\0name\0".utf8))
    #expect(try rig.ask(1, "/").content == Array("local\0".utf8))
    for (kind, path, error) in [
      (2, "nothing", "ENOENT"), (1, "device/vbd", "ENOENT"), (11, "name", "EACCES"), (4, "name", "ENOSYS"),
    ] as [(UInt32, String, String)] {
      let answer = try rig.ask(kind, path)
      #expect(answer.kind == 16 && answer.content == Array("\(error)\0".utf8))
    }
    // More than one ring of answers.
    for _ in 0..<200 { #expect(try rig.ask(2, "name").content == Array("lab".utf8)) }
    // A message that is longer than any: nothing more is answered.
    for (index, word) in [2, 0, 0, 4097].enumerated() {
      let place = (try rig.word(at: Self.store + 2052) + UInt32(4 * index)) % 1024
      try rig.memory.storeUInt32(UInt32(word), at: GuestAddress(Self.store + UInt64(place)))
    }
    let produced = try rig.word(at: Self.store + 2052)
    try rig.memory.storeUInt32(produced + 16, at: GuestAddress(Self.store + 2052))
    let answered = try rig.word(at: Self.store + 2060)
    #expect(try rig.call(29, 0) == 0 && rig.call(29, 0) == 0)
    #expect(try rig.word(at: Self.store + 2060) == answered)
  }

  @Test("A guest ends as it says")
  func shutdown() throws {
    let rig = Rig()
    #expect(try rig.call(29, 2, 0) == 0 && rig.call(29, 2, 1) == 0 && rig.call(29, 2, 3) == 0)
    #expect(rig.ends.reasons.withLock { $0 } == [.powerOff, .reboot, .crash])
    #expect(try rig.call(29, 2, 2) == -22 && rig.call(29, 2, 9) == -22 && rig.call(29, 7) == -38)
    #expect(try rig.call(17, 0) == 4 << 16 | 17 && rig.call(17, 6) == -38)
  }
}
