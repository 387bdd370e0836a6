internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// What a domain has on the medium: files for its direct boot, its disk, and what is in its drives.
struct DomainFiles: Sendable {
  /// One file for the medium.
  enum File: Sendable {
    case step(Step.Input)
    /// A file of this machine, with its digest.
    case host(String, digest: String)
    /// A small file that the recipe itself says.
    case bytes([UInt8])
  }

  /// A file that the kernel is handed.
  struct Module: Sendable {
    let file: File
    let commandLine: String
  }

  let domain: Recipe.Domain
  var kernel: File?
  var initrd: File?
  var modules: [Module] = []
  var disk: ImagesVolume.Source?
  /// The step that compressed what its disk began as.
  var base: String?
  var cdrom: File?
  var floppy: File?
  var commandLine = ""

  static func kernelPath(_ name: String) -> String { "/roost/domains/\(name)/kernel" }
  static func initrdPath(_ name: String) -> String { "/roost/domains/\(name)/initrd" }
  private static func modulePath(_ name: String, _ index: Int) -> String { "/roost/domains/\(name)/module-\(index)" }
  private static func cdromPath(_ name: String) -> String { "/roost/domains/\(name)/cdrom.iso" }
  private static func floppyPath(_ name: String) -> String { "/roost/domains/\(name)/floppy.img" }
  private static func passwordPath(_ name: String) -> String { "/roost/domains/\(name)/vnc-password" }

  /// Where each file lies on the medium.
  var placed: [(path: String, file: File)] {
    let name = domain.name
    var placed: [(path: String, file: File)] = []
    if let kernel { placed.append((Self.kernelPath(name), kernel)) }
    if let initrd { placed.append((Self.initrdPath(name), initrd)) }
    for (index, module) in modules.enumerated() { placed.append((Self.modulePath(name, index), module.file)) }
    if let cdrom { placed.append((Self.cdromPath(name), cdrom)) }
    if let floppy { placed.append((Self.floppyPath(name), floppy)) }
    if let password = domain.hardware.vnc?.password {
      placed.append((Self.passwordPath(name), .bytes(Array(password.utf8))))
    }
    return placed
  }

  /// What the manifest says of it. `locate` tells where a file is that a step made or the recipe names.
  func manifest(
    _ recipe: Recipe, locate: (File) throws(BuildError) -> String
  ) throws(BuildError) -> ApplianceManifest.Domain {
    let name = domain.name
    var method = domain.boot ?? .bios
    if let kernel {
      method = try Self.method(of: domain, kernel: try locate(kernel), named: Self.shown(kernel))
    }
    var description: ApplianceManifest.Disk?
    if let disk {
      let size: Int
      switch disk {
      case .step(let input): size = try self.size(try locate(.step(input)))
      case .file(let path, _): size = try self.size(path)
      }
      description = .init(imageVolume: "image-\(name)", volume: name, bytes: try diskSize(image: size))
    }
    return ApplianceManifest.Domain(
      domain, in: recipe,
      boot: .init(
        method: method, kernel: kernel == nil ? nil : Self.kernelPath(name),
        initrd: initrd == nil ? nil : Self.initrdPath(name),
        modules: modules.isEmpty
          ? nil
          : modules.enumerated().map { .init(file: Self.modulePath(name, $0), commandLine: $1.commandLine) },
        commandLine: commandLine),
      disk: description, cdrom: cdrom == nil ? nil : Self.cdromPath(name),
      floppy: floppy == nil ? nil : Self.floppyPath(name),
      vnc: domain.hardware.vnc.map { .init(passwordFile: $0.password == nil ? nil : Self.passwordPath(name)) })
  }

  private func size(_ path: String) throws(BuildError) -> Int {
    try attempt("\(domain.name): cannot read its disk") { () throws(SystemError) in
      try Files.status(path, followingLinks: true)?.size ?? 0
    }
  }

  /// The disk's size as the recipe has it, or else the image's own in whole extents.
  private func diskSize(image: Int) throws(BuildError) -> Int {
    let extent = VolumeGroupImage.extentSize
    let whole = (image + extent - 1) / extent * extent
    guard let wanted = domain.diskBytes else { return whole }
    guard image <= wanted else {
      throw BuildError(
        .diskTooSmall, "\(domain.name): its disk's image has \(whole >> 20) MiB, and its disk \(wanted >> 20) MiB",
        hint: "give it 'disk: \(whole >> 20) MiB' or more in the recipe, or leave 'disk' out")
    }
    return wanted
  }

  /// Checks a file that the recipe names and takes its digest.
  static func hostFile(_ path: String, of domain: Recipe.Domain, _ what: String) throws(BuildError) -> File {
    .host(path, digest: try digest(path, of: domain, what))
  }

  static func digest(_ path: String, of domain: Recipe.Domain, _ what: String) throws(BuildError) -> String {
    guard let status = try? Files.status(path, followingLinks: true), status.kind == .regular else {
      throw BuildError(
        .badFile, "\(domain.name): there is no file \(path) to be its \(what)",
        hint: "correct the path in the recipe; relative ones start at the recipe's directory")
    }
    return try attempt("\(domain.name): cannot read its \(what)") { () throws(SystemError) in
      try FileDigest.chunked(path).description
    }
  }

  /// How a kernel's file is entered; refuses one that the domain's boot method cannot enter.
  @discardableResult
  static func method(
    of domain: Recipe.Domain, kernel path: String, named name: String
  ) throws(BuildError) -> BootMethod {
    let bytes = try attempt("\(domain.name): cannot read its kernel") { () throws(SystemError) in
      try Files.read(path)
    }
    return try KernelFile.method(of: bytes, wanted: domain.boot, path: name)
  }

  private static func shown(_ file: File) -> String {
    switch file {
    case .step(let input): "\(input.file) of '\(input.step)'"
    case .host(let path, _): path
    case .bytes: "the kernel"
    }
  }
}
