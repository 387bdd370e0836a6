internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// What one domain adds to a plan: its files on the medium, and the steps that make them.
struct DomainPlanner {
  let domain: Recipe.Domain
  let recipe: Recipe
  let options: BuildOptions
  /// The step that makes the control domain's root.
  let control: String
  let epoch: Int
  let versions: [String: String]

  /// The root file system that a domain shares with all of its release and packages; nil for one that is no Debian.
  static func root(of domain: Recipe.Domain, _ options: BuildOptions) -> DebianRoot? {
    guard case .debian(let suite, let packages, _) = domain.source else { return nil }
    return DebianRoot(role: .guest, suite: suite, packages: packages, mirror: options.mirror, owner: domain.name)
  }

  func plan() throws(BuildError) -> (DomainFiles, [Step]) {
    var steps: [Step] = []
    var files: DomainFiles
    switch domain.source {
    case .debian(_, _, let hostname): files = debian(hostname: hostname, &steps)
    case .hatchling:
      files = DomainFiles(domain: domain)
      files.kernel = .step(.init(step: Programs.stepName, file: Programs.hatchling))
    case .files(let own): files = try self.files(own, &steps)
    }
    files.cdrom = try file(domain.hardware.cdrom, "CD image")
    files.floppy = try file(domain.hardware.floppy, "floppy disk's image")
    let words = [files.commandLine, domain.commandLine].filter { !$0.isEmpty }
    files.commandLine = words.joined(separator: " ")
    return (files, steps)
  }

  private func debian(hostname: String, _ steps: inout [Step]) -> DomainFiles {
    var files = DomainFiles(domain: domain)
    guard let root = Self.root(of: domain, options) else { return files }
    let initramfs = GuestInitramfs(domain: domain.name, root: root.name, control: control)
    let disk = GuestDisk(
      domain: domain.name, hostname: hostname, diskBytes: domain.diskBytes ?? 0,
      nameServer: recipe.network.subnet.address(IPv4Subnet.gateway).description, root: root.name,
      seed: domain.sourceDigest)
    files.kernel = .step(.init(step: root.name, file: DebianRoot.kernel))
    files.initrd = .step(.init(step: initramfs.name, file: GuestInitramfs.file))
    files.disk = .step(.init(step: disk.name, file: GuestDisk.file))
    files.commandLine = GuestSystem.commandLine
    steps += [initramfs.step(epoch: epoch, versions: versions), disk.step(epoch: epoch, versions: versions)]
    return files
  }

  private func files(_ own: Recipe.Files, _ steps: inout [Step]) throws(BuildError) -> DomainFiles {
    var files = DomainFiles(domain: domain)
    files.kernel = try file(own.kernel, "kernel")
    if case .host(let path, _)? = files.kernel { try DomainFiles.method(of: domain, kernel: path, named: path) }
    files.initrd = try file(own.initrd, "initial RAM disk")
    for module in own.modules {
      guard let file = try file(module.file, "module") else { continue }
      files.modules.append(.init(file: file, commandLine: module.commandLine))
    }
    switch own.image {
    case .path(let path)?:
      let path = recipe.resolve(path)
      files.disk = .file(path, digest: try DomainFiles.digest(path, of: domain, "disk image"))
    case nil:
      guard domain.diskBytes != nil else { break }
      files.disk = .step(.init(step: BlankDisk.stepName, file: BlankDisk.file))
      steps.append(BlankDisk.step)
    }
    return files
  }

  private func file(_ reference: Recipe.FileReference?, _ what: String) throws(BuildError) -> DomainFiles.File? {
    switch reference {
    case .path(let path)?: try DomainFiles.hostFile(recipe.resolve(path), of: domain, what)
    case nil: nil
    }
  }
}

/// The beginning of a disk of zeros: its domain's volume is grown to the disk's size when the appliance starts.
enum BlankDisk {
  static let stepName = "disk without content"
  static let file = "disk.img"

  static var step: Step {
    Step(
      name: stepName, kind: "blank-disk", version: 1, settings: [], inputs: [], outputs: [file]
    ) { context throws(BuildError) in
      let path = "\(context.output)/\(file)"
      try attempt("cannot write \(file)") { () throws(SystemError) in
        try FileDescriptor(opening: path, [.readWrite, .create]).truncate(to: VolumeGroupImage.extentSize)
      }
    }
  }
}
