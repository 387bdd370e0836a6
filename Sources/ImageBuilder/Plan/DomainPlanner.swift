internal import Binary
internal import DiskImages
internal import Manifest
internal import Platform
internal import Recipe

/// What one domain adds to a plan: its files on the medium, and the steps that make them.
struct DomainPlanner {
  let domain: Recipe.Domain
  let recipe: Recipe
  let options: BuildOptions
  let sources: SourceSet
  /// The step that makes the control domain's root.
  let control: String
  let epoch: Int
  let versions: [String: String]

  /// The root file system that a domain shares with all of its release and packages, or whose kernel it has; nil for one
  /// that has nothing of Debian's.
  static func root(of domain: Recipe.Domain, _ options: BuildOptions) -> DebianRoot? {
    let (suite, packages): (String, [String])
    switch domain.source {
    case .debian(let release, let more, _): (suite, packages) = (release, more)
    // For their kernel.
    case .image(let root): (suite, packages) = (root.launch.suite, [])
    case .folder(let root): (suite, packages) = (root.launch.suite, [])
    default: return nil
    }
    var root = DebianRoot(role: .guest, suite: suite, packages: packages, mirror: options.mirror, owner: domain.name)
    root.locked = options.lock?.lock.root(root.want)
    return root
  }

  func plan() throws(BuildError) -> (DomainFiles, [Step]) {
    var steps: [Step] = []
    var files: DomainFiles
    switch domain.source {
    case .debian(_, _, let hostname): files = try debian(hostname: hostname, &steps)
    case .hatchling:
      files = DomainFiles(domain: domain)
      files.kernel = .step(.init(step: Programs.stepName, file: Programs.hatchling))
    case .freebsd(let base, let kernel, let hostname):
      files = try freebsd(base: base, kernel: kernel, hostname: hostname, &steps)
    case .plan9(let tree, let kernel, let hostname): files = try plan9(tree, kernel, hostname: hostname, &steps)
    case .image(let root): files = try image(root, &steps)
    case .folder(let root): files = try folder(root, &steps)
    case .files(let own): files = try self.files(own, &steps)
    }
    files.cdrom = try file(domain.hardware.cdrom, "CD image", unpacking: true, &steps)
    files.floppy = try file(domain.hardware.floppy, "floppy disk's image", unpacking: true, &steps)
    // What GRUB starts has its command line in GRUB's menu.
    let isOnDisk = if case .debian = domain.source { domain.boot?.isFirmware == true } else { false }
    let words = [files.commandLine, isOnDisk ? "" : domain.commandLine].filter { !$0.isEmpty }
    files.commandLine = words.joined(separator: " ")
    return (files, steps)
  }

  private func debian(hostname: String, _ steps: inout [Step]) throws(BuildError) -> DomainFiles {
    var files = DomainFiles(domain: domain)
    guard let root = Self.root(of: domain, options) else { return files }
    let isFirmware = domain.boot?.isFirmware == true
    let bus = domain.hardware.diskBus
    let initramfs = GuestInitramfs(
      domain: domain.name, root: root.name, control: control, bus: isFirmware ? nil : bus)
    let initrd = Step.Input(step: initramfs.name, file: GuestInitramfs.file)
    let identifier = GuestDisk.identifier(domain.name, seed: domain.sourceDigest)
    var system = GuestSystem(
      hostname: hostname, nameServer: recipe.nameServer(of: domain)?.description,
      root: bus == .virtio ? "/dev/vda" : "/dev/sda", hasScreen: domain.hardware.display != .nothing,
      hasNetwork: domain.hasNetwork,
      growsMemory: domain.memory.maximum > domain.memory.start, customization: domain.customization)
    if isFirmware {
      system.root = "UUID=\(identifier)"
      system.loader = GuestLoader(title: domain.os, commandLine: domain.commandLine, initramfs: initrd)
    }
    let disk = GuestDisk(
      domain: domain.name, system: system,
      changes: try SystemChanges(domain.customization, owner: domain.name, recipe: recipe),
      diskBytes: domain.diskBytes ?? 0, root: root.name, seed: domain.sourceDigest)
    let base = GuestBase(root: root.name)
    let compressed = CompressedDisk(
      title: base.name, source: .step(.init(step: base.name, file: GuestBase.file)),
      compression: .disks(recipe.image))
    steps += [base.step(epoch: epoch, versions: versions), compressed.step(versions: versions)]
    if let services = disk.services { steps.append(services.step(epoch: epoch, versions: versions)) }
    steps += [initramfs.step(epoch: epoch, versions: versions), disk.step(epoch: epoch, versions: versions)]
    files.base = compressed.name
    let image = Step.Input(step: disk.name, file: GuestDisk.file)
    if isFirmware {
      let whole = GRUBDisk(
        domain: domain.name, diskBytes: domain.diskBytes ?? 0, seed: domain.sourceDigest, root: image,
        rootIdentifier: identifier)
      steps.append(whole.step(epoch: epoch, versions: versions))
      files.disk = .step(.init(step: whole.name, file: GRUBDisk.file))
    } else {
      files.kernel = .step(.init(step: root.name, file: DebianRoot.kernel))
      files.initrd = .step(initrd)
      files.disk = .step(image)
      files.commandLine = system.commandLine
    }
    return files
  }

