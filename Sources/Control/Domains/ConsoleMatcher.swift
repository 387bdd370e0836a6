/// Finds a text in a byte stream that comes in pieces, remembering nothing but how much of the text matches so far
/// (Knuth, Morris and Pratt).
struct ConsoleMatcher: Sendable {
  private let pattern: [UInt8]
  /// `fallback[i]`: length of the longest proper prefix of the pattern that ends at `i`.
  private let fallback: [Int]
  private var matched = 0

  init(_ text: String) {
    let pattern = Array(text.utf8)
    var fallback = [Int](repeating: 0, count: pattern.count)
    var length = 0
    for index in pattern.indices.dropFirst() {
      while length > 0 && pattern[index] != pattern[length] { length = fallback[length - 1] }
      if pattern[index] == pattern[length] { length += 1 }
      fallback[index] = length
    }
    self.pattern = pattern
    self.fallback = fallback
  }

  /// True when the text ends within `bytes`. An empty text is found in the first byte.
  mutating func find(in bytes: some Sequence<UInt8>) -> Bool {
    for byte in bytes {
      if pattern.isEmpty { return true }
      while matched > 0 && byte != pattern[matched] { matched = fallback[matched - 1] }
      if byte == pattern[matched] { matched += 1 }
      if matched == pattern.count {
        matched = 0
        return true
      }
    }
    return false
  }
}
