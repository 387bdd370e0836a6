internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// What ships in an image, as a file in the image and beside it. SPDX rather than CycloneDX: licences are its own subject,
/// down to `NOASSERTION` and the texts of those without a name, and a root file system simply contains its packages.
struct BillOfMaterials: Sendable {
  static let stepName = "bill of materials"
  static let file = "sbom.spdx.json"
  /// Where it lies on the medium.
  static let path = "/roost/sbom.spdx.json"

  /// `lab.spdx.json` beside `lab.iso`.
  static func sidecar(of image: String) -> String {
    let base = image.hasSuffix(".iso") ? String(image.dropLast(4)) : image
    return "\(base).spdx.json"
  }

  let recipe: Recipe
  /// The control domain's root.
  let control: Root
  /// Roots of domains, by the domain's name.
  let guests: [String: Root]
  /// Steps that have the contents of sources whose digest the recipe does not say, by the sources' names.
  let contents: [String: Step.Input]
  /// Packages of this machine's whose code is on the medium, by name, with their versions.
  let tools: [String: String]

  /// A root file system and where its packages are listed.
  struct Root: Sendable, Hashable {
    let name: String
    let packages: Step.Input
    /// The names of packages that were left out of it, a line each.
    var absent: Step.Input?
    /// Whether nothing of it is in the image but its kernel.
    var isKernelOnly = false

    func has(_ package: InstalledPackage) -> Bool { !isKernelOnly || package.name.hasPrefix("linux-image-") }
  }

  /// Packages whose code the boot loader's images are.
  static let loaderPackages = ["grub-pc-bin", "grub-efi-amd64-bin"]

