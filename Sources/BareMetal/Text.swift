/// Texts of the program itself, byte by byte: `String` would bring a heap and Unicode's tables.
extension StaticString {
  /// The byte at `index`; zero behind the end.
  subscript(index: Int) -> UInt8 {
    guard index >= 0, index < utf8CodeUnitCount else { return 0 }
    // SAFETY: the index is below the count, and a static string lives as long as the program.
    return unsafe utf8Start[index]
  }
}
