internal import Binary
internal import Platform

/// The EFI system partition of a medium: a FAT file system with what UEFI starts.
struct EFIPartition: Sendable {
  /// A file in it.
  struct File: Sendable {
    /// Its path, without a leading slash.
    let path: String
    /// The file of this machine.
    let source: String

    init(_ path: String, from source: String) {
      self.path = path
      self.source = source
    }
  }

  /// What UEFI starts of removable media (UEFI 2.10, section 3.5.1.1).
  static let program = "EFI/BOOT/BOOTX64.EFI"

  let files: [File]
  let volume: VolumeUUID

  /// Writes the file system.
  func make(_ path: String, _ context: borrowing StepContext) throws(BuildError) {
    let doing = "cannot make the EFI system partition"
    var size = 0
    for file in files {
      size += try attempt(doing) { () throws(SystemError) in try Files.status(file.source)?.size ?? 0 }
    }
    try attempt(doing) { () throws(SystemError) in try Files.remove(path) }
    // Whole megabytes, with some room for the directories and the file allocation tables.
    let megabytes = (size + size / 64 + (256 << 10)) >> 20 + 1
    let serial = Hex.encode(SHA256.hash("EFI system partition of \(volume)").bytes.prefix(4))
    let environment = ["MTOOLSRC": "/dev/null"]
    try context.run(
      ["mformat", "-C", "-i", path, "-T", "\(megabytes << 11)", "-h", "64", "-s", "32", "-N", serial]
        + ["-v", "ROOST", "::"], environment: environment, doing: doing)
    var made: Set<String> = []
    for file in files {
      var above = ""
      for part in file.path.split(separator: "/").dropLast() {
        above += "/\(part)"
        if made.insert(above).inserted {
          try context.run(["mmd", "-i", path, "::\(above)"], environment: environment, doing: doing)
        }
      }
      try context.run(["mcopy", "-i", path, file.source, "::/\(file.path)"], environment: environment, doing: doing)
    }
  }
}