  func step(epoch: Int) throws(BuildError) -> Step {
    let roots = ([control] + guests.values.sorted { $0.name < $1.name }).reduce(into: [Root]()) { list, root in
      if !list.contains(root) { list.append(root) }
    }
    let inputs = roots.map(\.packages) + roots.compactMap(\.absent) + contents.sorted { $0.key < $1.key }.map(\.value)
    var settings = ["\(epoch)", "\(recipe.digest)", RoostVersion.current]
    settings += tools.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    settings += libraries.map { "\($0.name) \($0.version ?? "") \($0.location ?? "") \($0.license)" }
    settings += guests.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.name)" } + contents.keys.sorted()
    for (path, _) in localFiles {
      settings.append(
        try attempt("cannot read \(path)") { () throws(SystemError) in
          try FileDigest.chunked(path).description
        })
    }
    return Step(
      name: Self.stepName, kind: "bill-of-materials", version: 2, settings: settings, inputs: inputs,
      outputs: [Self.file]
    ) { context throws(BuildError) in
      let document = try document(context)
      let output = "\(context.output)/\(Self.file)"
      let bytes = try StableJSON.encode(document)
      try attempt("cannot write the bill of materials") { () throws(SystemError) in
        try Files.write(bytes, to: output)
      }
    }
  }

  private var libraries: [LinkedLibrary] { LinkedLibrary.all.filter { !$0.isGateways || recipe.api != nil } }

  /// The recipe's own files and what each is; a source that is one has its name.
  private var localFiles: [(path: String, domain: String)] {
    recipe.domains.flatMap { domain in
      domain.references.compactMap { reference in
        guard case .path(let path) = reference else { return nil }
        return (Self.place(recipe.resolve(path)), domain.name)
      }
    }
  }

  /// A file of the recipe's, or the list that says what is in a folder.
  private static func place(_ path: String) -> String {
    (try? Files.status(path, followingLinks: true))?.kind == .directory ? "\(path)/index.json" : path
  }

  private static let appliance = "SPDXRef-appliance"
  private static let loader = "SPDXRef-boot-loader"
  static let roost = "SPDXRef-roost"

  private func document(_ context: borrowing StepContext) throws(BuildError) -> SPDXDocument {
    var document = SPDXDocument(
      name: recipe.name, epoch: context.epoch, version: RoostVersion.current)
    var appliance = SPDXDocument.Package(Self.appliance, recipe.name)
    appliance.primaryPackagePurpose = "OPERATING-SYSTEM"
    appliance.comment = "Volume \(VolumeUUID(digest: recipe.digest)); recipe SHA-256 \(recipe.digest)"
    document.packages.append(appliance)
    document.relate(document.SPDXID, "DESCRIBES", Self.appliance)
    addLoader(to: &document)
    addRoost(to: &document)
    var texts: [String: String] = [:]
    var done: Set<Root> = []
    try add(control, to: &document, &texts, &done, context)
    document.relate(Self.appliance, "CONTAINS", identifier(of: control))
    for domain in recipe.domains {
      let own = "SPDXRef-domain-\(SPDXIdentifier.plain(domain.name))"
      var package = SPDXDocument.Package(own, domain.name)
      package.comment = "A domain: \(domain.os)"
      document.packages.append(package)
      document.relate(Self.appliance, "CONTAINS", own)
      if let root = guests[domain.name] {
        try add(root, to: &document, &texts, &done, context)
        document.relate(own, "CONTAINS", identifier(of: root))
      }
      if case .hatchling = domain.source { document.relate(own, "CONTAINS", Self.roost) }
      for reference in domain.references {
        let source = try self.source(reference, context)
        if !document.packages.contains(where: { $0.SPDXID == source.SPDXID }) { document.packages.append(source) }
        document.relate(own, "GENERATED_FROM", source.SPDXID)
      }
    }
    document.hasExtractedLicensingInfos = texts.sorted { $0.key < $1.key }.map {
      .init(licenseId: $0.key, extractedText: $0.value)
    }
    // Two documents that differ have different names, and equal ones the same.
    document.nameSpace(by: SHA256.hash(try StableJSON.encode(document)))
    return document
  }

  private func addLoader(to document: inout SPDXDocument) {
    var loader = SPDXDocument.Package(Self.loader, "boot loader")
    loader.comment = "Images made of the packages of the machine that built the medium"
    document.packages.append(loader)
    document.relate(Self.appliance, "CONTAINS", Self.loader)
    for (name, version) in tools.sorted(by: { $0.key < $1.key }) {
      var package = SPDXDocument.Package(SPDXIdentifier.make("SPDXRef-deb-", name, distinguishedBy: version), name)
      package.versionInfo = version
      package.purl = "pkg:deb/debian/\(PackageURL.encode(name))@\(PackageURL.encode(version))?arch=amd64"
      document.packages.append(package)
      document.relate(Self.loader, "GENERATED_FROM", package.SPDXID)
    }
  }

  private func addRoost(to document: inout SPDXDocument) {
    var roost = SPDXDocument.Package(Self.roost, "roost", version: RoostVersion.current)
    roost.primaryPackagePurpose = "APPLICATION"
    document.packages.append(roost)
    document.relate(Self.appliance, "CONTAINS", Self.roost)
    for library in libraries {
      let identifier = "SPDXRef-library-\(SPDXIdentifier.plain(library.name))"
      var package = SPDXDocument.Package(identifier, library.name, version: library.version)
      package.downloadLocation =
        library.location.map { "git+\($0)\(library.version.map { "@\($0)" } ?? "")" }
        ?? SPDXDocument.noAssertion
      package.licenseDeclared = library.license
      package.primaryPackagePurpose = "LIBRARY"
      package.purl = library.purl
      document.packages.append(package)
      document.relate(Self.roost, "STATIC_LINK", identifier)
    }
  }

  private func identifier(of root: Root) -> String {
    SPDXIdentifier.make(ImageReport.rootPrefix, root.name, distinguishedBy: "root")
  }

  private func add(
    _ root: Root, to document: inout SPDXDocument, _ texts: inout [String: String], _ done: inout Set<Root>,
    _ context: borrowing StepContext
  ) throws(BuildError) {
    guard done.insert(root).inserted else { return }
    let inventory = try PackageInventory(file: try context.input(root.packages.step, root.packages.file))
    let absent = try self.absent(root, context)
    let packages = inventory.packages.filter { root.has($0) && !absent.contains($0.name) }
    let own = identifier(of: root)
    var package = SPDXDocument.Package(own, root.name)
    package.comment = "Copyright files: /usr/share/doc/PACKAGE/copyright and /usr/share/common-licenses in this root"
    document.packages.append(package)
    let used = packages.compactMap(\.license)
    texts.merge(inventory.texts.filter { text in used.contains { $0.contains(text.key) } }) { first, _ in first }
    var known = Set(document.packages.map(\.SPDXID))
    var relations: [SPDXDocument.Relationship] = []
    for item in packages {
      let entry = debian(item, suite: inventory.suite)
      if known.insert(entry.SPDXID).inserted { document.packages.append(entry) }
      relations.append(
        .init(spdxElementId: own, relationshipType: "CONTAINS", relatedSpdxElement: entry.SPDXID))
    }
    document.relationships += relations
  }

  private func absent(_ root: Root, _ context: borrowing StepContext) throws(BuildError) -> Set<String> {
    guard let absent = root.absent else { return [] }
    let path = try context.input(absent.step, absent.file)
    let text = try attempt("cannot read \(path)") { () throws(SystemError) in try Files.readText(path) }
    return Set(text.split(separator: "\n").map(String.init))
  }

  private func debian(_ item: InstalledPackage, suite: String) -> SPDXDocument.Package {
    let seed = "\(item.version) \(item.architecture) \(suite) \(item.sha256 ?? "")"
    var package = SPDXDocument.Package(
      SPDXIdentifier.make("SPDXRef-deb-", item.name, distinguishedBy: seed), item.name, version: item.version)
    package.supplier = "Organization: Debian"
    package.sourceInfo = "built from the source package \(item.source) \(item.sourceVersion)"
    package.licenseDeclared = item.license ?? SPDXDocument.noAssertion
    package.sha256 = item.sha256
    package.purl = item.purl(suite: suite)
    return package
  }

  private func source(
    _ reference: Recipe.FileReference, _ context: borrowing StepContext
  ) throws(BuildError) -> SPDXDocument.Package {
    switch reference {
    case .path(let path):
      let sha256 = try plainDigest(Self.place(recipe.resolve(path)))
      let name = path.split(separator: "/").last.map(String.init) ?? path
      var package = SPDXDocument.Package(SPDXIdentifier.make("SPDXRef-file-", name, distinguishedBy: sha256), name)
      package.sha256 = sha256
      return package
    case .source(let name, _):
      var package = SPDXDocument.Package("SPDXRef-source-\(SPDXIdentifier.plain(name))", name)
      switch recipe.sources[name] {
      case .download(let url, let sha256)?:
        package.downloadLocation = url
        package.sha256 = "\(sha256)"
      case .repository(let url, let commit)?:
        package.downloadLocation = "git+\(url)@\(commit)"
        package.versionInfo = commit
      case .debianFile(let suite, let origin, let path)?:
        package.sourceInfo = "\(path) of the package \(origin) of Debian \(suite)"
      case .file?, nil: break
      }
      if package.sha256 == nil, let input = contents[name] {
        package.sha256 = try plainDigest(try context.input(input.step, input.file))
      }
      return package
    }
  }

  private func plainDigest(_ path: String) throws(BuildError) -> String {
    try attempt("cannot read \(path)") { () throws(SystemError) in try FileDigest.plain(path).description }
  }
}

extension Recipe.Domain {
  /// Every file and source that the domain is made of.
  var references: [Recipe.FileReference] {
    var references: [Recipe.FileReference?] = []
    switch source {
    case .debian, .hatchling: break
    case .freebsd(let base, let kernel, _): references += [.source(base, path: nil), .source(kernel, path: nil)]
    case .plan9(let tree, _, _): references.append(.source(tree, path: nil))
    case .image(let root): references.append(root.image)
    // What is in it is in the recipe's own folder, as what 'files' brings is.
    case .folder: break
    case .files(let files):
      references += [files.kernel, files.initrd] + files.modules.map { $0.file } + [files.image, files.program]
    }
    return (references + [hardware.cdrom, hardware.floppy]).compactMap { $0 }
  }
}
