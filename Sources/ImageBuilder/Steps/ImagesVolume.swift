internal import Binary
internal import Platform

/// The guests' disk images as one LVM physical volume, compressed.
struct ImagesVolume: Sendable {
  /// One disk.
  struct Image: Sendable {
    let domain: String
    /// The step's file, or a file of this machine with its digest.
    let source: Source
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
    var settings = ["\(epoch)", versions["squashfs-tools"] ?? "", "\(ramBytes)", "\(seed)"] + compression.options
    var inputs: [Step.Input] = []
    for image in images {
      switch image.source {
      case .step(let input):
        settings.append("\(image.domain) made")
        inputs.append(input)
      case .file(_, let digest):
        settings.append("\(image.domain) \(digest)")
      }
    }
    return Step(
      name: Self.stepName, kind: "images", version: 2, settings: settings, inputs: inputs,
      outputs: [Self.squashfs, Self.template, Self.facts]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    var files: [(name: String, path: String)] = []
    for image in images {
      switch image.source {
      case .step(let input): files.append((image.domain, try context.input(input.step, input.file)))
      case .file(let path, _): files.append((image.domain, path))
      }
    }
    context.progress("physical volume")
    let volume = "\(context.scratch)/\(Self.volumeFile)"
    let result: VolumeGroupImage.Result
    do throws(VolumeGroupImage.Failure) {
      result = try VolumeGroupImage.write(
        images: files, volumeGroup: Self.volumeGroup, ramBytes: ramBytes, seed: seed, to: volume)
    } catch {
      if case .system(let path, let error) = error { throw BuildError(error, "cannot write \(path)") }
      throw BuildError(.badFile, "\(error)")
    }
    let output = context.output
    try attempt("cannot write the volume group's description") { () throws(SystemError) in
      try Files.write(result.metadataTemplate, to: "\(output)/\(Self.template)")
      try Files.write(
        "\(result.mediumUUID) \(result.ramUUID) \(result.extentBytes)\n", to: "\(output)/\(Self.facts)")
      try Files.setPermissions(volume, 0o444)
    }
    context.progress("compressing \(result.imageBytes >> 20) MiB")
    try context.run(
      ["mksquashfs", volume, "\(output)/\(Self.squashfs)", "-all-root", "-no-xattrs"] + compression.arguments,
      doing: "cannot compress the disks")
  }
}
