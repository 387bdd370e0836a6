internal import Manifest
internal import Recipe

/// Guests whose root is an image or a folder.
extension DomainPlanner {
  func image(_ root: Recipe.ImageRoot, _ steps: inout [Step]) throws(BuildError) -> DomainFiles {
    let source: OCIRoot.Source
    if let input = try fetched(root.image, &steps) {
      source = .step(input)
    } else if case .path(let path) = root.image {
      let file = recipe.resolve(path)
      source = .local(file, digest: try OCIRoot.digest(file, of: domain))
    } else {
      throw BuildError(.content, "\(domain.name): there is no file to be its image")
    }
    let image = OCIRoot(domain: domain.name, root: root, source: source, diskBytes: domain.diskBytes ?? 0)
    steps.append(image.step())
    return try launched(image.name, root.launch, &steps)
  }

  func folder(_ root: Recipe.FolderRoot, _ steps: inout [Step]) throws(BuildError) -> DomainFiles {
    let folder = FolderRoot(domain: domain.name, root: root, path: recipe.resolve(root.path))
    steps.append(try folder.step(epoch: epoch))
    return try launched(folder.name, root.launch, &steps)
  }

  /// The disk, kernel and initramfs of a root that the step `root` makes.
  private func launched(_ root: String, _ launch: Launch, _ steps: inout [Step]) throws(BuildError) -> DomainFiles {
    var files = DomainFiles(domain: domain)
    guard let debian = Self.root(of: domain, options) else { return files }
    let initramfs = GuestInitramfs(
      domain: domain.name, root: debian.name, control: control, bus: domain.hardware.diskBus,
      launch: LaunchInit(
        launch: launch, hasNetwork: domain.hasNetwork, program: .init(step: root, file: LaunchProgram.file)))
    let disk = LaunchDisk(
      domain: domain.name, hostname: launch.hostname, nameServer: recipe.nameServer(of: domain)?.description,
      diskBytes: domain.diskBytes ?? 0, root: root, seed: domain.sourceDigest)
    steps += [initramfs.step(epoch: epoch, versions: versions), disk.step(epoch: epoch, versions: versions)]
    files.kernel = .step(.init(step: debian.name, file: DebianRoot.kernel))
    files.initrd = .step(.init(step: initramfs.name, file: GuestInitramfs.file))
    files.disk = .step(.init(step: disk.name, file: GuestDisk.file))
    files.commandLine =
      GuestSystem(
        hostname: launch.hostname, nameServer: nil, root: domain.hardware.diskBus == .virtio ? "/dev/vda" : "/dev/sda",
        hasScreen: domain.hardware.display != .nothing, growsMemory: domain.memory.maximum > domain.memory.start
      ).commandLine
    return files
  }
}

extension Recipe.Domain {
  /// Whether its kernel is all that it has of a Debian.
  var hasOnlyKernel: Bool {
    switch source {
    case .image, .folder: true
    default: false
    }
  }
}

extension BillOfMaterials.Root {
  /// The kernel of this root, alone.
  var kernel: BillOfMaterials.Root { .init(name: "kernel of \(name)", packages: packages, isKernelOnly: true) }
}
