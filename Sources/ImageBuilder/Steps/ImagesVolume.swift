internal import Binary
internal import Platform

/// The guests' disk images as one LVM physical volume, which is the only file of a squashfs: put together out of the blocks
/// of each disk, which were compressed apart.
struct ImagesVolume: Sendable {
  /// One disk.
  struct Image: Sendable {
    let domain: String
    /// The step that compressed it.
    let compressed: String
  }

  enum Source: Sendable {
    case step(Step.Input)
    case file(String, digest: String)
  }

  let images: [Image]
  let ramBytes: Int
  let compression: Squashfs
  /// What identifiers are derived from.
  let seed: SHA256.Digest

  static let stepName = "disks: LVM volume, squashfs"
  static let volumeGroup = "roost"
  static let squashfs = "images.squashfs"
  static let template = "volume-group.conf"
  static let facts = "volume.txt"
  static let volumeFile = "images.pv"

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: Self.stepName, kind: "images", version: 3,
      settings: ["\(epoch)", versions["squashfs-tools"] ?? "", "\(ramBytes)", "\(seed)"] + compression.options
        + images.map(\.domain),
      inputs: images.flatMap { image in
        [CompressedDisk.blocks, CompressedDisk.table].map { .init(step: image.compressed, file: $0) }
      },
      outputs: [Self.squashfs, Self.template, Self.facts]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let size = compression.blockBytes
    var disks: [(path: String, table: BlockTable)] = []
    for image in images {
      let table = try CompressedDisk.table(try context.input(image.compressed, CompressedDisk.table))
      disks.append((try context.input(image.compressed, CompressedDisk.blocks), table))
    }
    let layout: VolumeGroupImage.Layout
    do throws(VolumeGroupImage.Failure) {
      layout = try VolumeGroupImage.layout(
        images: zip(images, disks).map { ($0.domain, $1.table.count * size) }, volumeGroup: Self.volumeGroup,
        ramBytes: ramBytes, seed: seed)
    } catch {
      throw BuildError(.badFile, "\(error)")
    }
    let (output, result) = (context.output, layout.result)
    let head = "\(context.scratch)/head"
    try attempt("cannot write the volume group's description") { () throws(SystemError) in
      try Files.write(result.metadataTemplate, to: "\(output)/\(Self.template)")
      try Files.write(
        "\(result.mediumUUID) \(result.ramUUID) \(result.extentBytes)\n", to: "\(output)/\(Self.facts)")
      // What of it is not zeros.
      try Files.write(Array(layout.head.prefix(size)), to: head)
    }
    let first = try compression.compress(
      head, to: "\(context.scratch)/head.squashfs", context, doing: "cannot compress the volume's label")
    context.progress("putting together \(result.imageBytes >> 20) MiB")
    var writer = try SquashfsWriter("\(output)/\(Self.squashfs)", form: first.form)
    try writer.append(first.words, from: "\(context.scratch)/head.squashfs", at: first.start)
    writer.appendZeros(VolumeGroupImage.dataOffset / size - first.words.count)
    for (disk, extents) in zip(disks, layout.extents) {
      try context.cancellation.check()
      try writer.append(disk.table, from: disk.path)
      writer.appendZeros(extents * VolumeGroupImage.extentSize / size - disk.table.count)
    }
    // LVM takes no physical volume without extents.
    if disks.isEmpty { writer.appendZeros(VolumeGroupImage.extentSize / size) }
    try writer.finish(name: Self.volumeFile, epoch: context.epoch)
  }
}
