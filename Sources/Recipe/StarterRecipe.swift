internal import Manifest

/// A recipe to start from, with comments for who has never seen one.
public struct StarterRecipe: Sendable {
  /// What a domain of it can be.
  public enum Guest: String, Sendable, Hashable, CaseIterable {
    case debian, freebsd, plan9, pc, hatchling

    /// What it is, in a line.
    public var summary: String {
      switch self {
      case .debian: "Debian 13, made of its packages while building"
      case .freebsd: "FreeBSD 15.1, made of its release's archives (a download of 280 MB)"
      case .plan9: "Plan 9, made of its repository (a download of 100 MB)"
      case .pc: "a machine with a BIOS, an empty disk and a CD, for any other system's installer"
      case .hatchling: "a few kilobytes of Swift on the bare machine"
      }
    }
  }

  /// The recipe's name, and its image's.
  public let name: String
  /// Its domains in their order; the same may be there more than once.
  public let guests: [Guest]

  /// The most that it may have.
  public static let limit = 16

  /// A recipe in the file at `path`, which is named after it, for these guests; for a Debian where there are none.
  ///
  /// Throws `RecipeError.unreadable` where the file's name makes no name of a recipe, or where there are too many guests.
  public init(path: String, guests: [Guest]) throws(RecipeError) {
    let file = path.split(separator: "/").last.map(String.init) ?? path
    guard let suffix = [".yaml", ".yml"].first(where: { file.hasSuffix($0) && file != $0 }) else {
      throw .unreadable(path: path, reason: "a recipe's file has a name such as lab.yaml")
    }
    name = String(file.dropLast(suffix.count))
    if let problem = Names.problem(name) {
      throw .unreadable(
        path: path, reason: "the recipe is called as its file, and '\(NodeReader.shown(name))' \(problem)")
    }
    guard guests.count <= Self.limit else {
      throw .unreadable(
        path: path, reason: "\(guests.count) guests are too many to start with; \(Self.limit) are the most")
    }
    self.guests = guests.isEmpty ? [.debian] : guests
  }

  /// The recipe. Its paths are those that are seen from its own folder.
  public var text: String {
    var counts: [Guest: Int] = [:]
    let domains = guests.map { guest in
      let count = (counts[guest] ?? 0) + 1
      counts[guest] = count
      return Self.domain(guest, count == 1 ? guest.rawValue : "\(guest.rawValue)-\(count)")
    }
    let sources = Self.sources(Set(guests))
    return """
      # A lab of your own. docs/recipe.md in Roost's sources says all that a recipe may have.
      #
      #   roost build \(name).yaml -o \(name).iso
      #   roost boot \(name).iso
      name: \(name)

      control-domain:               # owns the hardware; everything else runs under it
        suite: trixie               # the Debian release
        packages: []                # such as [openssh-server], for 'roost --host' from other machines

      storage:
        ram: 1 GiB                  # what the guests may write, all together, until a disk is their home

      network:
        subnet: 10.77.0.0/24        # guests reach each other by name, and the world through NAT

      \(sources.isEmpty ? "" : "sources:                      # fetched once, checked, kept\n\(sources)\n")domains:
      \(domains.joined(separator: "\n"))
      """
  }

  private static func sources(_ guests: Set<Guest>) -> String {
    var text = ""
    if guests.contains(.freebsd) {
      text += """
          freebsd-base:
            url: "https://download.freebsd.org/releases/amd64/amd64/15.1-RELEASE/base.txz"
            sha256: 3768988b151c20f965679062b065c63a977d6bbb9f47fd83695ec2c40790c18f
          freebsd-kernel:
            url: "https://download.freebsd.org/releases/amd64/amd64/15.1-RELEASE/kernel.txz"
            sha256: 49fea8ee25d0b1c523a02309efe4711d44a21ed0b36fb4191936a27a09324313

        """
    }
    if guests.contains(.plan9) {
      text += """
          plan9:
            git: "https://github.com/rsc/plan9"
            commit: 13bd0c334646e584ddecc1b7b106c0183b164273

        """
    }
    if guests.contains(.pc) {
      text += """
          ipxe:                       # a file out of a Debian package, which is not installed
            debian-file: {package: ipxe, path: usr/lib/ipxe/ipxe.iso, suite: trixie}

        """
    }
    return text
  }

  /// A domain, as an entry of the list.
  private static func domain(_ guest: Guest, _ name: String) -> String {
    switch guest {
    case .debian:
      """
        - name: \(name)
          os: Debian 13
          cpus: 1
          memory: 384 MiB           # or {start: 384 MiB, max: 1 GiB}, for 'roost mem-set'
          disk: 2 GiB               # takes room only for what is written
          network: true
          source:
            debian: {suite: trixie, packages: [], hostname: \(name)}   # packages: [nginx, nano] …
          ready: {console: "login:", timeout: 300 s}    # what its console shows when it is up

      """
    case .freebsd:
      """
        - name: \(name)             # root has no password
          os: FreeBSD 15.1
          memory: 256 MiB
          disk: 2 GiB
          network: true
          source: {freebsd: {base: freebsd-base, kernel: freebsd-kernel}}

      """
    case .plan9:
      """
        - name: \(name)               # its root is in RAM: what is written is gone with the power
          os: Plan 9
          memory: 128 MiB
          network: true
          source: {plan9: {tree: plan9, kernel: 9pcgz}}

      """
    case .pc:
      """
        - name: \(name)                  # firmware starts what it finds on its drives
          os: any
          memory: 512 MiB
          disk: 4 GiB               # empty, for an installer
          boot: bios                # or uefi
          cdrom: {from: ipxe}       # or a file of yours: install.iso
          network: true
          display: none             # the BIOS is on the console then; with vga, add 'vnc: {}' for a viewer
          ready: {console: "iPXE initialising devices", timeout: 300 s}

      """
    case .hatchling:
      """
        - name: \(name)
          os: Hatchling
          memory: 32 MiB
          source: {hatchling: {}}
          ready: {console: "hatchling> ", timeout: 60 s}

      """
    }
  }
}
