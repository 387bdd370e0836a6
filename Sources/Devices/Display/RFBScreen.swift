internal import Binary

/// What a client of RFB has seen, what it asked for, and how it wants it (RFC 6143, 7.5 to 7.8).
struct RFBScreen: Sendable {
  private enum Encoding {
    static let raw: Int32 = 0
    static let riseAndRun: Int32 = 2
    static let desktopSize: Int32 = -223
  }

  /// No pixel of a picture has this value: what the client shows there is not known.
  private static let unknown: UInt32 = 0xFF00_0000

  private var picture: Picture
  /// What the client shows, in the size that it was told.
  private var shown: Picture
  private var format = RFBPixelFormat()
  private var sendsColourMap = false
  private var canResize = false
  private var knowsRiseAndRun = false
  /// Union of what was asked for and not yet answered.
  private var requested: PictureRectangle?
  /// Union of what is to be sent whether it changed or not.
  private var forced: PictureRectangle?
  /// The picture, the request or the format changed since they were last compared.
  private var isFresh = true

  init(_ picture: Picture) {
    self.picture = picture
    shown = Picture(width: picture.width, height: picture.height, colour: Self.unknown)
  }

  // MARK: What the client says

  /// The session starts; gives the size that the client is told.
  mutating func begin() -> (width: Int, height: Int) {
    shown = Picture(width: picture.width, height: picture.height, colour: Self.unknown)
    return (picture.width, picture.height)
  }

  mutating func update(_ picture: Picture) {
    self.picture = picture
    isFresh = true
  }

  mutating func use(_ format: RFBPixelFormat) {
    self.format = format
    sendsColourMap = format.hasColourMap
  }

  mutating func forgetEncodings() {
    (canResize, knowsRiseAndRun) = (false, false)
  }

  mutating func supports(encoding: Int32) {
    switch encoding {
    case Encoding.riseAndRun: knowsRiseAndRun = true
    case Encoding.desktopSize: canResize = true
    default: break
    }
  }

  mutating func request(_ rectangle: PictureRectangle, isIncremental: Bool) {
    requested = requested?.union(rectangle) ?? rectangle
    if !isIncremental { forced = forced?.union(rectangle) ?? rectangle }
    isFresh = true
  }

  // MARK: What it gets

  /// Appends a FramebufferUpdate when one was asked for and there is something to show.
  mutating func appendUpdate(to bytes: inout [UInt8]) {
    guard isFresh, let requested else { return }
    isFresh = false
    if sendsColourMap {
      bytes += RFBPixelFormat.colourMap
      sendsColourMap = false
    }
    if canResize, (picture.width, picture.height) != (shown.width, shown.height) {
      shown = Picture(width: picture.width, height: picture.height, colour: Self.unknown)
      self.requested = nil
      forced = nil
      var writer = ByteWriter()
      writer.raw([0, 0, 0, 1])
      Self.appendHeader(
        PictureRectangle(x: 0, y: 0, width: picture.width, height: picture.height), Encoding.desktopSize, to: &writer)
      bytes += writer.bytes
      return
    }
    let view = picture.fitted(width: shown.width, height: shown.height)
    if let part = forced?.clipped(to: view.bounds) { shown.fill(part, with: Self.unknown) }
    forced = nil
    guard let region = requested.clipped(to: view.bounds) else {
      self.requested = nil  // nothing of it is on the screen
      return
    }
    let parts = view.changes(since: shown).compactMap { $0.clipped(to: region) }
    guard !parts.isEmpty else { return }
    self.requested = nil
    var header = ByteWriter()
    header.raw([0, 0])
    header.big(UInt16(truncatingIfNeeded: parts.count))
    bytes += header.bytes
    for part in parts {
      append(part, of: view, to: &bytes)
      shown.copy(part, from: view)
    }
  }

  private static func appendHeader(_ rectangle: PictureRectangle, _ encoding: Int32, to writer: inout ByteWriter) {
    for value in [rectangle.x, rectangle.y, rectangle.width, rectangle.height] {
      writer.big(UInt16(truncatingIfNeeded: value))
    }
    writer.big(encoding)
  }

  /// One rectangle: of one colour as rise-and-run-length encoding without subrectangles, else raw.
  private func append(_ part: PictureRectangle, of view: Picture, to bytes: inout [UInt8]) {
    let first = view.pixels[part.y * view.width + part.x]
    let isSolid = knowsRiseAndRun && view.isSolid(part)
    var header = ByteWriter()
    Self.appendHeader(part, isSolid ? Encoding.riseAndRun : Encoding.raw, to: &header)
    if isSolid { header.zeros(4) }
    bytes += header.bytes
    guard !isSolid else { return format.append([first], to: &bytes) }
    for y in part.y..<(part.y + part.height) {
      let start = y * view.width + part.x
      format.append(view.pixels[start..<(start + part.width)], to: &bytes)
    }
  }
}

extension PictureRectangle {
  /// The smallest rectangle around both.
  func union(_ other: PictureRectangle) -> PictureRectangle {
    let (left, top) = (min(x, other.x), min(y, other.y))
    return PictureRectangle(
      x: left, y: top, width: max(x + width, other.x + other.width) - left,
      height: max(y + height, other.y + other.height) - top)
  }

  /// What both have; nil when that is nothing.
  func clipped(to other: PictureRectangle) -> PictureRectangle? {
    let (left, top) = (max(x, other.x), max(y, other.y))
    let (right, bottom) = (min(x + width, other.x + other.width), min(y + height, other.y + other.height))
    guard left < right, top < bottom else { return nil }
    return PictureRectangle(x: left, y: top, width: right - left, height: bottom - top)
  }
}

extension Picture {
  /// All of it.
  var bounds: PictureRectangle { PictureRectangle(x: 0, y: 0, width: width, height: height) }

  /// The same picture in another size: cut, or black where it ends.
  func fitted(width: Int, height: Int) -> Picture {
    guard (width, height) != (self.width, self.height) else { return self }
    var result = Picture(width: width, height: height)
    for y in 0..<min(result.height, self.height) {
      for x in 0..<min(result.width, self.width) {
        result.pixels[y * result.width + x] = pixels[y * self.width + x]
      }
    }
    return result
  }

  /// Whether `part`, which is within, has one colour.
  func isSolid(_ part: PictureRectangle) -> Bool {
    let first = pixels[part.y * width + part.x]
    for y in part.y..<(part.y + part.height) {
      let start = y * width + part.x
      guard pixels[start..<(start + part.width)].allSatisfy({ $0 == first }) else { return false }
    }
    return true
  }

  /// Sets every pixel of `part`, which is within.
  mutating func fill(_ part: PictureRectangle, with colour: UInt32) {
    for y in part.y..<(part.y + part.height) {
      for x in part.x..<(part.x + part.width) { pixels[y * width + x] = colour }
    }
  }

  /// Takes `part`, which is within both, from a picture of the same size.
  mutating func copy(_ part: PictureRectangle, from other: Picture) {
    for y in part.y..<(part.y + part.height) {
      for x in part.x..<(part.x + part.width) { pixels[y * width + x] = other.pixels[y * width + x] }
    }
  }
}
