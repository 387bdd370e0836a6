import Platform
import Testing

@testable import Init

@Suite struct VerifiedFileTests {
  /// Reads of a device on which these blocks fail, and what is found.
  private func place(_ bytes: Int, bad: Set<Int> = [], once: Int? = nil) -> (Int?, reads: Int) {
    var reads = 0
    var left = once
    let found = VerifiedFile.scan(bytes) { _, _ in
    } read: { offset, count in
      reads += 1
      let range = offset..<offset + count
      if let first = left, range.contains(first) {
        left = nil
        return SystemError("read", errno: .inputOutput)
      }
      return bad.contains(where: range.contains) ? SystemError("read", errno: .inputOutput) : nil
    }
    return (found?.place, reads)
  }

  @Test("The first block that is bad is found, wherever it is")
  func bad() {
    let size = (3 << 20) + 8192
    #expect(place(size) == (nil, 4))
    #expect(place(size, bad: [0]).0 == 0)
    #expect(place(size, bad: [(1 << 20) + 5000, 2 << 20]).0 == (1 << 20) + 4096)
    #expect(place(size, bad: [size - 1]).0 == size - 4096)
  }

  @Test("What fails once and not again is no damage, in the last piece as well")
  func once() {
    #expect(place(2 << 20, once: 100).0 == nil)
    #expect(place((2 << 20) + 4096, once: 2 << 20).0 == nil)
  }
}
