internal import Binary
internal import Platform

/// A disk with nothing but a program that UEFI firmware starts, in an EFI system partition.
struct EFIDisk: Sendable {
  /// The domain's name.
  let domain: String
  /// Size of the disk; nil for one that the program just fits on.
  let diskBytes: Int?
  /// What identifiers are derived from.
  let seed: SHA256.Digest
  let program: DomainFiles.File

  static let file = "disk.img"

  var name: String { "\(domain): disk" }

  /// Whole MiB for the program, the directories and the file allocation tables.
  static func mebibytes(program bytes: Int) -> Int { (bytes + bytes / 64 + (128 << 10)) >> 20 + 1 }

  /// A disk's one partition; `mebibytes` are its size.
  static func table(mebibytes: Int) -> PartitionTable {
    var table = PartitionTable()
    table.add(.efi, "esp", bytes: mebibytes << 20)
    return table
  }

  /// The smallest disk for a partition of so many MiB: before it and after it lie the table and its copy.
  static func diskBytes(mebibytes: Int) -> Int { (mebibytes + 2 + 3) / 4 * 4 << 20 }

  func step(epoch: Int, versions: [String: String]) -> Step {
    var settings = ["\(epoch)", diskBytes.map { "\($0)" } ?? "", "\(seed)"]
    var inputs: [Step.Input] = []
    switch program {
    case .step(let input): inputs.append(input)
    case .host(_, let digest): settings.append(digest)
    case .bytes: break
    }
    return Step(
      name: name, kind: "efi-disk", version: 1,
      settings: settings + ["fdisk", "mtools"].map { versions[$0] ?? "" }, inputs: inputs, outputs: [Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let doing = "cannot make the disk of \(domain)"
    let path: String
    switch program {
    case .step(let input): path = try context.input(input.step, input.file)
    case .host(let file, _): path = file
    case .bytes: throw BuildError(.content, "\(domain) has no program")
    }
    let (size, head) = try attempt(doing) { () throws(SystemError) in
      (try Files.status(path, followingLinks: true)?.size ?? 0, try FileDescriptor(opening: path).read(upTo: 2))
    }
    guard head.elementsEqual("MZ".utf8) else {
      throw BuildError(
        .notAKernel, "\(domain): the file that firmware is to start is no EFI program: it does not begin with 'MZ'",
        hint: "name one, such as memtest86+x64.efi")
    }
    let mebibytes = Self.mebibytes(program: size)
    let least = Self.diskBytes(mebibytes: mebibytes)
    let bytes = diskBytes ?? least
    guard bytes >= least else {
      throw BuildError(
        .diskTooSmall, "\(domain): its program takes a disk of \(least >> 20) MiB, and its disk has \(bytes >> 20) MiB",
        hint: "give it 'disk: \(least >> 20) MiB' or more in the recipe, or leave 'disk' out")
    }
    let table = Self.table(mebibytes: mebibytes)
    let partition = "\(context.scratch)/esp"
    try context.makeEFIPartition(partition, mebibytes: mebibytes, program: path, seed: seed, doing: doing)
    let disk = "\(context.output)/\(Self.file)"
    try context.makeDisk(disk, bytes: bytes, table, seed: seed, doing: doing)
    try context.copy(partition, into: disk, at: table.partitions[0].offset, doing: doing)
  }
}
