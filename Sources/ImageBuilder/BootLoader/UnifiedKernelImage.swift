internal import Binary
internal import Platform

/// Kernel, initramfs and command line as one program for UEFI, signed as a whole (UAPI Group's specification "Unified
/// Kernel Image"): systemd's stub with a section for each.
struct UnifiedKernelImage: Sendable {
  /// Files of this machine.
  let stub: String
  let kernel: String
  let initramfs: String
  let commandLine: String
  /// What boot managers show.
  let title: String

  /// Sections begin at multiples of this in memory.
  private static let alignment = 4096
  private static let doing = "cannot make the unified kernel image"

  /// Makes it, and returns its path.
  func make(signedBy pair: PEMPair, _ context: borrowing StepContext) throws(BuildError) -> String {
    let release = "\(context.scratch)/os-release"
    let words = "\(context.scratch)/cmdline"
    try attempt(Self.doing) { () throws(SystemError) in
      try Files.write("ID=roost\nPRETTY_NAME=\"\(title)\"\n", to: release)
      try Files.write(commandLine, to: words)
    }
    var arguments = ["objcopy"]
    // The stub's own sections come first.
    var address = try end(of: context.run(["objdump", "-h", stub], doing: Self.doing))
    for (name, file) in [(".osrel", release), (".cmdline", words), (".initrd", initramfs), (".linux", kernel)] {
      arguments += [
        "--add-section", "\(name)=\(file)", "--change-section-vma", "\(name)=0x\(String(address, radix: 16))",
      ]
      let size = try attempt(Self.doing) { () throws(SystemError) in try Files.status(file)?.size ?? 0 }
      address = Self.aligned(address + size)
    }
    let (plain, signed) = ("\(context.scratch)/plain.efi", "\(context.scratch)/signed.efi")
    try context.run(arguments + [stub, plain], doing: Self.doing)
    try attempt(Self.doing) { () throws(SystemError) in try Self.setTime(of: plain, to: context.epoch) }
    // The time in the signature is the image's, not that of the build.
    try context.run(
      [
        "osslsigncode", "sign", "-h", "sha256", "-certs", pair.certificatePath, "-key", pair.keyPath, "-n", "Roost",
        "-time", "\(context.epoch)", "-in", plain, "-out", signed,
      ], doing: "cannot sign the unified kernel image with \(pair.keyPath)")
    return signed
  }

  /// Where the last section ends in memory, out of what objdump prints: number, name, size, address, …
  private func end(of listing: String) throws(BuildError) -> Int {
    let end = listing.split(separator: "\n").compactMap { line -> Int? in
      let words = line.split(separator: " ")
      guard words.count == 7, Int(words[0]) != nil, let size = Int(words[2], radix: 16) else { return nil }
      return Int(words[3], radix: 16).map { $0 + size }
    }.max()
    guard let end else { throw BuildError(.content, "\(stub) is no program for UEFI") }
    return Self.aligned(end)
  }

  /// objcopy writes the time of the build into the header (PE Format, section "COFF File Header").
  private static func setTime(of path: String, to epoch: Int) throws(SystemError) {
    let file = try FileDescriptor(opening: path, .readWrite)
    // The header's place is at byte 60; its time is behind the signature, the machine and the number of sections.
    let place = try file.read(upTo: 4, at: 60).reversed().reduce(0) { $0 << 8 | Int($1) }
    var writer = ByteWriter(capacity: 4)
    writer.little(UInt32(truncatingIfNeeded: epoch))
    try file.writeAll(writer.bytes, at: place + 8)
  }

  private static func aligned(_ address: Int) -> Int { (address + alignment - 1) / alignment * alignment }
}
