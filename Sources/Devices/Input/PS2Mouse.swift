/// Buttons of a mouse, as PS/2 numbers them.
public struct PointerButtons: OptionSet, Hashable, Sendable {
  /// A bit a button.
  public let rawValue: UInt8

  /// Buttons by their bits.
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// The left button.
  public static let left = PointerButtons(rawValue: 1)
  /// The right button.
  public static let right = PointerButtons(rawValue: 2)
  /// The middle button or wheel.
  public static let middle = PointerButtons(rawValue: 4)
  /// The fourth button, "back".
  public static let back = PointerButtons(rawValue: 8)
  /// The fifth button, "forward".
  public static let forward = PointerButtons(rawValue: 16)
}

/// A PS/2 mouse with a wheel and five buttons, of which a driver learns when it knocks (IBM PS/2 Hardware Interface
/// Technical Reference, "Mouse"; Microsoft, "Intellimouse" protocol). A value type; the controller guards it.
///
/// Scaling is reported as it was set and changes nothing: a pointer that is remote-controlled wants no acceleration.
struct PS2Mouse: Sendable {
  /// Bytes that wait for the controller.
  private var queue: [UInt8] = []
  private static let roomForPackets = 64
  private static let room = 96

  private var command: UInt8?
  private var isReporting = false
  private var isRemote = false
  private var isWrapping = false
  private var isScaled = false
  private var sampleRate: UInt8 = 100
  private var resolution: UInt8 = 2
  /// 0: three bytes. 3: a fourth for the wheel. 4: and two more buttons in it.
  private var identifier: UInt8 = 0
  /// The last three sample rates: 200, 100, 80 and 200, 200, 80 are the knocks.
  private var knock: [UInt8] = []
  private var lastSent: UInt8 = 0

  /// Not yet reported, in counts: right, up, towards the user.
  private var moved = (x: 0, y: 0, wheel: 0)
  private var buttons: PointerButtons = []
  private var reported: PointerButtons = []

  /// Takes the next byte for the controller.
  mutating func next() -> UInt8? {
    if queue.isEmpty, isReporting, !isRemote, hasNews { report() }
    guard !queue.isEmpty else { return nil }
    lastSent = queue.removeFirst()
    return lastSent
  }

  private var hasNews: Bool { moved != (0, 0, 0) || buttons != reported }

  /// Moves by `x` counts to the right, `y` down and `wheel` notches towards the user. Movements wait together for a
  /// reader; a change of buttons is reported apart, as long as there is room, so that no click is lost.
  mutating func move(x: Int, y: Int, wheel: Int, buttons: PointerButtons) {
    func sum(_ old: Int, _ more: Int) -> Int { min(max(old + min(max(more, -4096), 4096), -4096), 4096) }
    if isReporting || isRemote {
      moved = (sum(moved.x, x), sum(moved.y, 0 - min(max(y, -4096), 4096)), sum(moved.wheel, wheel))
    }
    let isClick = buttons != self.buttons
    self.buttons = buttons
    if isClick, isReporting, !isRemote, queue.count + 4 <= Self.roomForPackets { report() }
  }

  /// Takes a byte from the controller.
  mutating func receive(_ byte: UInt8) {
    let command = command
    self.command = nil
    if isWrapping, byte != 0xEC, byte != 0xFF { return send([byte]) }
    switch command {
    case 0xF3:
      setSampleRate(byte)
      send([0xFA])
    case 0xE8:
      resolution = byte & 3
      send([0xFA])
    default: execute(byte)
    }
  }

  private mutating func execute(_ byte: UInt8) {
    switch byte {
    case 0xE6, 0xE7: isScaled = byte == 0xE7
    case 0xE8, 0xF3: command = byte
    case 0xE9: return send([0xFA, status, resolution, sampleRate])
    case 0xEA: isRemote = false
    case 0xEB:
      send([0xFA])
      return report()
    case 0xEC: isWrapping = false
    case 0xEE: isWrapping = true
    case 0xF0: isRemote = true
    case 0xF2: return send([0xFA, identifier])
    case 0xF4: isReporting = true
    case 0xF5: isReporting = false
    case 0xF6: setDefaults()
    case 0xFE: return send([lastSent])
    case 0xFF:
      queue.removeAll(keepingCapacity: true)
      setDefaults()
      (isWrapping, identifier) = (false, 0)
      return send([0xFA, 0xAA, 0x00])
    default: return send([0xFE])
    }
    send([0xFA])
  }

  /// Remote mode, reporting, scaling, and the buttons: left, middle, right from bit 2.
  private var status: UInt8 {
    (isRemote ? 0x40 : 0) | (isReporting ? 0x20 : 0) | (isScaled ? 0x10 : 0)
      | (buttons.contains(.left) ? 4 : 0) | (buttons.contains(.middle) ? 2 : 0) | (buttons.contains(.right) ? 1 : 0)
  }

  private mutating func setDefaults() {
    (sampleRate, resolution) = (100, 2)
    (isReporting, isRemote, isScaled) = (false, false, false)
    (moved, knock) = ((0, 0, 0), [])
  }

  private mutating func setSampleRate(_ rate: UInt8) {
    sampleRate = rate
    knock = knock.suffix(2) + [rate]
    if knock == [200, 100, 80] { identifier = max(identifier, 3) }
    if knock == [200, 200, 80], identifier >= 3 { identifier = 4 }
  }

  /// Queues one packet of what is not yet reported; the rest stays for the next.
  private mutating func report() {
    func part(_ value: inout Int, _ range: ClosedRange<Int>) -> Int {
      let part = min(max(value, range.lowerBound), range.upperBound)
      value -= part
      return part
    }
    let (x, y) = (part(&moved.x, -255...255), part(&moved.y, -255...255))
    var packet: [UInt8] = [
      0x08 | buttons.rawValue & 7 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0), UInt8(truncatingIfNeeded: x),
      UInt8(truncatingIfNeeded: y),
    ]
    let wheel = UInt8(truncatingIfNeeded: part(&moved.wheel, -8...7))
    switch identifier {
    case 3: packet.append(wheel)
    case 4: packet.append(wheel & 0x0F | (buttons.rawValue & 0x18) << 1)
    default: moved.wheel = 0
    }
    reported = buttons
    send(packet)
  }

  private mutating func send(_ bytes: [UInt8]) {
    if queue.count + bytes.count <= Self.room { queue += bytes }
  }
}
