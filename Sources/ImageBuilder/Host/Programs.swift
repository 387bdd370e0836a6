internal import Binary
internal import Platform

/// Roost's own programs and files that go into an image.
struct Programs: Sendable {
  /// All that an image is made with.
  static let names = ["roost", appliance, initial, monitor]
  /// The control domain's programs in one; there they are links to it, as `links` has them.
  static let appliance = "roost-appliance"
  /// The initramfs's.
  static let initial = "roost-init"
  /// Runs a domain.
  static let monitor = "roost-vmm"
  /// Names of `appliance`.
  static let links = ["halt", "init", "poweroff", "reboot", "roost", "roost-init", "roost-storage", "roostd"]
  /// Serves the HTTP interface, where the recipe asks for one.
  static let gateway = "roost-gateway"
  static let hatchling = "hatchling.elf"
  static let bootMenu = "grub.cfg"

  /// Path on this machine by name.
  let paths: [String: String]
  /// The boot menu's template.
  let bootMenu: String

  /// Finds them: programs in `directory` (nil: beside the running one), `hatchling.elf` beside them or in a `build`
  /// directory above, the boot menu in an `iso` or `share/roost` directory above.
  init(directory: String?, needsHatchling: Bool, needsGateway: Bool = false) throws(BuildError) {
    let given = directory ?? "/proc/self/exe"
    let found = try attempt("cannot find Roost's programs") { () throws(SystemError) in try Files.resolve(given) }
    let home = directory == nil ? Self.parent(found) : found
    var paths: [String: String] = [:]
    for name in Self.names + (needsGateway ? [Self.gateway] : []) {
      guard Files.exists("\(home)/\(name)") else {
        throw BuildError(
          .missingProgram, "Roost's program \(name) is not in \(home)",
          hint: "build all programs ('make build'), or name their directory with --programs")
      }
      paths[name] = "\(home)/\(name)"
    }
    if needsHatchling {
      guard let path = Self.search(from: home, for: ["hatchling.elf", "build/hatchling.elf"]) else {
        throw BuildError(
          .missingProgram, "the guest hatchling.elf is neither in \(home) nor in a 'build' directory above it",
          hint: "build it with 'make hatchling'")
      }
      paths[Self.hatchling] = path
    }
    guard let menu = Self.search(from: home, for: ["grub.cfg", "iso/grub.cfg", "share/roost/grub.cfg"]) else {
      throw BuildError(
        .missingProgram, "the boot menu grub.cfg is neither in \(home) nor in an 'iso' directory above it",
        hint: "name the directory of Roost's programs with --programs")
    }
    bootMenu = menu
    self.paths = paths
  }

  private static func parent(_ path: String) -> String {
    "/" + path.split(separator: "/").dropLast().joined(separator: "/")
  }

  /// The first of `names` below `directory` or a directory above it.
  private static func search(from directory: String, for names: [String]) -> String? {
    var place = directory
    while true {
      for name in names where Files.exists("\(place)/\(name)") { return "\(place)/\(name)" }
      if place == "/" { return nil }
      place = parent(place)
    }
  }

  static let stepName = "programs"

  /// Strips the programs: their symbols are of no use in the appliance.
  func step(versions: [String: String]) throws(BuildError) -> Step {
    var settings = [versions["binutils"] ?? ""]
    for (name, path) in paths.sorted(by: { $0.key < $1.key }) {
      let digest = try attempt("cannot read \(name)") { () throws(SystemError) in try FileDigest.chunked(path) }
      settings.append("\(name) \(digest)")
    }
    return Step(
      name: Self.stepName, kind: "programs", version: 1, settings: settings, inputs: [], outputs: paths.keys.sorted()
    ) { context throws(BuildError) in
      for (name, path) in paths.sorted(by: { $0.key < $1.key }) {
        let output = "\(context.output)/\(name)"
        if name == Self.hatchling {
          let bytes = try attempt("cannot copy \(name)") { () throws(SystemError) in try Files.read(path) }
          try KernelFile.checkPVH(bytes, path: path)
          try attempt("cannot copy \(name)") { () throws(SystemError) in try Files.write(bytes, to: output) }
        } else {
          try context.run(["strip", "-o", output, path], doing: "cannot strip \(name)")
        }
      }
    }
  }
}