  private func freebsd(
    base: String, kernel: String, hostname: String, _ steps: inout [Step]
  ) throws(BuildError) -> DomainFiles {
    let products = [try sources.content(base), try sources.content(kernel)]
    let disk = FreeBSDDisk(
      domain: domain.name, system: FreeBSDSystem(hostname: hostname), diskBytes: domain.diskBytes ?? 0,
      base: products[0].input, kernel: products[1].input, seed: domain.sourceDigest)
    steps += products.map(\.step) + [disk.step(epoch: epoch, versions: versions)]
    var files = DomainFiles(domain: domain)
    files.disk = .step(.init(step: disk.name, file: FreeBSDDisk.file))
    if domain.boot?.isFirmware != true {
      files.kernel = .step(.init(step: disk.name, file: FreeBSDDisk.kernelFile))
      files.commandLine = FreeBSDSystem.commandLine
    }
    return files
  }

  private func plan9(
    _ tree: String, _ kernel: Recipe.Plan9Kernel, hostname: String, _ steps: inout [Step]
  ) throws(BuildError) -> DomainFiles {
    let product = try sources.tree(tree, Plan9Disk.selection(kernel))
    let disk = Plan9Disk(
      domain: domain.name, kernel: kernel, diskBytes: domain.diskBytes ?? Plan9Disk.standardSize, tree: product.input)
    steps += [product.step, disk.step(epoch: epoch, versions: versions)]
    var files = DomainFiles(domain: domain)
    files.kernel = .step(.init(step: disk.name, file: Plan9Disk.kernelFile))
    files.disk = .step(.init(step: disk.name, file: Plan9Disk.file))
    files.commandLine = Plan9Disk.commandLine(hostname: hostname)
    return files
  }

  private func files(_ own: Recipe.Files, _ steps: inout [Step]) throws(BuildError) -> DomainFiles {
    var files = DomainFiles(domain: domain)
    files.kernel = try file(own.kernel, "kernel", unpacking: true, &steps)
    if case .host(let path, _)? = files.kernel { try DomainFiles.method(of: domain, kernel: path, named: path) }
    files.initrd = try file(own.initrd, "initial RAM disk", &steps)
    for module in own.modules {
      guard let file = try file(module.file, "module", &steps) else { continue }
      files.modules.append(.init(file: file, commandLine: module.commandLine))
    }
    if let program = try file(own.program, "EFI program", &steps) {
      let disk = EFIDisk(
        domain: domain.name, diskBytes: domain.diskBytes, seed: domain.sourceDigest, program: program)
      steps.append(disk.step(epoch: epoch, versions: versions))
      files.disk = .step(.init(step: disk.name, file: EFIDisk.file))
    } else if let image = own.image {
      files.disk = try disk(image, &steps)
    } else if domain.diskBytes != nil {
      files.disk = .step(.init(step: BlankDisk.stepName, file: BlankDisk.file))
      steps.append(BlankDisk.step)
    }
    return files
  }

  private func disk(
    _ reference: Recipe.FileReference, _ steps: inout [Step]
  ) throws(BuildError) -> ImagesVolume.Source {
    let what = "disk image"
    guard case .path(let path) = reference else {
      return .step(try prepared(reference, what, isDisk: true, &steps))
    }
    let host = recipe.resolve(path)
    let digest = try DomainFiles.digest(host, of: domain, what)
    if ImageForm(of: try DiskImage.head(host)) == .raw { return .file(host, digest: digest) }
    let step = imageStep(what, isDisk: true, settings: [digest], inputs: []) { _ in host }
    steps.append(step)
    return .step(.init(step: step.name, file: SourceSet.contentFile))
  }

  /// A file of the domain's. A source's is unpacked where it is packed and `unpacking` says so.
  private func file(
    _ reference: Recipe.FileReference?, _ what: String, unpacking: Bool = false, _ steps: inout [Step]
  ) throws(BuildError) -> DomainFiles.File? {
    switch reference {
    case .path(let path)?: return try DomainFiles.hostFile(recipe.resolve(path), of: domain, what)
    case .source?:
      guard unpacking else { return try fetched(reference, &steps).map { .step($0) } }
      return try reference.map { (reference) throws(BuildError) in
        .step(try prepared(reference, what, isDisk: false, &steps))
      }
    case nil: return nil
    }
  }

  /// A source's file as it is.
  func fetched(
    _ reference: Recipe.FileReference?, _ steps: inout [Step]
  ) throws(BuildError) -> Step.Input? {
    guard case .source(let name, let path)? = reference else { return nil }
    let products = try sources.file(name, path: path)
    steps += products.map(\.step)
    return products.last?.input
  }

  /// A source's file as the domain needs it.
  private func prepared(
    _ reference: Recipe.FileReference, _ what: String, isDisk: Bool, _ steps: inout [Step]
  ) throws(BuildError) -> Step.Input {
    guard let input = try fetched(reference, &steps) else {
      throw BuildError(.content, "\(domain.name): there is no file to be its \(what)")
    }
    let step = imageStep(what, isDisk: isDisk, settings: [], inputs: [input]) { context throws(BuildError) in
      try context.input(input.step, input.file)
    }
    steps.append(step)
    return .init(step: step.name, file: SourceSet.contentFile)
  }

  private func imageStep(
    _ what: String, isDisk: Bool, settings: [String], inputs: [Step.Input],
    _ locate: @escaping @Sendable (borrowing StepContext) throws(BuildError) -> String
  ) -> Step {
    let name = "\(domain.name): \(what)"
    return Step(
      name: name, kind: isDisk ? "disk-image" : "file-image", version: 1,
      settings: settings + (isDisk ? [versions["qemu-utils"] ?? ""] : []), inputs: inputs,
      outputs: [SourceSet.contentFile]
    ) { context throws(BuildError) in
      try DiskImage.prepare(
        try locate(context), isDisk: isDisk, called: "the \(what) of \(domain.name)",
        to: "\(context.output)/\(SourceSet.contentFile)", context)
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
