internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// What a domain has on the medium: files for its direct boot, and its disk.
struct DomainFiles: Sendable {
  /// One file for the medium.
  enum File: Sendable {
    case step(Step.Input)
    /// A file of this machine, with its digest.
    case host(String, digest: String)
  }

  let domain: Recipe.Domain
  let kernel: File
  let initrd: File?
  let disk: ImagesVolume.Source?
  let commandLine: String

  static func kernelPath(_ name: String) -> String { "/roost/domains/\(name)/kernel" }
  static func initrdPath(_ name: String) -> String { "/roost/domains/\(name)/initrd" }

  /// What the manifest says of it.
  func manifest(_ recipe: Recipe) -> ApplianceManifest.Domain {
    ApplianceManifest.Domain(
      domain, in: recipe,
      boot: .init(
        method: domain.boot, kernel: Self.kernelPath(domain.name),
        initrd: initrd == nil ? nil : Self.initrdPath(domain.name), commandLine: commandLine),
      disk: disk == nil
        ? nil
        : .init(imageVolume: "image-\(domain.name)", volume: domain.name, bytes: domain.diskBytes ?? 0))
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

  /// Refuses a file that the domain's boot method cannot enter.
  static func checkKernel(_ path: String, of domain: Recipe.Domain) throws(BuildError) {
    let bytes = try attempt("\(domain.name): cannot read its kernel") { () throws(SystemError) in
      try Files.read(path)
    }
    switch domain.boot {
    case .linux: try KernelFile.checkLinux(bytes, path: path)
    case .pvh: try KernelFile.checkPVH(bytes, path: path)
    }
  }
}
