internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// What a build is to do.
public struct BuildOptions: Sendable {
  /// Where the image goes.
  public var output: String
  /// URL of the packages' archive; nil leaves the choice to mmdebstrap.
  public var mirror: String?
  /// Directory of results and packages; nil for the user's own.
  public var cache: String?
  /// Directory of results, where it is not in that of the cache.
  public var results: String?
  /// How many steps run at once; nil for as many as there are processors.
  public var jobs: Int?
  /// Bytes of memory that they may take together; nil for three quarters of what is available.
  public var memory: Int?
  /// Directory of Roost's programs; nil for that of the running one.
  public var programs: String?
  /// Local copies by the names of the recipe's sources, taken instead of fetching.
  public var sources: [String: String] = [:]
  /// The versions to take, and the path of the file that says so.
  public var lock: (lock: RecipeLock, path: String)?
  /// Fetch nothing: take what the cache has, or fail.
  public var isOffline = false
  /// Fetch the packages' newest versions though the recipe did not change.
  public var update = false

  /// Everything by default but where the image goes.
  public init(output: String) {
    self.output = output
  }
}

/// The ordered list of steps that make an image out of a recipe.
struct BuildPlan: Sendable {
  let recipe: Recipe
  let steps: [Step]
  let domains: [DomainFiles]
  /// The step that made the control domain's root.
  let controlRoot: String
  let bootMenu: String
  /// The HTTP interface's certificate and its key, where the recipe brings them.
  let certificate: [(path: String, file: DomainFiles.File)]
  let epoch: Int
  let versions: [String: String]
  /// The lock that it is made by.
  let lockText: String?

  /// All times on the medium, unless SOURCE_DATE_EPOCH says otherwise: the release of Debian 13, 2025-08-09. It is a
  /// constant, so that a recipe gives the same bytes whenever it is built of the same packages.
  static let standardEpoch = 1_754_697_600

  init(_ recipe: Recipe, _ options: BuildOptions, versions: [String: String]) throws(BuildError) {
    self.recipe = recipe
    self.versions = versions
    let epoch = try Self.epoch()
    self.epoch = epoch
    let programs = try Programs(
      directory: options.programs, needsHatchling: recipe.domains.contains { $0.source == .hatchling },
      needsGateway: recipe.api != nil)
    bootMenu = programs.bootMenu
    certificate = try Self.certificate(recipe)

    if let (lock, path) = options.lock {
      try lock.check(try LockedWants(recipe, options), path: path)
      lockText = lock.text
    } else {
      lockText = nil
    }

    var steps: [Step] = []
    // 1. Root file systems, each release and list of packages once.
    let control = Self.controlRoot(recipe, options)
    controlRoot = control.name
    steps.append(control.step(epoch: epoch, versions: versions, isForced: options.update))
    for domain in recipe.domains {
      guard let root = DomainPlanner.root(of: domain, options), !steps.contains(where: { $0.name == root.name }) else {
        continue
      }
      steps.append(root.step(epoch: epoch, versions: versions, isForced: options.update))
    }
    // 2. The control domain: Roost's programs, the root, the initramfs.
    steps.append(try programs.step(versions: versions))
    steps.append(
      ControlRoot(
        hostname: recipe.controlDomain.hostname, root: control.name, hasGateway: recipe.api != nil,
        modules: .init(drivers: recipe.controlDomain.drivers, areUnpacked: recipe.image.compression == .xz),
        userland: Userland(recipe.controlDomain), compression: .root(recipe.image),
        changes: try SystemChanges(recipe.controlDomain.customization, owner: "control domain", recipe: recipe)
      ).step(epoch: epoch, versions: versions))
    steps.append(
      Initramfs(root: control.name, programs: Programs.stepName, compression: recipe.image.compression)
        .step(epoch: epoch, versions: versions))
    let sources = try SourceSet(
      recipe, copies: options.sources, versions: versions, mirror: options.mirror, update: options.update,
      lock: options.lock?.lock)
    // 3. The domains: what they boot, and their disks.
    var domains: [DomainFiles] = []
    for domain in recipe.domains {
      let planner = DomainPlanner(
        domain: domain, recipe: recipe, options: options, sources: sources, control: control.name, epoch: epoch,
        versions: versions)
      let (files, own) = try planner.plan()
      domains.append(files)
      for step in own where !steps.contains(where: { $0.name == step.name }) { steps.append(step) }
    }
    self.domains = domains
    // 4. All disks as one volume.
    var images: [ImagesVolume.Image] = []
    for files in domains {
      guard let source = files.disk else { continue }
      let disk = CompressedDisk(
        title: "\(files.domain.name): disk", source: source, compression: .disks(recipe.image), base: files.base)
      steps.append(disk.step(versions: versions))
      images.append(.init(domain: files.domain.name, compressed: disk.name))
    }
    let identity = ([recipe.name] + domains.map { "\($0.domain.name) \($0.domain.sourceDigest)" }).joined(
      separator: "\n")
    steps.append(
      ImagesVolume(
        images: images, ramBytes: recipe.storage.ramBytes, compression: .disks(recipe.image),
        seed: SHA256.hash("images\n\(identity)")
      ).step(epoch: epoch, versions: versions))
    // 5. The boot loader.
    steps.append(
      BootLoader(recipe, controlRoot: control.name, secureBoot: try SecureBoot(recipe)).step(
        epoch: epoch, versions: versions))
    // 6. What is in it.
    steps.append(
      try Self.billOfMaterials(recipe, options, control: control, sources, steps, versions).step(epoch: epoch))
    self.steps = steps
  }

