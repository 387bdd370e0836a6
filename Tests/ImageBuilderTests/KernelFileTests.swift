import Manifest
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

  /// A file of so many bytes with a Multiboot 1 header.
  private func multiboot(at offset: Int, magic: UInt32 = 0x1BAD_B002, count: Int = 16_384) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let words: [UInt32] = magic == 0x1BAD_B002 ? [magic, 7, 0 &- magic &- 7] : [magic, 0, 16, 0 &- magic &- 16]
    for (index, word) in words.enumerated() {
      for byte in 0..<4 { bytes[offset + index * 4 + byte] = UInt8(truncatingIfNeeded: word >> UInt32(byte * 8)) }
    }
    return bytes
  }

  /// The beginning of an ELF file for amd64.
  private func elf64(system: UInt8, count: Int = 4096) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.replaceSubrange(0..<8, with: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, system])
    bytes[18] = 62
    return bytes
  }

  /// A Plan 9 a.out of 64 bytes of text and 32 of data.
  private func plan9(_ magic: [UInt8] = [0, 0, 1, 0xEB]) -> [UInt8] {
    var bytes = magic + [0, 0, 0, 64, 0, 0, 0, 32]
    bytes += [UInt8](repeating: 0, count: 32 + 96 - bytes.count)
    return bytes
  }

  @Test("How a kernel wants to be entered is read from its headers")
  func detected() throws {
    let samples: [(BootMethod, [UInt8])] = [
      (.linux, linux()), (.pvh, elf()), (.freebsd, elf64(system: 9)), (.plan9, plan9()),
      (.plan9, plan9([0, 0, 0x8A, 0x97])), (.multiboot, multiboot(at: 4096)),
      (.multiboot, multiboot(at: 12_000, magic: 0xE852_50D6)),
    ]
    for (method, bytes) in samples {
      #expect(KernelFile.detect(bytes) == method)
      #expect(try KernelFile.method(of: bytes, wanted: nil, path: "k") == method)
      #expect(try KernelFile.method(of: bytes, wanted: method, path: "k") == method)
      let others = BootMethod.allCases.filter { $0 != method && !$0.isFirmware }
      // One entry, on either hypervisor.
      for other in others where (method, other) != (.pvh, .xenPVH) {
        #expect(throws: BuildError.self, "\(method) \(other)") {
          try KernelFile.method(of: bytes, wanted: other, path: "k")
        }
      }
    }
    #expect(try KernelFile.method(of: elf(), wanted: .xenPVH, path: "k") == .xenPVH)
    #expect(KernelFile.detect(multiboot(at: 8192)) == nil)  // its header must lie in the first 8 KiB
    var broken = multiboot(at: 64)
    broken[72] ^= 1  // the checksum
    #expect(KernelFile.detect(broken) == nil)
    #expect(KernelFile.detect(Array(plan9().dropLast())) == nil)
    #expect(KernelFile.detect(elf64(system: 0)) == nil)
    #expect(KernelFile.detect([]) == nil)
  }

  @Test("A file that is no kernel known is refused by name, with what to do")
  func unknown() {
    let error = #expect(throws: BuildError.self) {
      try KernelFile.method(of: Array("text".utf8), wanted: nil, path: "lab/kernel")
    }
    #expect(error?.message.hasPrefix("lab/kernel is not a kernel") == true)
    #expect(error?.hint?.contains("unpacked") == true)
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
      _ = KernelFile.detect(bytes)
    }
  }
}
