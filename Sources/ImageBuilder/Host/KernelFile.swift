internal import Binary
internal import Manifest
internal import Platform

/// Tells whether a file is a kernel that a domain can enter, and how.
enum KernelFile {
  /// How the kernel wants to be entered, by its headers; nil for a file that is none of the kernels known.
  ///
  /// A FreeBSD kernel may have a PVH note as well, and so may a Multiboot one: what carries more is preferred.
  static func detect(_ bytes: [UInt8]) -> BootMethod? {
    if hasLinuxHeader(bytes) { return .linux }
    if isFreeBSD(bytes) { return .freebsd }
    if isPlan9(bytes) { return .plan9 }
    if isELF(bytes), hasPVHNote(bytes) { return .pvh }
    if isMultiboot(bytes) { return .multiboot }
    return nil
  }

  /// Refuses a file that cannot be entered by `method`.
  static func check(_ bytes: [UInt8], _ method: BootMethod, path: String) throws(BuildError) {
    switch method {
    case .linux: try checkLinux(bytes, path: path)
    case .pvh, .xenPVH: try checkPVH(bytes, path: path)
    case .multiboot:
      guard isMultiboot(bytes) else {
        throw notAKernel(
          path, "it has no Multiboot header", "name an uncompressed kernel with one, or leave 'boot' out")
      }
    case .freebsd:
      guard isFreeBSD(bytes) else {
        throw notAKernel(
          path, "it is not an ELF file of FreeBSD's for amd64", "name /boot/kernel/kernel of a FreeBSD for amd64")
      }
    case .plan9:
      guard isPlan9(bytes) || isELF(bytes) && isMultiboot(bytes) else {
        throw notAKernel(
          path, "it is neither a Plan 9 a.out file nor a Multiboot ELF file", "name a kernel such as 9pcf or 9k10f.elf")
      }
    case .bios, .uefi: break
    }
  }

  /// How the kernel is entered: as `method` says, or else as its headers do.
  static func method(
    of bytes: [UInt8], wanted method: BootMethod?, path: String
  ) throws(BuildError) -> BootMethod {
    if let method {
      try check(bytes, method, path: path)
      return method
    }
    guard let found = detect(bytes) else {
      throw notAKernel(
        path, "it has the headers of no kernel known (Linux, FreeBSD, Plan 9, PVH, Multiboot)",
        "check the file; one that is compressed must be unpacked")
    }
    try check(bytes, found, path: path)
    return found
  }

  private static func hasLinuxHeader(_ bytes: [UInt8]) -> Bool {
    bytes.count > 0x264 && bytes[0x202..<0x206].elementsEqual("HdrS".utf8)
  }

  private static func isELF(_ bytes: [UInt8]) -> Bool {
    bytes.count > 64 && bytes[0..<4].elementsEqual([0x7F, 0x45, 0x4C, 0x46])
  }

  /// ELFOSABI_FREEBSD in the identification, 64-bit, for amd64 (FreeBSD's elf(5)).
  private static func isFreeBSD(_ bytes: [UInt8]) -> Bool {
    isELF(bytes) && bytes[4] == 2 && bytes[7] == 9 && number(bytes, 18, 2) == 62
  }

  /// Plan 9's a.out(6): a big-endian magic number of the 386 or amd64, and segments that the file holds.
  private static func isPlan9(_ bytes: [UInt8]) -> Bool {
    func word(_ index: Int) -> Int { bytes[index * 4..<index * 4 + 4].reduce(0) { $0 << 8 | Int($1) } }
    guard bytes.count > 40, [0x1EB, 0x8A97].contains(word(0)) else { return false }
    return word(1) > 0 && 32 + word(1) + word(2) <= bytes.count
  }

  /// The header of Multiboot 0.6.96 (section 3.1) in the first 8 KiB, or of Multiboot 2 (section 3.1) in the first 32.
  private static func isMultiboot(_ bytes: [UInt8]) -> Bool {
    for offset in stride(from: 0, to: min(bytes.count, 32_768) - 16, by: 4) {
      guard let magic = number(bytes, offset, 4) else { return false }
      let count = magic == 0x1BAD_B002 && offset < 8192 ? 3 : magic == 0xE852_50D6 ? 4 : 0
      let sum = (0..<count).reduce(0) { $0 + (number(bytes, offset + $1 * 4, 4) ?? 0) }
      if count > 0, sum & 0xFFFF_FFFF == 0 { return true }
    }
    return false
  }

  /// Checks for the Linux boot protocol, version 2.12 or later with a 64-bit entry
  /// (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
  static func checkLinux(_ bytes: [UInt8], path: String) throws(BuildError) {
    guard hasLinuxHeader(bytes) else {
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

  /// What a Linux kernel calls itself, such as `6.12.41-amd64` (the boot protocol's `kernel_version`); nil where it does
  /// not say. `bytes` are the file's first ones.
  static func version(_ bytes: [UInt8]) -> String? {
    guard hasLinuxHeader(bytes), let offset = number(bytes, 0x20E, 2), offset > 0, offset + 0x200 < bytes.count else {
      return nil
    }
    let word = bytes[(offset + 0x200)...].prefix(64).prefix { $0 != 0 && $0 != 0x20 }
    return word.isEmpty ? nil : String(decoding: word, as: UTF8.self)
  }

  /// Checks for an ELF file with the note that tells the PVH entry (Xen's `XEN_ELFNOTE_PHYS32_ENTRY`, 18).
  static func checkPVH(_ bytes: [UInt8], path: String) throws(BuildError) {
    guard isELF(bytes) else {
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
