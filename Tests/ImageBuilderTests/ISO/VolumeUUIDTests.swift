import Binary
import Testing

@testable import ImageBuilder

@Suite struct VolumeUUIDTests {
  @Test func followsFromTheDigest() {
    let uuid = VolumeUUID(digest: SHA256.hash("a volume for tests"))
    #expect(uuid.description == "2012-08-10-05-11-09-89")
    #expect(uuid.digits == "2012081005110989")
    #expect(uuid == VolumeUUID(digest: SHA256.hash("a volume for tests")))
  }

  @Test func isAlwaysATimeThatIsPossible() {
    var seen: Set<String> = []
    for number in 0..<2000 {
      let uuid = VolumeUUID(digest: SHA256.hash("volume \(number)"))
      let fields = uuid.description.split(separator: "-").compactMap { Int($0) }
      #expect(uuid.digits.count == 16 && fields.count == 7)
      let limits = [2000...2025, 1...12, 1...28, 0...23, 0...59, 0...59, 0...99]
      for (field, limit) in zip(fields, limits) { #expect(limit.contains(field), "\(uuid)") }
      seen.insert(uuid.digits)
    }
    #expect(seen.count == 2000)
  }
}
