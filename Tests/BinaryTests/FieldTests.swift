import Binary
import Testing

@Suite("Fields of bytes")
struct FieldTests {
  @Test("What is written little- or big-endian is read back")
  func roundTrip() throws {
    var writer = ByteWriter()
    writer.little(UInt16(0x1234))
    writer.big(UInt32(0x89AB_CDEF))
    writer.little(Int8(-1))
    writer.align(8)
    writer.fixed("LVM2", width: 6)
    #expect(writer.bytes == [0x34, 0x12, 0x89, 0xAB, 0xCD, 0xEF, 0xFF, 0, 0x4C, 0x56, 0x4D, 0x32, 0, 0])
    let reader = ByteReader(writer.bytes)
    #expect(try reader.little(UInt16.self, at: 0) == 0x1234)
    #expect(try reader.big(UInt32.self, at: 2) == 0x89AB_CDEF)
    #expect(try reader.little(Int8.self, at: 6) == -1)
  }

  @Test("A field past the end throws, whatever the offset", arguments: [-1, 1, 2, Int.max, Int.min])
  func truncated(offset: Int) {
    #expect(throws: TruncatedInput.self) { try ByteReader([1, 2]).little(UInt16.self, at: offset) }
  }

  @Test("CRC-32 of the check string, and LVM's start value")
  func checksums() {
    #expect(CRC32.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
    #expect(CRC32.update(0xF597_A6CF, with: []) == 0xF597_A6CF)
  }

  @Test("Hexadecimal text, both ways")
  func hex() {
    #expect(Hex.encode([0, 0x9F, 0xFF]) == "009fff")
    #expect(Hex.decode("009FfF") == [0, 0x9F, 0xFF])
    #expect(Hex.decode("0") == nil)
    #expect(Hex.decode("٣٣") == nil)
  }

  @Test("UUIDs are derived, written and read back")
  func identifiers() throws {
    let digest = SHA256.hash("recipe")
    let identifier = UUID(digest: digest, name: "root")
    #expect(identifier == UUID(digest: digest, name: "root"))
    #expect(identifier != UUID(digest: digest, name: "home"))
    #expect(UUID(identifier.description) == identifier)
    #expect(identifier.bytes[6] >> 4 == 8)
    #expect(UUID("not-a-uuid") == nil)
  }
}
