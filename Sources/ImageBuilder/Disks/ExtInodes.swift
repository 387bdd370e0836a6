/// Which inodes of an ext file system are in use, from what dumpe2fs prints.
enum ExtInodes {
  /// The root's and all from the first that is not reserved (11) which no `Free inodes:` line lists.
  static func used(_ listing: String) -> [Int] {
    var count = 0
    var free: [ClosedRange<Int>] = []
    for line in listing.split(separator: "\n") {
      if line.hasPrefix("Inode count:") {
        count = line.split(separator: " ").last.flatMap { Int($0) } ?? 0
      } else if line.hasPrefix("  Free inodes:") {
        for range in line.dropFirst(14).split(whereSeparator: { $0 == " " || $0 == "," }) {
          let ends = range.split(separator: "-").compactMap { Int($0) }
          if let low = ends.first, let high = ends.last, low <= high { free.append(low...high) }
        }
      }
    }
    guard count >= 11 else { return [] }
    free.sort { $0.lowerBound < $1.lowerBound }
    var used = [2]
    var next = 11
    for range in free {
      if next < range.lowerBound { used += next..<range.lowerBound }
      next = max(next, range.upperBound + 1)
    }
    if next <= count { used += next...count }
    return used
  }
}
