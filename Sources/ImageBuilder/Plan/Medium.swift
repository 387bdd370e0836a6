internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// The ISO itself: what lies where on it.
struct Medium {
  let plan: BuildPlan
  let results: [String: Executor.Result]

  static let stepName = "ISO image"
  private static let version = 2

  /// All files of the medium but the boot loader's and the manifest, in the order in which they lie on it: what is
  /// read first comes first.
  private func files() throws(BuildError) -> [(path: String, file: DomainFiles.File)] {
    var files: [(path: String, file: DomainFiles.File)] = [
      ("/roost/vmlinuz", .step(.init(step: plan.controlRoot, file: DebianRoot.kernel))),
      ("/roost/initrd.img", .step(.init(step: "initramfs", file: Initramfs.file))),
      ("/roost/root.squashfs", .step(.init(step: ControlRoot.stepName, file: ControlRoot.file))),
      ("/roost/root.verity", .step(.init(step: ControlRoot.stepName, file: ControlRoot.tree))),
      (BillOfMaterials.path, .step(.init(step: BillOfMaterials.stepName, file: BillOfMaterials.file))),
      ("/roost/volume-group.conf", .step(.init(step: ImagesVolume.stepName, file: ImagesVolume.template))),
    ]
    for domain in plan.domains { files += domain.placed }
    files += plan.certificate
    if let text = plan.lockText { files.append((ImageReport.lockPath, .bytes(Array(text.utf8)))) }
    files += DebianRoot.memoryTests.map {
      ("/boot/memtest86+/\($0)", .step(.init(step: plan.controlRoot, file: $0)))
    }
    files.append(("/roost/images.squashfs", .step(.init(step: ImagesVolume.stepName, file: ImagesVolume.squashfs))))
    return files
  }

  /// The `count` largest of them, the largest first.
  func largest(_ count: Int) throws(BuildError) -> [ImageBuild.File] {
    var found: [ImageBuild.File] = []
    for (path, file) in try files() {
      let bytes: Int
      switch file {
      case .bytes(let content): bytes = content.count
      case .host(let source, _): bytes = (try? Files.status(source, followingLinks: true))?.size ?? 0
      case .step(let input): bytes = (try? Files.status("\(try directory(input.step))/\(input.file)"))?.size ?? 0
      }
      found.append(ImageBuild.File(path: path, bytes: bytes))
    }
    return Array(found.sorted { ($1.bytes, $0.path) < ($0.bytes, $1.path) }.prefix(count))
  }

  /// What decides the image's bytes.
  func key() throws(BuildError) -> SHA256.Digest {
    var text = "medium \(Self.version) \(plan.epoch) \(plan.recipe.digest)\n"
    for (path, file) in try files() { text += "\(path) \(try digest(file))\n" }
    for output in GRUBImages.outputs {
      text += "\(output) \(try digest(.step(.init(step: BootLoader.stepName, file: output))))\n"
    }
    text += try bootMenu() + (signedMenu ?? "")
    text += plan.versions["libisofs-dev"] ?? ""
    return SHA256.hash(text)
  }

  /// Writes the image beside `path` and renames it into place.
  func write(
    to path: String, cancellation: Cancellation, progress: (ISOImage.Progress) -> Void
  ) throws(BuildError) {
    var image = ISOImage(
      volumeIdentifier: String("ROOST_\(plan.recipe.name.uppercased())".map { $0 == "-" ? "_" : $0 }.prefix(32)),
      volumeUUID: VolumeUUID(digest: plan.recipe.digest), epoch: plan.epoch)
    try image.addBootLoader(from: try directory(BootLoader.stepName), menu: try bootMenu(), signedMenu: signedMenu)
    image.add(ApplianceManifest.path, .bytes(try manifest()))
    for (target, file) in try files() {
      switch file {
      case .step(let input): image.add(target, .file("\(try directory(input.step))/\(input.file)"))
      case .host(let source, _): image.add(target, .file(source))
      case .bytes(let bytes): image.add(target, .bytes(bytes))
      }
    }
    try image.write(to: path, cancellation: cancellation, progress: progress)
  }