  /// The control domain's root file system.
  static func controlRoot(_ recipe: Recipe, _ options: BuildOptions) -> DebianRoot {
    var root = DebianRoot(
      role: .control, suite: recipe.controlDomain.suite,
      packages: Set(recipe.controlDomain.packages + firmwarePackages(recipe) + gatewayPackages(recipe)).sorted(),
      mirror: options.mirror, owner: "control domain", bootPrograms: SignedProgram.taken(by: recipe.image.secureBoot))
    root.locked = options.lock?.lock.root(root.want)
    return root
  }

  private static func billOfMaterials(
    _ recipe: Recipe, _ options: BuildOptions, control: DebianRoot, _ sources: SourceSet, _ steps: [Step],
    _ versions: [String: String]
  ) throws(BuildError) -> BillOfMaterials {
    func root(_ root: DebianRoot) -> BillOfMaterials.Root {
      .init(name: root.name, packages: .init(step: root.name, file: PackageInventory.file))
    }
    var guests: [String: BillOfMaterials.Root] = [:]
    for domain in recipe.domains {
      guard let own = DomainPlanner.root(of: domain, options) else { continue }
      guests[domain.name] = domain.hasOnlyKernel ? root(own).kernel : root(own)
    }
    var contents: [String: Step.Input] = [:]
    for (name, source) in recipe.sources {
      if case .repository = source { continue }
      let product = try sources.content(name)
      if steps.contains(where: { $0.name == product.step.name }) { contents[name] = product.input }
    }
    var system = root(control)
    system.absent = .init(step: ControlRoot.stepName, file: ControlRoot.absentPackages)
    return BillOfMaterials(
      recipe: recipe, control: system, guests: guests, contents: contents,
      tools: versions.filter { BillOfMaterials.loaderPackages.contains($0.key) })
  }

  /// The packages that have the firmware which the recipe's domains start.
  private static func firmwarePackages(_ recipe: Recipe) -> [String] {
    recipe.domains.compactMap { domain in
      switch domain.boot {
      case .bios?: "seabios"
      case .uefi?: "ovmf"
      default: nil
      }
    }
  }

  /// Refuses what is no PEM file at once; whether they belong together is seen when the appliance reads them.
  private static func certificate(_ recipe: Recipe) throws(BuildError) -> [(path: String, file: DomainFiles.File)] {
    guard let pair = recipe.api?.certificate else { return [] }
    let pem = PEMPair(recipe, pair, of: "api")
    return [
      (ApplianceManifest.API.certificatePath, .bytes(try pem.certificate())),
      (ApplianceManifest.API.keyPath, .bytes(try pem.key())),
    ]
  }

  /// The package that makes a certificate where the recipe brings none.
  private static func gatewayPackages(_ recipe: Recipe) -> [String] {
    guard let api = recipe.api, api.listen != nil, api.certificate == nil else { return [] }
    return ["openssl"]
  }

  private static func epoch() throws(BuildError) -> Int {
    guard let text = ProcessEnvironment.value("SOURCE_DATE_EPOCH") else { return standardEpoch }
    guard let epoch = Int(text), epoch > 0 else {
      throw BuildError(
        .badFile, "SOURCE_DATE_EPOCH is '\(text)', which is no number of seconds since 1970",
        hint: "unset or correct it")
    }
    return epoch
  }
}
