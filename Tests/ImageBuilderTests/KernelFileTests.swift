import Testing

@testable import ImageBuilder

@Suite("Kernel files")
struct KernelFileTests {
  /// A header of the Linux boot protocol.
  private func linux(version: Int = 0x20F, flags: UInt8 = 1) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 0x300)
    bytes.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    bytes[0x206] = UInt8(version & 0xFF)
    bytes[0x207] = UInt8(version >> 8)
    bytes[0x236] = flags
    return bytes
  }

  /// A 32-bit ELF file with one note segment.
  private func elf(note kind: UInt8 = 18, name: String = "Xen\0") -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 120)
    bytes.replaceSubrange(0..<5, with: [0x7F, 0x45, 0x4C, 0x46, 1])
    bytes[28] = 52  // program headers
    bytes[42] = 32
    bytes[44] = 1
    bytes[52] = 4  // PT_NOTE
    bytes[56] = 84
    bytes[68] = 20
    bytes[84] = 4
    bytes[88] = 4
    bytes[92] = kind
    bytes.replaceSubrange(96..<100, with: Array(name.utf8))
    return bytes
  }

  @Test("A bzImage with a 64-bit entry is one")
  func good() throws {
    try KernelFile.checkLinux(linux(), path: "k")
    try KernelFile.checkPVH(elf(), path: "k")
  }

  @Test(
    "Anything else is refused by name",
    arguments: [
      [UInt8]("just a text file".utf8), [], [UInt8](repeating: 0, count: 4096),
    ])
  func bad(bytes: [UInt8]) throws {
    for isLinux in [true, false] {
      let error = #expect(throws: BuildError.self) {
        if isLinux {
          try KernelFile.checkLinux(bytes, path: "lab/vmlinuz")
        } else {
          try KernelFile.checkPVH(bytes, path: "lab/vmlinuz")
        }
      }
      #expect(error?.code == .notAKernel)
      #expect(error?.message.hasPrefix("lab/vmlinuz is not a kernel") == true)
      #expect(error?.hint != nil)
    }
  }

  @Test("Old and 32-bit kernels are refused")
  func unsuitable() {
    #expect(throws: BuildError.self) { try KernelFile.checkLinux(linux(version: 0x20A), path: "k") }
    #expect(throws: BuildError.self) { try KernelFile.checkLinux(linux(flags: 0), path: "k") }
  }

  @Test("An ELF file without the PVH note is refused")
  func withoutNote() {
    #expect(throws: BuildError.self) { try KernelFile.checkPVH(elf(note: 1), path: "k") }
    #expect(throws: BuildError.self) { try KernelFile.checkPVH(elf(name: "GNU\0"), path: "k") }
  }

  @Test("Headers that point anywhere are refused, not followed")
  func hostile() {
    var state: UInt64 = 42
    for _ in 0..<5000 {
      var bytes = elf()
      for _ in 0..<6 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes[5 + Int(state >> 33) % (bytes.count - 5)] = UInt8(truncatingIfNeeded: state >> 20)
      }
      try? KernelFile.checkPVH(bytes, path: "k")
    }
  }
}