  /// Puts the bill of materials beside the image at `path`, where it is not there already.
  func writeBillOfMaterials(beside path: String) throws(BuildError) {
    let source = "\(try directory(BillOfMaterials.stepName))/\(BillOfMaterials.file)"
    let target = BillOfMaterials.sidecar(of: path)
    try attempt("cannot write \(target)") { () throws(SystemError) in
      let bytes = try Files.read(source)
      if (try? Files.read(target)) != bytes {
        try Files.replace(target, with: bytes, through: Leftovers.part(of: target))
      }
    }
  }

  /// Debian's GRUB takes a disc's own tree for the partition that it was started from.
  private var signedMenu: String? {
    plan.recipe.image.secureBoot == .debian ? GRUBImages.signedMenu(VolumeUUID(digest: plan.recipe.digest)) : nil
  }

  private func bootMenu() throws(BuildError) -> String {
    let root = try ControlRoot.digest(at: "\(try directory(ControlRoot.stepName))/\(ControlRoot.rootDigest)")
    let menu = BootMenu(
      title: "Roost: \(plan.recipe.name)",
      commandLine: BootMenu.commandLine(
        medium: VolumeUUID(digest: plan.recipe.digest), root: root,
        own: plan.recipe.controlDomain.commandLine))
    return try menu.text(template: plan.bootMenu)
  }

  private func manifest() throws(BuildError) -> [UInt8] {
    let facts = "\(try directory(ImagesVolume.stepName))/\(ImagesVolume.facts)"
    let text = try attempt("cannot read a result") { () throws(SystemError) in try Files.readText(facts) }
    let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
    guard words.count == 3, let extent = Int(words[2]) else {
      throw BuildError(.content, "\(facts) does not describe a volume", hint: "remove the cache's 'results' directory")
    }
    var domains: [ApplianceManifest.Domain] = []
    for files in plan.domains {
      domains.append(
        try files.manifest(plan.recipe) { (file) throws(BuildError) in
          switch file {
          case .step(let input): "\(try directory(input.step))/\(input.file)"
          case .host(let path, _): path
          case .bytes: throw BuildError(.content, "'\(files.domain.name)' has no such file")
          }
        })
    }
    let recipe = plan.recipe
    let subnet = recipe.network.subnet
    let manifest = ApplianceManifest(
      name: recipe.name, recipeDigest: recipe.digest.description, epoch: plan.epoch,
      controlDomain: .init(hostname: recipe.controlDomain.hostname, suite: recipe.controlDomain.suite),
      storage: .init(
        volumeGroup: ImagesVolume.volumeGroup, ramBytes: recipe.storage.ramBytes, extentBytes: extent,
        mediumUUID: words[0], ramUUID: words[1], physicalVolumeFile: ImagesVolume.volumeFile,
        remotes: recipe.storage.remotes.isEmpty ? nil : recipe.storage.remotes.map(ApplianceManifest.Remote.init)),
      network: .init(address: subnet.gatewayDescription),
      networks: recipe.networks.isEmpty ? nil : recipe.networks.map(ApplianceManifest.VirtualNetwork.init),
      domains: domains, api: recipe.api.map(ApplianceManifest.API.init), balancer: recipe.balancer ? true : nil)
    do throws(ManifestError) {
      return try manifest.encoded()
    } catch {
      throw BuildError(.content, "\(error)")
    }
  }

  private func directory(_ step: String) throws(BuildError) -> String {
    guard let result = results[step] else { throw BuildError(.content, "the step '\(step)' has no result") }
    return result.directory
  }

  private func digest(_ file: DomainFiles.File) throws(BuildError) -> String {
    switch file {
    case .host(_, let digest): return digest
    case .bytes(let bytes): return SHA256.hash(bytes).description
    case .step(let input):
      guard let digest = results[input.step]?.digests[input.file] else {
        throw BuildError(.content, "the step '\(input.step)' has no result \(input.file)")
      }
      return digest
    }
  }
}
