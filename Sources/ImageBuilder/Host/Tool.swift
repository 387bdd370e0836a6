internal import Manifest
internal import Platform
internal import Recipe

/// Programs of the host that a build runs.
enum Tool {
  /// The Debian package that has each program.
  static let packages = [
    "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "debugfs": "e2fsprogs", "dumpe2fs": "e2fsprogs",
    "resize2fs": "e2fsprogs", "mksquashfs": "squashfs-tools", "zstd": "zstd", "xz": "xz-utils", "depmod": "kmod",
    "gzip": "gzip", "tar": "tar", "strip": "binutils",
    "unshare": "util-linux", "newuidmap": "uidmap", "grub-mkimage": "grub-common", "grub-mkstandalone": "grub-common",
    "curl": "curl", "git": "git", "qemu-img": "qemu-utils", "makefs": "makefs", "sfdisk": "fdisk",
    "mformat": "mtools", "mmd": "mtools", "mcopy": "mtools", "mkfs.fat": "dosfstools", "veritysetup": "cryptsetup-bin",
    "objcopy": "binutils", "objdump": "binutils", "osslsigncode": "osslsigncode", "gpgv": "gpgv",
    "signify-openbsd": "signify-openbsd",
  ]

  /// Packages without programs whose files or code end up in an image.
  private static let libraries = ["grub-pc-bin", "grub-efi-amd64-bin", "libisofs-dev"]

  /// Programs that every build runs.
  static let required = [
    "mmdebstrap", "mke2fs", "debugfs", "dumpe2fs", "resize2fs", "mksquashfs", "depmod", "zstd", "tar", "grub-mkimage",
    "mformat", "mmd", "mcopy", "veritysetup",
  ]

  static func missing(_ tool: String) -> BuildError {
    let hint = packages[tool].map { "install it: apt-get install \($0)" }
    return BuildError(.missingTool, "the program \(tool) is not on this machine", hint: hint)
  }

  /// Programs that a build of `recipe` runs beside those that every build does. `copies` are not fetched.
  static func needed(by recipe: Recipe, copies: [String: String]) -> [String] {
    var tools: Set<String> = []
    for (name, source) in recipe.sources {
      switch source {
      case .download where copies[name] == nil: tools.insert("curl")
      case .repository: tools.insert("git")
      default: break
      }
    }
    if case .key = recipe.image.secureBoot { tools.formUnion(["objcopy", "objdump", "osslsigncode"]) }
    for signature in recipe.signatures.values {
      tools.insert(SignatureCheck.tool(key: recipe.resolve(signature.key)))
      if signature.isRemote { tools.insert("curl") }
    }
    if recipe.image.compression == .xz { tools.insert("xz") }
    for domain in recipe.domains {
      let system = domain.customization
      if !system.enabledServices.isEmpty || !system.disabledServices.isEmpty { tools.insert("unshare") }
      switch domain.source {
      case .freebsd: tools.formUnion(["makefs", "sfdisk", "unshare"])
      case .debian where domain.boot?.isFirmware == true: tools.insert("sfdisk")
      case .files(let files) where files.program != nil: tools.insert("sfdisk")
      default: break
      }
    }
    return tools.sorted()
  }

  /// Refuses at once when a program is missing, naming all that are.
  static func checkHost(also more: [String] = []) throws(BuildError) {
    var tools = required + more
    if !ProcessEnvironment.isSuperuser { tools += ["unshare", "newuidmap"] }
    let missing = tools.filter { Command.find($0) == nil }
    guard !missing.isEmpty else { return }
    let wanted = Set(missing.compactMap { packages[$0] }).sorted().joined(separator: " ")
    throw BuildError(
      .missingTool, "this machine lacks \(missing.joined(separator: ", "))", hint: "install: apt-get install \(wanted)")
  }

  /// `package version` of the tools' Debian packages: another version may make other bytes.
  static func versions(_ cancellation: Cancellation) throws(BuildError) -> [String: String] {
    let names = Set(packages.values).union(libraries).sorted()
    let command = Command(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"] + names)
    guard let outcome = try? command.run(cancellation: cancellation) else {
      try cancellation.check()
      return [:]
    }
    var versions: [String: String] = [:]
    for line in outcome.text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2 { versions[String(words[0])] = String(words[1]) }
    }
    return versions
  }

  /// `arguments` as they are run where the files of a root file system belong to their real owners: as they are for
  /// the superuser, in a user namespace with the user's subordinate ids for everybody else.
  static func withOwners(_ arguments: [String]) -> [String] {
    ProcessEnvironment.isSuperuser
      ? arguments : ["unshare", "--map-root-user", "--map-auto", "--"] + arguments
  }

  /// `arguments` as `withOwners` has them, with mounts of their own that end with them.
  static func withMounts(_ arguments: [String]) -> [String] {
    (ProcessEnvironment.isSuperuser ? ["unshare"] : ["unshare", "--map-root-user", "--map-auto"])
      + ["--mount", "--"] + arguments
  }
}
