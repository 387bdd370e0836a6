internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// A Plan 9 guest's kernel and disk, made out of a distribution's repository.
struct Plan9Disk: Sendable {
  /// The domain's name.
  let domain: String
  let kernel: Recipe.Plan9Kernel
  /// Size of the disk.
  let diskBytes: Int
  /// The repository's files.
  let tree: Step.Input

  static let kernelFile = "kernel"
  static let file = "disk.img"
  /// Of a disk whose size the recipe does not tell.
  static let standardSize = 96 << 20  // bytes

  var name: String { "\(domain): Plan 9 \(kernel.hasFossil ? "disk" : "root in RAM")" }

  /// What the kernel is told; what a serial console needs the monitor adds.
  static func commandLine(hostname: String) -> String { "sysname=\(hostname)" }

  static func selection(_ kernel: Recipe.Plan9Kernel) -> TreeSelection {
    Plan9Tree(processor: kernel.processor).selection(kernel: kernel.path)
  }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "plan9-disk", version: 1,
      settings: [kernel.rawValue, "\(diskBytes)", "\(epoch)", versions["gzip"] ?? ""], inputs: [tree],
      outputs: [Self.kernelFile, Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let files = try Tree.extract(
      try context.input(tree.step, tree.file), cancellation: context.cancellation
    ) { _ in true }
    guard let program = files[kernel.path] else {
      throw BuildError(.content, "the tree of \(domain) has no \(kernel.path)")
    }
    try KernelFile.check(program, .plan9, path: kernel.path)
    let output = context.output
    try attempt("cannot write a kernel") { () throws(SystemError) in
      try Files.write(program, to: "\(output)/\(Self.kernelFile)")
    }
    let root = Plan9Tree(processor: kernel.processor)
    if kernel.hasFossil {
      context.progress("fossil, \(diskBytes >> 20) MiB")
      let users = Plan9Entry(path: "adm/users", content: Array(FossilImage.users.utf8), permissions: 0o664)
      try FossilImage.write(
        root.entries(files, adding: [users]), size: diskBytes, time: context.epoch, to: "\(output)/\(Self.file)")
    } else {
      try makeArchive(root.entries(files), context)
    }
  }

  private func makeArchive(_ entries: [Plan9Entry], _ context: borrowing StepContext) throws(BuildError) {
    context.progress("packing \(entries.count) files")
    let plain = "\(context.scratch)/archive"
    let packed = "\(plain).gz"
    let blocks = Plan9Archive.blocks(try Plan9Archive.bytes(entries, time: context.epoch))
    try attempt("cannot write the root") { () throws(SystemError) in try Files.write(blocks, to: plain) }
    try context.run(["gzip", "-9", "--no-name", plain], doing: "cannot pack the root of \(domain)")
    let output = "\(context.output)/\(Self.file)"
    try attempt("cannot write the root") { () throws(SystemError) in
      try Files.write(Plan9Archive.image(gzip: try Files.read(packed)), to: output)
    }
  }
}
