/// What a screen shows at one moment.
public struct Picture: Equatable, Sendable {
  /// No picture is wider, in pixels.
  public static let maximumWidth = 2560
  /// No picture is higher, in pixels.
  public static let maximumHeight = 1600

  /// Width in pixels, 1 to `maximumWidth`.
  public let width: Int
  /// Height in pixels, 1 to `maximumHeight`.
  public let height: Int
  /// 0x00RRGGBB, line by line from the upper left; `width` times `height` of them.
  public internal(set) var pixels: [UInt32]

  /// A picture of one colour; sizes out of range become the nearest that is in it.
  public init(width: Int, height: Int, colour: UInt32 = 0) {
    self.width = min(max(width, 1), Self.maximumWidth)
    self.height = min(max(height, 1), Self.maximumHeight)
    pixels = [UInt32](repeating: colour, count: self.width * self.height)
  }
}

/// A part of a picture, in pixels from its upper left.
public struct PictureRectangle: Hashable, Sendable {
  /// Left edge.
  public var x: Int
  /// Upper edge.
  public var y: Int
  /// Width, more than 0.
  public var width: Int
  /// Height, more than 0.
  public var height: Int

  /// A rectangle.
  public init(x: Int, y: Int, width: Int, height: Int) {
    self.x = x
    self.y = y
    self.width = width
    self.height = height
  }
}

extension Picture {
  /// Side of the squares in which pictures are compared, in pixels.
  static let tile = 32

  /// Rectangles that hold every pixel in which this picture differs from `old`, none of which overlap: all of it when
  /// the sizes differ. Found in tiles; runs of changed tiles are one rectangle, and equal runs of neighbouring bands
  /// are too.
  public func changes(since old: Picture) -> [PictureRectangle] {
    guard width == old.width, height == old.height else {
      return [PictureRectangle(x: 0, y: 0, width: width, height: height)]
    }
    var result: [PictureRectangle] = []
    /// Indices in `result` of the rectangles that end where the present band begins.
    var above: [Int] = []
    for top in stride(from: 0, to: height, by: Self.tile) {
      let rows = top..<min(top + Self.tile, height)
      var present: [Int] = []
      for run in changedRuns(rows, since: old) {
        let rectangle = PictureRectangle(x: run.lowerBound, y: top, width: run.count, height: rows.count)
        if let index = above.first(where: { result[$0].x == rectangle.x && result[$0].width == rectangle.width }) {
          result[index].height += rectangle.height
          present.append(index)
        } else {
          result.append(rectangle)
          present.append(result.count - 1)
        }
      }
      above = present
    }
    return result
  }

  /// Columns of the changed tiles in a band of rows, neighbours joined.
  private func changedRuns(_ rows: Range<Int>, since old: Picture) -> [Range<Int>] {
    let (new, old) = (pixels.span, old.pixels.span)
    var runs: [Range<Int>] = []
    for left in stride(from: 0, to: width, by: Self.tile) {
      let right = min(left + Self.tile, width)
      var differs = false
      search: for row in rows {
        for index in (row * width + left)..<(row * width + right) where new[index] != old[index] {
          differs = true
          break search
        }
      }
      guard differs else { continue }
      if let last = runs.last, last.upperBound == left {
        runs[runs.count - 1] = last.lowerBound..<right
      } else {
        runs.append(left..<right)
      }
    }
    return runs
  }
}
