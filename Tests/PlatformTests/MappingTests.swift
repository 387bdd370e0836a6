import Platform
import Testing

@Suite("Mappings") struct MappingTests {
  @Test(arguments: [1 << 20, 2 << 20, 5 << 20])
  func guestMemoryLiesWhereHugePagesFit(count: Int) throws {
    do {
      let file = try FileDescriptor.inMemory("huge", count: count)
      let mapping = try Mapping(sharingHuge: file, count: count)
      #expect(unsafe Int(bitPattern: mapping.base) % (2 << 20) == 0)
      #expect(mapping.count == count)
      // Its last byte is the file's.
      try file.writeAll([7], at: count - 1)
      #expect(unsafe mapping.base.load(fromByteOffset: count - 1, as: UInt8.self) == 7)
    }
    // The slack of the reservation is given back at once, and all of it at the end. Other tests that run meanwhile take
    // and give back address space of their own, but not in each of many rounds.
    var growth: [(while: Int, after: Int)] = []
    for _ in 0..<100 {
      let before = try Self.addressSpace()
      var during = 0
      do {
        let mapping = try Mapping(sharingHuge: FileDescriptor.inMemory("huge", count: count), count: count)
        during = try Self.addressSpace() - before + mapping.count - count
      }
      growth.append((during, try Self.addressSpace() - before))
      if during < count + 1 << 20, growth.last?.after ?? 0 < 1 << 20 { return }
    }
    Issue.record("the address space grows by (while it is there, afterwards): \(growth.prefix(10))")
  }

  @Test func aFileThatIsNoneIsAnError() throws {
    let directory = try FileDescriptor(opening: "/", .readOnly)
    #expect(throws: SystemError.self) { _ = try Mapping(sharingHuge: directory, count: 1 << 20) }
  }

  /// This process's address space in bytes (VmSize, proc(5)).
  private static func addressSpace() throws -> Int {
    let line = try #require(
      try Files.readText("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("VmSize") })
    return try #require(Int(line.split(whereSeparator: \.isWhitespace)[1])) << 10
  }
}
