/// Paths in trees as the kernel takes them apart: at each byte that is a slash, whatever mark follows it. To Swift a slash
/// with a mark is a character of its own.
enum TreePath {
  /// The names in a path, from its beginning.
  static func parts(_ path: String) -> [String] {
    path.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
  }

  /// The path without what means nothing in it.
  static func normalised(_ path: String) -> String {
    parts(path).filter { $0 != "." }.joined(separator: "/")
  }
}

/// The names along a path, as the kernel goes through them: what a link leads to comes in its place.
struct PathWalk {
  /// What comes next.
  enum Step {
    case up
    case name(String)
  }

  /// More links than Linux follows (path_resolution(7)), or targets without an end.
  struct Circle: Error {}

  private static let mostLinks = 40
  private static let mostNames = 1024
  /// The next one is the last.
  private var rest: [String]
  private var links = 0

  init(_ parts: some BidirectionalCollection<String>) {
    rest = parts.reversed()
  }

  /// Whether what was returned last is the path's end.
  var isAtEnd: Bool { rest.isEmpty }

  mutating func next() -> Step? {
    while let part = rest.popLast() {
      if part != "." { return part == ".." ? .up : .name(part) }
    }
    return nil
  }

  /// Goes on with a link's target; returns whether that begins at the root.
  mutating func follow(_ target: String) throws(Circle) -> Bool {
    links += 1
    guard links <= Self.mostLinks, rest.count <= Self.mostNames else { throw Circle() }
    rest += TreePath.parts(target).reversed()
    return target.utf8.first == UInt8(ascii: "/")
  }
}
