/// What a mouse reports.
public struct PointerMovement: Hashable, Sendable {
  /// Counts to the right.
  public var x: Int
  /// Counts down.
  public var y: Int
  /// Notches of the wheel towards the user.
  public var wheel: Int
  /// Buttons that are down.
  public var buttons: PointerButtons

  /// A movement.
  public init(x: Int = 0, y: Int = 0, wheel: Int = 0, buttons: PointerButtons = []) {
    self.x = x
    self.y = y
    self.wheel = wheel
    self.buttons = buttons
  }
}

/// Makes movements of the positions that RFB clients send (RFC 6143, 7.5.5), for a mouse knows no positions.
public struct PointerTracker: Sendable {
  private var last: (x: Int, y: Int)?
  private var mask: UInt8 = 0

  /// A tracker that knows of no position yet.
  public init() {}

  /// The movement to a position with RFB's button mask: left, middle, right, wheel up, wheel down from bit 0. The
  /// first position moves nothing.
  public mutating func move(x: Int, y: Int, mask: UInt8) -> PointerMovement {
    let pressed = mask & ~self.mask
    let (old, wheel) = (last ?? (x, y), (pressed & 0x10 != 0 ? 1 : 0) - (pressed & 0x08 != 0 ? 1 : 0))
    (last, self.mask) = ((x, y), mask)
    var buttons: PointerButtons = []
    if mask & 1 != 0 { buttons.insert(.left) }
    if mask & 2 != 0 { buttons.insert(.middle) }
    if mask & 4 != 0 { buttons.insert(.right) }
    return PointerMovement(x: x &- old.x, y: y &- old.y, wheel: wheel, buttons: buttons)
  }
}
