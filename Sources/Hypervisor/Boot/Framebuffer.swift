/// The mode that a kernel asks its loader to set before it runs.
public struct FramebufferRequest: Hashable, Sendable {
  /// Text of cells instead of pixels.
  public var isText: Bool
  /// Columns of pixels or of characters; 0 when the kernel does not care.
  public var width: Int
  /// Rows of pixels or of characters; 0 when the kernel does not care.
  public var height: Int
  /// Bits per pixel; 0 when the kernel does not care, and for text.
  public var depth: Int
  /// Whether the kernel refuses to run without.
  public var isRequired: Bool

  /// A request.
  public init(isText: Bool = false, width: Int = 0, height: Int = 0, depth: Int = 0, isRequired: Bool = false) {
    self.isText = isText
    self.width = width
    self.height = height
    self.depth = depth
    self.isRequired = isRequired
  }
}

/// The mode that the machine's display adapter is in when the kernel starts.
public struct Framebuffer: Hashable, Sendable {
  /// Guest-physical address of the first byte.
  public var address: UInt64
  /// Bytes from one row to the next.
  public var pitch: Int
  /// Columns of pixels or of characters.
  public var width: Int
  /// Rows of pixels or of characters.
  public var height: Int
  /// Bits per pixel: 16 (5-6-5), 24 or 32 (8-8-8, blue lowest); 16 for text.
  public var depth: Int
  /// Text of cells (character, attribute) instead of pixels.
  public var isText: Bool

  /// A mode.
  public init(address: UInt64, pitch: Int, width: Int, height: Int, depth: Int, isText: Bool = false) {
    self.address = address
    self.pitch = pitch
    self.width = width
    self.height = height
    self.depth = depth
    self.isText = isText
  }

  /// Lowest bit and number of bits of red, green and blue.
  var colors: [(position: UInt8, bits: UInt8)] {
    depth == 16 ? [(11, 5), (5, 6), (0, 5)] : [(16, 8), (8, 8), (0, 8)]
  }
}
