internal import Platform
internal import Recipe

/// The root file system of an OCI image as a tar file, and what is run in it. Nothing of it is run to make it, and it takes no
/// superuser.
struct OCIRoot: Sendable {
  /// Where the image comes from.
  enum Source: Sendable {
    /// A file or a folder of the user's, and a digest of what decides its content.
    case local(String, digest: String)
    case step(Step.Input)
  }

  /// The domain's name.
  let domain: String
  let root: Recipe.ImageRoot
  let source: Source
  let diskBytes: Int

  var name: String { "\(domain): image" }

  /// What layers may hold, all together: more than ends up on the disk, as later ones replace what is in earlier ones.
  private var limits: ArchiveLimits {
    ArchiveLimits(bytes: min(max(4 * diskBytes, 1 << 30), ArchiveLimits.standard.bytes))
  }

  func step() -> Step {
    var inputs: [Step.Input] = []
    var settings = root.launch.words + [root.reference ?? "", "\(limits)"]
    switch source {
    case .local(_, let digest): settings.append(digest)
    case .step(let input): inputs = [input]
    }
    return Step(
      name: name, kind: "oci-root", version: 2, settings: settings, inputs: inputs,
      outputs: [LaunchDisk.archive, LaunchProgram.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let path: String
    let called: String
    switch source {
    case .local(let file, _): (path, called) = (file, "\(domain): the image \(file)")
    case .step(let input):
      path = try context.input(input.step, input.file)
      called = "\(domain): the image of the \(input.step)"
    }
    context.progress("reading")
    let layout = try OCILayout(
      path, called: called, scratch: "\(context.scratch)/layout", limits: limits, cancellation: context.cancellation)
    let image = try OCIImage(layout, reference: root.reference, cancellation: context.cancellation)
    var files = LayerFiles(called: called, limits: limits)
    try image.unpack(
      into: &files, scratch: context.scratch, cancellation: context.cancellation, progress: context.report)
    if files.omitted > 0 { context.progress("\(files.omitted) devices and the like are left out") }
    let tar = "\(context.output)/\(LaunchDisk.archive)"
    try files.write(tar, epoch: context.epoch, cancellation: context.cancellation)
    try LaunchProgram.write(of: tar, image.config.config, root.launch, called: called, context)
  }

  /// What decides the content of a layout: its list of images, which has digests of all else, or the file that it is in.
  static func digest(_ path: String, of domain: Recipe.Domain) throws(BuildError) -> String {
    let status = try? Files.status(path, followingLinks: true)
    return try DomainFiles.digest(
      status?.kind == .directory ? "\(path)/index.json" : path, of: domain, "image")
  }
}
