import Binary
import DiskImages
import Testing

@Suite("What an image's file is, by its beginning")
struct ImageFormTests {
  private func qcow2(version: UInt32 = 3, backing: UInt64 = 0, encryption: UInt32 = 0, features: UInt64 = 0) -> [UInt8]
  {
    var writer = ByteWriter()
    writer.raw([0x51, 0x46, 0x49, 0xFB])
    writer.big(version)
    writer.big(backing)
    writer.zeros(16)
    writer.big(encryption)
    writer.zeros(36)
    writer.big(features)
    writer.zeros(512)
    return writer.bytes
  }

  private func vmdk(capacity: UInt64 = 100, descriptor: String = "parentCID=ffffffff\n") -> [UInt8] {
    var writer = ByteWriter()
    writer.raw("KDMV".utf8)
    writer.zeros(8)
    writer.little(capacity)
    writer.zeros(512 - writer.count)
    writer.raw(descriptor.utf8)
    writer.zeros(512)
    return writer.bytes
  }

  @Test("The form is told by the first bytes")
  func forms() {
    #expect(ImageForm(of: [0x1F, 0x8B, 8, 0]) == .packed)
    #expect(ImageForm(of: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0]) == .packed)
    #expect(ImageForm(of: [0x28, 0xB5, 0x2F, 0xFD]) == .packed)
    #expect(ImageForm(of: Array("BZh9".utf8)) == .packed)
    #expect(ImageForm(of: qcow2()) == .container("qcow2"))
    #expect(ImageForm(of: vmdk()) == .container("vmdk"))
    #expect(ImageForm(of: Array("vhdxfile".utf8)) == .container("vhdx"))
    #expect(ImageForm(of: []) == .raw)
    #expect(ImageForm(of: [0xEB, 0x63, 0x90]) == .raw)
  }

  @Test("A container whose content is elsewhere is refused, whatever it names")
  func objections() {
    #expect(ImageForm.objection(qcow2()) == nil)
    #expect(ImageForm.objection(qcow2(version: 2, features: 4)) == nil)  // version 2 has no features
    #expect(ImageForm.objection(vmdk()) == nil)
    for (bytes, words) in [
      (qcow2(backing: 0x68), "backing file"), (qcow2(version: 2, backing: 1), "backing file"),
      (qcow2(features: 4), "another file"), (qcow2(features: 5), "another file"), (qcow2(encryption: 2), "encrypted"),
      (qcow2(version: 4), "version 4"), (Array(qcow2().prefix(40)), "ends within"),
      (vmdk(capacity: 0), "other files"), (vmdk(descriptor: "CID=1\nparentCID=12345678\n"), "parent"),
      (vmdk(descriptor: "parentFileNameHint=\"/etc/passwd\""), "parent"),
      (Array("# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0".utf8), "other files"),
    ] {
      #expect(ImageForm.objection(bytes)?.contains(words) == true, "\(ImageForm.objection(bytes) ?? "accepted")")
    }
  }
}
