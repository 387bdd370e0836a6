import Manifest
import Recipe
import Testing

@Suite struct QuantitiesTests {
  @Test(arguments: [("512 MiB", 512 << 20), ("2GiB", 2 << 30), ("0 KiB", 0), ("1 TiB", 1 << 40)])
  func sizesAreBinary(text: String, bytes: Int) {
    #expect(ByteSize.parse(text) == .success(bytes))
  }

  @Test(arguments: [
    ("512", "no unit"), ("", "not a size"), ("1.5 GiB", "not a size"), ("-1 MiB", "not a size"),
    ("512 MB", "'MB' is not a unit"), ("512  MiB", "not a size"), ("9999999999 TiB", "too large"),
    ("99999999999999999999 MiB", "too large"), ("٣ MiB", "not a size"),
  ])
  func badSizesSayWhy(text: String, part: String) {
    guard case .failure(let error) = ByteSize.parse(text) else {
      Issue.record("accepted \(text)")
      return
    }
    #expect(error.description.contains(part), "\(error)")
  }

  @Test func sizesAreFormattedExactly() {
    #expect(ByteSize.format(2 << 30) == "2 GiB")
    #expect(ByteSize.format(1536 << 20) == "1536 MiB")
    #expect(ByteSize.format(7) == "7 bytes")
  }

  @Test func lengthsOfTime() {
    #expect(TimeLength.parse("300 s") == .success(300))
    #expect(TimeLength.parse("5 min") == .success(300))
    #expect((try? TimeLength.parse("300").get()) == nil)
    #expect((try? TimeLength.parse("3 h").get()) == nil)
  }

  @Test func subnets() throws {
    let subnet = try IPv4Subnet.parse("10.77.0.0/24").get()
    #expect(subnet.gatewayDescription == "10.77.0.1/24")
    #expect(subnet.address(10).description == "10.77.0.10")
    #expect(subnet.guestCapacity == 245)
    for bad in ["10.77.0.1/24", "10.77.0.0", "10.77.0.0/33", "300.1.1.0/24", "127.0.0.0/8", "1.2.3/24", "/", "a/b"] {
      #expect((try? IPv4Subnet.parse(bad).get()) == nil, "\(bad)")
    }
  }
}
