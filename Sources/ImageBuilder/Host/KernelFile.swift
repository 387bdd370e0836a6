internal import Binary
internal import Platform

/// Tells whether a file is a kernel that a domain can enter.
enum KernelFile {
  /// Checks for the Linux boot protocol, version 2.12 or later with a 64-bit entry
  /// (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
  static func checkLinux(_ bytes: [UInt8], path: String) throws(BuildError) {
    guard bytes.count > 0x264, Array(bytes[0x202..<0x206]) == Array("HdrS".utf8) else {
      throw notAKernel(path, "it has no Linux boot header", "name a bzImage, such as Debian's /boot/vmlinuz-…")
    }
    let version = Int(bytes[0x206]) | Int(bytes[0x207]) << 8
    guard version >= 0x20C else {
      throw notAKernel(path, "its boot protocol is older than 2.12", "use Linux 3.8 or later")
    }
    guard bytes[0x236] & 1 != 0 else {
      throw notAKernel(path, "it has no 64-bit entry", "use a kernel for amd64")
    }
  }

  /// Checks for an ELF file with the note that tells the PVH entry (Xen's `XEN_ELFNOTE_PHYS32_ENTRY`, 18).
  static func checkPVH(_ bytes: [UInt8], path: String) throws(BuildError) {
    guard bytes.count > 64, Array(bytes[0..<4]) == [0x7F, 0x45, 0x4C, 0x46] else {
      throw notAKernel(path, "it is not an ELF file", "name an uncompressed kernel (vmlinux) with a PVH entry")
    }
    // Wherever the notes are, this one is: name size 4, the type, and the name.
    guard hasPVHNote(bytes) else {
      throw notAKernel(path, "it has no PVH entry note", "build it with CONFIG_PVH, or use 'boot: linux'")
    }
  }

  /// Walks the program headers to the notes (ELF specification 1.2, "Note Section").
  private static func hasPVHNote(_ bytes: [UInt8]) -> Bool {
    let is64 = bytes[4] == 2
    let start = number(bytes, is64 ? 32 : 28, is64 ? 8 : 4)
    let size = number(bytes, is64 ? 54 : 42, 2)
    let count = number(bytes, is64 ? 56 : 44, 2)
    guard let start, let size, let count, size >= 32 else { return false }
    for index in 0..<count {
      let header = start + index * size
      guard number(bytes, header, 4) == 4 else { continue }
      let offset = number(bytes, header + (is64 ? 8 : 4), is64 ? 8 : 4)
      let length = number(bytes, header + (is64 ? 32 : 16), is64 ? 8 : 4)
      if let offset, let length, notes(bytes, offset, length) { return true }
    }
    return false
  }

  private static func notes(_ bytes: [UInt8], _ start: Int, _ length: Int) -> Bool {
    var offset = start
    let (end, overflow) = start.addingReportingOverflow(length)
    guard !overflow, end <= bytes.count else { return false }
    while offset <= end - 12 {
      guard let name = number(bytes, offset, 4), let content = number(bytes, offset + 4, 4),
        let kind = number(bytes, offset + 8, 4)
      else { return false }
      if kind == 18, name == 4, offset + 16 <= end, Array(bytes[offset + 12..<offset + 15]) == Array("Xen".utf8) {
        return true
      }
      offset += 12 + (name + 3) / 4 * 4 + (content + 3) / 4 * 4
    }
    return false
  }

  /// A little-endian number of `width` bytes; nil outside the file or the range of sizes.
  private static func number(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> Int? {
    guard offset >= 0, offset <= bytes.count - width else { return nil }
    var value: UInt64 = 0
    for index in (0..<width).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
    return value < 1 << 40 ? Int(value) : nil
  }

  private static func notAKernel(_ path: String, _ why: String, _ hint: String) -> BuildError {
    BuildError(.notAKernel, "\(path) is not a kernel that can be booted so: \(why)", hint: hint)
  }
}
