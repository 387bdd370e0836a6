internal import Binary
internal import Platform

/// Partitions of a guest's disk, as the script that sfdisk makes a GUID partition table of (UEFI 2.10, section 5.3).
struct PartitionTable: Sendable {
  /// What a partition holds.
  enum Kind: String, Sendable {
    case efi = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    case biosBoot = "21686148-6449-6E6F-744E-656564454649"
    case linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
    case freebsdBoot = "83BD6B9D-7F41-11DC-BE0B-001560B84F0F"
    case freebsdUFS = "516E7CB6-6ECF-11D6-8FF8-00022D09712B"
  }

  struct Partition: Sendable {
    let kind: Kind
    let name: String
    /// In sectors of 512 bytes.
    let start: Int
    /// In sectors of 512 bytes.
    let count: Int

    var offset: Int { start * PartitionTable.sector }
    var bytes: Int { count * PartitionTable.sector }
  }

  static let sector = 512
  /// Where partitions start: whole MiB.
  static let alignment = 2048  // sectors

  private(set) var partitions: [Partition] = []
  /// The first sector that is free, a whole MiB but for the first partition.
  private var next = 40

  /// Adds a partition of so many bytes, which are rounded up to whole sectors.
  mutating func add(_ kind: Kind, _ name: String, bytes: Int) {
    let count = (bytes + Self.sector - 1) / Self.sector
    partitions.append(Partition(kind: kind, name: name, start: next, count: count))
    next = (next + count + Self.alignment - 1) / Self.alignment * Self.alignment
  }

  /// Adds a partition of all that is left of a disk; the last MiB has the table's copy. Returns false where nothing is.
  mutating func addRest(_ kind: Kind, _ name: String, ofDisk bytes: Int) -> Bool {
    let start = (next + Self.alignment - 1) / Self.alignment * Self.alignment
    let count = bytes / Self.sector / Self.alignment * Self.alignment - Self.alignment - start
    guard count > 0 else { return false }
    partitions.append(Partition(kind: kind, name: name, start: start, count: count))
    next = start + count
    return true
  }

  /// What sfdisk reads; identifiers are derived from `seed`.
  func script(seed: SHA256.Digest) -> String {
    var lines = ["label: gpt", "label-id: \(UUID(digest: seed, name: "disk"))", "unit: sectors", "first-lba: 34", ""]
    for (index, partition) in partitions.enumerated() {
      let identifier = UUID(digest: seed, name: "partition:\(index + 1)")
      lines.append(
        "start=\(partition.start), size=\(partition.count), type=\(partition.kind.rawValue), uuid=\(identifier), "
          + "name=\"\(partition.name)\"")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension StepContext {
  /// Makes a disk of zeros with a partition table at `path`.
  borrowing func makeDisk(
    _ path: String, bytes: Int, _ table: PartitionTable, seed: SHA256.Digest, doing: String
  ) throws(BuildError) {
    let script = "\(scratch)/partitions"
    try attempt(doing) { () throws(SystemError) in
      try Files.write(table.script(seed: seed), to: script)
      try FileDescriptor(opening: path, [.readWrite, .create, .truncate]).truncate(to: bytes)
    }
    try run(
      [
        "sh", "-c",
        "exec sfdisk --quiet --no-reread --no-tell-kernel --wipe never --wipe-partitions never \"$1\" <\"$2\"",
        "sh", path, script,
      ], doing: doing)
  }

  /// Makes a FAT file system of whole MiB with one program, as firmware looks for it on a disk that it does not know
  /// (UEFI 2.10, section 3.5.1.1).
  borrowing func makeEFIPartition(
    _ path: String, mebibytes: Int, program: String, seed: SHA256.Digest, doing: String
  ) throws(BuildError) {
    let serial = Hex.encode(SHA256.hash("EFI system partition of \(seed)").bytes.prefix(4))
    for arguments in [
      [
        "mformat", "-C", "-i", path, "-T", "\(mebibytes << 11)", "-h", "64", "-s", "32", "-N", serial, "-v", "EFI",
        "::",
      ],
      ["mmd", "-i", path, "::/EFI", "::/EFI/BOOT"], ["mcopy", "-i", path, program, "::/EFI/BOOT/BOOTX64.EFI"],
    ] {
      try run(arguments, environment: ["MTOOLSRC": "/dev/null"], doing: doing)
    }
  }

  /// Copies a file into a disk; blocks of zeros stay holes.
  borrowing func copy(_ file: String, into disk: String, at offset: Int, doing: String) throws(BuildError) {
    try run(
      [
        "dd", "if=\(file)", "of=\(disk)", "bs=1M", "oflag=seek_bytes", "seek=\(offset)", "conv=sparse,notrunc",
        "status=none",
      ], doing: doing)
  }
}
