/// A PS/2 keyboard, as it is at the other end of the controller's wire (IBM PS/2 Hardware Interface Technical
/// Reference, "Keyboards (101- and 102-Key)"). A value type; the controller guards it.
///
/// A key that is held does not repeat by itself: who sits at the screen sends its presses again.
struct PS2Keyboard: Sendable {
  /// Bytes that wait for the controller. Presses may fill most of it, releases a little more, so that no key stays
  /// down for want of room, and answers the rest.
  private var queue: [UInt8] = []
  private static let roomForPresses = 192
  private static let roomForReleases = 224
  private static let room = 256

  /// The command that waits for its byte.
  private var command: UInt8?
  private var isScanning = true
  /// Scan code set in use, 1 to 3.
  private var set: UInt8 = 2
  private var lastSent: UInt8 = 0
  /// Lamps: scroll lock, num lock, caps lock from bit 0.
  private(set) var lamps: UInt8 = 0

  /// Takes the next byte for the controller.
  mutating func next() -> UInt8? {
    guard !queue.isEmpty else { return nil }
    lastSent = queue.removeFirst()
    return lastSent
  }

  /// Presses or releases a key. False when nobody will learn of it: scanning is off, or the guest does not read.
  mutating func press(_ key: Keycode, isDown: Bool) -> Bool {
    guard isScanning else { return false }
    let codes = key.scanCodes(set: set, isDown: isDown)
    guard queue.count + codes.count <= (isDown ? Self.roomForPresses : Self.roomForReleases) else { return false }
    queue += codes
    return true
  }

  /// Takes a byte from the controller.
  mutating func receive(_ byte: UInt8) {
    let command = command
    self.command = nil
    switch (command, byte) {
    case (0xED, 0x00...0x07):
      lamps = byte
      send([0xFA])
    case (0xF0, 0): send([0xFA, set])
    case (0xF0, 1...3):
      set = byte
      send([0xFA])
    // Repeat rate, and the kinds of set 3's single keys: taken, and without effect.
    case (0xF3, 0x00...0x7F), (0xFB, 0x00...0xEC), (0xFC, 0x00...0xEC), (0xFD, 0x00...0xEC): send([0xFA])
    default: execute(byte)
    }
  }

  private mutating func execute(_ byte: UInt8) {
    switch byte {
    case 0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD:
      command = byte
      send([0xFA])
    case 0xEE: send([0xEE])  // echo
    case 0xF2: send([0xFA, 0xAB, 0x83])
    case 0xF4:
      queue.removeAll(keepingCapacity: true)
      isScanning = true
      send([0xFA])
    case 0xF5, 0xF6:
      setDefaults()
      isScanning = byte == 0xF6
      send([0xFA])
    case 0xF7...0xFA: send([0xFA])
    case 0xFE: send([lastSent])
    case 0xFF:
      setDefaults()
      isScanning = true
      send([0xFA, 0xAA])
    default: send([0xFE])
    }
  }

  private mutating func setDefaults() {
    queue.removeAll(keepingCapacity: true)
    set = 2
    lamps = 0
  }

  private mutating func send(_ bytes: [UInt8]) {
    if queue.count + bytes.count <= Self.room { queue += bytes }
  }
}
