/// The VBE extensions of Bochs (DISPI, "Bochs VBE Display Interface", versions 0xB0C0 to 0xB0C5): a mode is a width, a
/// height and a depth.
struct DispiRegisters: Sendable {
  /// Registers by index.
  enum Index {
    static let identifier: UInt16 = 0
    static let width: UInt16 = 1
    static let height: UInt16 = 2
    static let depth: UInt16 = 3
    static let enable: UInt16 = 4
    static let bank: UInt16 = 5
    static let virtualWidth: UInt16 = 6
    static let virtualHeight: UInt16 = 7
    static let horizontalOffset: UInt16 = 8
    static let verticalOffset: UInt16 = 9
    static let memory: UInt16 = 10
  }

  /// Bits of the enable register.
  enum Enable {
    static let enabled: UInt16 = 0x01
    /// Width, height and depth read as the largest there are.
    static let capabilities: UInt16 = 0x02
    static let widePalette: UInt16 = 0x20
    static let linear: UInt16 = 0x40
    /// The mode begins with what display memory holds, instead of with zeros.
    static let keepMemory: UInt16 = 0x80
  }

  static let identifiers: ClosedRange<UInt16> = 0xB0C0...0xB0C5

  /// The register that the data port means.
  var index: UInt16 = 0
  private var identifier: UInt16 = 0xB0C5
  private(set) var width: UInt16 = 0
  private(set) var height: UInt16 = 0
  /// Bits a pixel: 4, 8, 15, 16, 24 or 32 while enabled.
  private(set) var depth: UInt16 = 8
  private(set) var enable: UInt16 = 0
  private(set) var bank: UInt16 = 0
  private(set) var virtualWidth: UInt16 = 0
  private(set) var virtualHeight: UInt16 = 0
  private(set) var horizontalOffset: UInt16 = 0
  private(set) var verticalOffset: UInt16 = 0
  /// Bytes of display memory.
  private let memoryCount: Int

  /// The registers after reset.
  init(memoryCount: Int) {
    self.memoryCount = memoryCount
  }

  /// A mode of these registers is on, not one of the VGA's.
  var isEnabled: Bool { enable & Enable.enabled != 0 }
  /// Palette components have eight bits.
  var hasWidePalette: Bool { enable & Enable.widePalette != 0 }
  /// Bytes from one line to the next.
  var stride: Int { Int(virtualWidth) * storedDepth / 8 }
  /// Byte of the first pixel shown. Four-bit pixels lie two in a byte of all planes together.
  var start: Int { Int(verticalOffset) * stride + Int(horizontalOffset) * storedDepth / 8 }
  /// First byte of the bank in the window at 0xA0000.
  var bankOffset: Int { isEnabled ? Int(bank) << 16 : 0 }

  private var storedDepth: Int { depth == 15 ? 16 : Int(depth) }

  /// Reads a register.
  func read(_ register: UInt16) -> UInt16 {
    let capabilities = enable & Enable.capabilities != 0
    return switch register {
    case Index.identifier: identifier
    case Index.width: capabilities ? UInt16(Picture.maximumWidth) : width
    case Index.height: capabilities ? UInt16(Picture.maximumHeight) : height
    case Index.depth: capabilities ? 32 : depth
    case Index.enable: enable
    case Index.bank: bank
    case Index.virtualWidth: virtualWidth
    case Index.virtualHeight: virtualHeight
    case Index.horizontalOffset: horizontalOffset
    case Index.verticalOffset: verticalOffset
    case Index.memory: UInt16(truncatingIfNeeded: memoryCount >> 16)
    default: 0
    }
  }

  /// Writes a register. True when a mode was switched on.
  mutating func write(_ value: UInt16, to register: UInt16) -> Bool {
    switch register {
    case Index.identifier: if Self.identifiers.contains(value) { identifier = value }
    case Index.width: width = value
    case Index.height: height = value
    case Index.depth: depth = value
    case Index.bank: bank = value & UInt16(truncatingIfNeeded: memoryCount >> 16 - 1)
    case Index.virtualWidth: virtualWidth = value
    case Index.horizontalOffset: horizontalOffset = value
    case Index.verticalOffset: verticalOffset = value
    case Index.enable:
      let starts = !isEnabled && value & Enable.enabled != 0
      enable = value
      bank = 0
      if starts {
        (virtualWidth, horizontalOffset, verticalOffset) = (0, 0, 0)
      }
      settle()
      return starts
    default: break
    }
    settle()
    return false
  }

  /// Bends what was written to what display memory can show. Guests write the registers one by one, so that what
  /// stands in them in between is nothing.
  private mutating func settle() {
    guard isEnabled else { return }
    if ![4, 8, 15, 16, 24, 32].contains(depth) { depth = 8 }
    width = min(max(width & ~7, 8), UInt16(Picture.maximumWidth))
    virtualWidth = min(max(virtualWidth & ~7, width), 0x4000)
    let lines = max(memoryCount / stride, 1)
    height = UInt16(min(max(Int(height), 1), Picture.maximumHeight, lines))
    virtualHeight = UInt16(min(lines, 0xFFFF))
    // The last line shown must end within memory.
    func fits() -> Bool { start + Int(height) * stride <= memoryCount }
    if !fits() { verticalOffset = 0 }
    if !fits() { horizontalOffset = 0 }
  }
}
