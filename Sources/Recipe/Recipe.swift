public import Manifest
public import Binary

/// What one appliance is made of: the control domain, its storage and network, and the domains it runs.
///
/// A value of this type was validated: names are unique DNS labels, sizes are in range, and what belongs
/// together is there together. `Recipe.load` and `Recipe.parse` are the only ways to make one.
public struct Recipe: Sendable, Hashable {
  /// Name of the appliance, a DNS label.
  public let name: String
  /// The domain that owns the hardware.
  public let controlDomain: ControlDomain
  /// Where guests' writes go.
  public let storage: StorageSettings
  /// The network that the domains share.
  public let network: NetworkSettings
  /// Other networks, in the order of their names.
  public let networks: [VirtualNetwork]
  /// What is fetched from elsewhere, by the names that domains use.
  public let sources: [String: Source]
  /// Who vouches for some of them, by the same names. Not a part of the digest: what they are is pinned.
  public var signatures: [String: SourceSignature] = [:]
  /// The domains in the order of the recipe; never empty.
  public let domains: [Domain]
  /// The HTTP interface, if there is to be one.
  public let api: API?
  /// Whether memory is moved between domains as they need it.
  public let balancer: Bool
  /// How the image is packed.
  public let image: ImageSettings
  /// Folder of the recipe's file; relative paths in it start here. Not a part of the digest.
  public let directory: String

  /// The control domain's system.
  public struct ControlDomain: Sendable, Hashable {
    /// Debian release, such as `trixie`.
    public let suite: String
    /// Host name, a DNS label.
    public let hostname: String
    /// Debian packages beside those that Roost needs; sorted and unique.
    public let packages: [String]
    /// What its kernel is told beside what Roost tells it.
    public let commandLine: String
    /// The machines whose hardware it drives.
    public let drivers: Drivers
    /// Whose programs a shell finds there.
    public let userland: Userland
    /// What else is said of its system; no services and no first boot, which are guests'.
    public let customization: Customization

    /// Programs beside those that Roost calls itself.
    public enum Userland: String, Sendable, Hashable, CaseIterable {
      /// Bash, GNU's and util-linux's.
      case gnu
      /// Busybox's.
      case busybox
    }

    /// Kernel modules that an image has.
    public enum Drivers: String, Sendable, Hashable, CaseIterable {
      /// All that a machine without a desktop may want.
      case all
      /// Those for desktop and portable computers and for virtual machines: no adapters and no file systems of servers'.
      case pc
    }
  }

  /// How an image is packed.
  public struct ImageSettings: Sendable, Hashable {
    /// What its file systems are compressed by.
    public let compression: Compression
    /// How hard, 1...22, with zstd; nil for what suits each.
    public let level: Int?
    /// Who signs what UEFI starts.
    public let secureBoot: SecureBoot

    /// Ways to compress that the kernel reads.
    public enum Compression: String, Sendable, Hashable, CaseIterable {
      /// Fast to read.
      case zstd
      /// Smaller, slower to make and to read.
      case xz
    }

    static let standard = ImageSettings(compression: .zstd, level: nil, secureBoot: .debian)
  }

  /// Who signs what UEFI starts: with Secure Boot on, firmware starts nothing else.
  public enum SecureBoot: Sendable, Hashable {
    /// Debian: its shim, which most firmware trusts, starts its GRUB and kernel.
    case debian
    /// Nobody: GRUB is made for this medium alone, and is smaller.
    case none
    /// Whoever has the key of the recipe's: kernel, initramfs and command line are one signed program.
    case key(Certificate)
  }

  /// Live storage.
  public struct StorageSettings: Sendable, Hashable {
    /// Size of the RAM-backed physical volume; a multiple of 4 MiB.
    public let ramBytes: Int
    /// Devices that come over the network, in the order of their names.
    public let remotes: [RemoteRequest]
  }

  /// The network that the domains share.
  public struct NetworkSettings: Sendable, Hashable {
    /// Its addresses; the control domain has the first.
    public let subnet: IPv4Subnet
  }

  /// A network beside the one that all appliances have.
  public struct VirtualNetwork: Sendable, Hashable {
    /// Unique; a DNS label.
    public let name: String
    /// How it reaches the outside.
    public let mode: NetworkMode
    /// Its addresses, of which the control domain has the first; nil where the appliance gives none.
    public let subnet: IPv4Subnet?
    /// Which domain's address is the way out of an isolated network.
    public let router: IPv4Address?
    /// The machine's card that is bridged; nil for the first that there is.
    public let card: String?
  }

  /// The HTTP interface.
  public struct API: Sendable, Hashable {
    /// Where it listens for TLS connections; nil for the unix socket only.
    public let listen: ListenAddress?
    /// Files with the certificate and its key, as PEM; relative paths start at `Recipe.directory`.
    public let certificate: Certificate?
    /// Who may use it over TLS, in the order of the recipe.
    public let tokens: [ApplianceManifest.Token]
  }

  /// A certificate and its key.
  public struct Certificate: Sendable, Hashable {
    /// The file with the certificate and what is between it and its root.
    public let certificate: String
    /// The file with its key.
    public let key: String
  }

  /// One guest.
  public struct Domain: Sendable, Hashable {
    /// Unique in the recipe; a DNS label.
    public let name: String
    /// Its operating system as people call it, such as `Debian 13`.
    public let os: String
    /// Virtual CPUs that it starts with, 1...64.
    public let cpus: Int
    /// Virtual CPUs that it may have while it runs; nil for those that it starts with, which stay.
    public let cpusMaximum: Int?
    /// Memory that it starts with, and what it may be set to while it runs; multiples of 1 MiB.
    public let memory: MemoryBounds
    /// Size of its disk, a multiple of 4 MiB; nil for a domain without one, or with one as large as its image.
    public let diskBytes: Int?
    /// Its network cards, in the order of the recipe.
    public let cards: [CardSpec]
    /// How its kernel is entered, or what firmware runs; nil for what the kernel's file says.
    public let boot: BootMethod?
    /// The rest of its machine.
    public let hardware: Hardware
    /// What the kernel is told, after what the source itself tells it.
    public let commandLine: String
    /// Where its kernel and disk come from.
    public let source: DomainSource
    /// What else is said of its system, where that is a Debian.
    public let customization: Customization
    /// What it may take of the machine; nil for no limits.
    public let limits: ResourceLimits?
    /// Whether it is started with the appliance.
    public let autostart: Bool
    /// The domains that it starts after, and goes down before.
    public let after: [String]
    /// How one knows that it is up.
    public let ready: Readiness
    /// What happens when the guest resets itself.
    public let onReboot: LifecycleAction
    /// What happens when the guest crashes.
    public let onCrash: LifecycleAction
  }

  /// Devices of a domain that most do without or have in their usual form.
  public struct Hardware: Sendable, Hashable {
    /// What its disk is attached to.
    public var diskBus = DiskBus.virtio
    /// What its network card is.
    public var nic = NetworkModel.virtio
    /// What it shows beside its serial line.
    public var display = Display.nothing
    /// How its display is reached, if it is.
    public var vnc: VNC?
    /// What processor it sees.
    public var cpu = CPUModel.host
    /// Whether disks can be attached to it and detached while it runs.
    public var hotplug = false
    /// The image in its CD drive, if it has one.
    public var cdrom: FileReference?
    /// The image in its floppy drive, if it has one.
    public var floppy: FileReference?
  }

  /// How a domain's display is reached.
  public struct VNC: Sendable, Hashable {
    /// At most 8 ASCII characters (RFC 6143, section 7.2.2); nil for none.
    public let password: String?
  }

  /// Where a domain's kernel and disk come from.
  public enum DomainSource: Sendable, Hashable {
    /// A Debian system, made while building.
    case debian(suite: String, packages: [String], hostname: String)
    /// The bare-metal guest that comes with Roost.
    case hatchling
    /// A FreeBSD system out of its release's archives, which are sources.
    case freebsd(base: String, kernel: String, hostname: String)
    /// A small Plan 9 out of a repository of its distribution.
    case plan9(tree: String, kernel: Plan9Kernel, hostname: String)
    /// A root file system that is an OCI image, with Debian's kernel.
    case image(ImageRoot)
    /// A root file system that is a folder, with Debian's kernel.
    case folder(FolderRoot)
    /// Files that are there already.
    case files(Files)
  }

  /// Kernels of Plan 9's that come with all that a domain needs.
  public enum Plan9Kernel: String, Sendable, Hashable, CaseIterable {
    /// 32-bit; its root is unpacked into RAM, and what is written there goes with it.
    case ram32 = "9pcgz"
    /// 32-bit, with a fossil file system.
    case fossil32 = "9pcf"
    /// 64-bit, with a fossil file system and several processors.
    case fossil64 = "9k10f"
  }

  /// A domain's files, none of which Roost makes.
  public struct Files: Sendable, Hashable {
    /// What is entered; nil where firmware runs.
    public var kernel: FileReference?
    /// Its initial RAM disk.
    public var initrd: FileReference?
    /// What else it is handed, in order.
    public var modules: [Module] = []
    /// The image that its disk begins with; nil for a disk of zeros.
    public var image: FileReference?
    /// A program for UEFI firmware, which a disk is made of in the image's place.
    public var program: FileReference?
  }

  /// A file that a kernel is handed.
  public struct Module: Sendable, Hashable {
    /// The file.
    public let file: FileReference
    /// Its own command line.
    public let commandLine: String
  }

  /// Something that comes from elsewhere and is pinned to what it is.
  public enum Source: Sendable, Hashable {
    /// A file that is downloaded.
    case download(url: String, sha256: SHA256.Digest)
    /// One commit of a git repository; the commit is 40 hexadecimal digits.
    case repository(url: String, commit: String)
    /// A file of the user's; a relative path starts at `Recipe.directory`.
    case file(path: String, sha256: SHA256.Digest?)
    /// A file out of a package of Debian's archive, whose signatures vouch for it.
    case debianFile(suite: String, package: String, path: String)
  }

  /// A file that a domain needs.
  public enum FileReference: Sendable, Hashable {
    /// The user's; a relative path starts at `Recipe.directory`.
    case path(String)
    /// A source of the recipe's, or the file at `path` in it where it is an archive, a disc or a repository.
    case source(String, path: String?)
  }

  /// How one knows that a domain is up.
  public struct Readiness: Sendable, Hashable {
    /// Text that its console shows then.
    public let consoleText: String
    /// How long it may take.
    public let timeoutSeconds: Int
  }
}

extension Recipe {
  /// SHA-256 of the recipe's meaning: comments, order of keys, and ways to write a size do not change it.
  public var digest: SHA256.Digest {
    var text = CanonicalText()
    text.add("recipe", "1")
    text.add("name", name)
    text.add("control-domain.suite", controlDomain.suite)
    text.add("control-domain.hostname", controlDomain.hostname)
    text.add("control-domain.packages", controlDomain.packages)
    if !controlDomain.commandLine.isEmpty { text.add("control-domain.command-line", controlDomain.commandLine) }
    if controlDomain.drivers != .all { text.add("control-domain.drivers", controlDomain.drivers.rawValue) }
    if controlDomain.userland != .gnu { text.add("control-domain.userland", controlDomain.userland.rawValue) }
    if !controlDomain.customization.isEmpty { text.add("control-domain.system", controlDomain.customization.words) }
    if image.compression != .zstd || image.level != nil {
      text.add("image", [image.compression.rawValue, image.level.map { "\($0)" } ?? ""])
    }
    switch image.secureBoot {
    case .debian: break
    case .none: text.add("image.secure-boot", "none")
    case .key(let pair): text.add("image.secure-boot", [pair.key, pair.certificate])
    }
    text.add("storage.ram", "\(storage.ramBytes)")
    for remote in storage.remotes {
      text.add("remote", [remote.name, remote.address.description, remote.use.rawValue, remote.attach ?? ""])
    }
    text.add("network.subnet", network.subnet.description)
    for network in networks {
      text.add(
        "virtual-network",
        [
          network.name, network.mode.rawValue, network.subnet?.description ?? "", network.router?.description ?? "",
          network.card ?? "",
        ])
    }
    for (name, source) in sources.sorted(by: { $0.key < $1.key }) {
      text.add("source", name)
      text.add("pin", source.words)
    }
    for domain in domains { domain.describe(to: &text) }
    if balancer { text.add("balancer", "true") }
    if let api {
      text.add("api", [api.listen?.description ?? "", api.certificate?.certificate ?? "", api.certificate?.key ?? ""])
      for token in api.tokens { text.add("api.token", [token.name, token.role.rawValue, token.sha256]) }
    }
    return SHA256.hash(text.text)
  }

  /// The identifier that `name` has in this recipe: the same on every machine, and another one in any other recipe.
  public func uuid(for name: String) -> UUID {
    UUID(digest: digest, name: name)
  }

  /// The network cards of each domain, by the domain's name. A hardware address follows from the recipe; an IPv4 address
  /// that the recipe leaves open is the next of its network, from the tenth on, in the order of the recipe.
  public var networkCards: [String: [ApplianceManifest.NetworkCard]] {
    let digest = digest
    var taken: Set<[UInt8]> = []
    var addresses = AddressRoom(self)
    var cards: [String: [ApplianceManifest.NetworkCard]] = [:]
    for domain in domains {
      cards[domain.name] = domain.cards.enumerated().map { index, spec in
        let owner = index == 0 ? domain.name : "\(domain.name).\(index)"
        var attempt = 0
        var tail: [UInt8]
        repeat {
          tail = Array(UUID(digest: digest, name: "mac:\(attempt):\(owner)").bytes.prefix(3))
          attempt += 1
        } while !taken.insert(tail).inserted
        return ApplianceManifest.NetworkCard(
          spec, mac: (["52", "54", "00"] + tail.map { Hex.encode([$0]) }).joined(separator: ":"),
          address: spec.address ?? (spec.isServed ? addresses.next(in: spec.network)?.description : nil),
          model: domain.hardware.nic)
      }
    }
    return cards
  }

  /// The addresses of the network of that name; nil for the one that all appliances have.
  public func subnet(of network: String?) -> IPv4Subnet? {
    guard let network, network != ApplianceManifest.Network.name else { return self.network.subnet }
    return networks.first { $0.name == network }?.subnet
  }

  /// Where a domain asks for names: the control domain's address in the first network that has one for it.
  public func nameServer(of domain: Domain) -> IPv4Address? {
    domain.cards.lazy.filter(\.isServed).compactMap { subnet(of: $0.network)?.address(IPv4Subnet.gateway) }.first
  }

  /// `path` as the recipe means it: relative ones start at the recipe's folder.
  public func resolve(_ path: String) -> String {
    path.hasPrefix("/") || directory.isEmpty ? path : directory + "/" + path
  }
}

/// Addresses that are free in each network.
private struct AddressRoom {
  private let recipe: Recipe
  private let taken: Set<String>
  private var next: [String: Int] = [:]

  init(_ recipe: Recipe) {
    self.recipe = recipe
    taken = Set(recipe.domains.flatMap(\.cards).compactMap(\.address))
  }

  mutating func next(in network: String?) -> IPv4Address? {
    guard let subnet = recipe.subnet(of: network) else { return nil }
    var host = next[network ?? ""] ?? IPv4Subnet.firstGuest
    while taken.contains(subnet.address(host).description) { host += 1 }
    next[network ?? ""] = host + 1
    return subnet.address(host)
  }
}

extension Recipe.Domain {
  /// Whether it has a network card.
  public var hasNetwork: Bool { !cards.isEmpty }

  /// Memory that it starts with, in bytes.
  public var memoryBytes: Int { memory.start }

  /// A digest of what decides this domain's files on the medium: its source, boot method and disk, and nothing of
  /// its neighbours, so that a changed domain is the only one to be built anew. Contents of files are not in it.
  public var sourceDigest: SHA256.Digest {
    var text = CanonicalText()
    text.add("source", "1")
    describeSource(to: &text)
    return SHA256.hash(text.text)
  }

  fileprivate func describe(to text: inout CanonicalText) {
    text.add("domain", name)
    text.add("os", os)
    text.add("cpus", "\(cpus)")
    if let cpusMaximum { text.add("cpus.max", "\(cpusMaximum)") }
    text.add("memory", "\(memory.start)")
    if memory != MemoryBounds(start: memory.start) {
      text.add("memory.bounds", ["\(memory.minimum)", "\(memory.maximum)"])
    }
    text.add("network", "\(hasNetwork)")
    if cards != [CardSpec()], hasNetwork {
      for card in cards { text.add("card", card.words) }
    }
    text.add("autostart", "\(autostart)")
    if !after.isEmpty { text.add("autostart.after", after) }
    text.add("ready.console", ready.consoleText)
    text.add("ready.timeout", "\(ready.timeoutSeconds)")
    text.add("on-reboot", onReboot.rawValue)
    text.add("on-crash", onCrash.rawValue)
    text.add("command-line", commandLine)
    hardware.describe(to: &text)
    if let limits {
      let numbers = [
        limits.cpuWeight, limits.cpuCap, limits.diskRate, limits.diskOperations, limits.networkRate,
      ]
      text.add("limits", numbers.map { $0.map { "\($0)" } ?? "" } + [limits.cpus ?? ""])
    }
    describeSource(to: &text)
  }

  private func describeSource(to text: inout CanonicalText) {
    text.add("boot", boot?.rawValue ?? "auto")
    text.add("disk", diskBytes.map { "\($0)" } ?? "none")
    switch source {
    case .debian(let suite, let packages, let hostname):
      text.add("debian.suite", suite)
      text.add("debian.packages", packages)
      text.add("debian.hostname", hostname)
      if !customization.isEmpty { text.add("debian.system", customization.words) }
    case .hatchling:
      text.add("hatchling", "")
    case .freebsd(let base, let kernel, let hostname):
      text.add("freebsd.base", base)
      text.add("freebsd.kernel", kernel)
      text.add("freebsd.hostname", hostname)
    case .plan9(let tree, let kernel, let hostname):
      text.add("plan9.tree", tree)
      text.add("plan9.kernel", kernel.rawValue)
      text.add("plan9.hostname", hostname)
    case .image(let root):
      text.add("oci.image", root.image.words)
      text.add("oci.reference", root.reference ?? "")
      text.add("oci.launch", root.launch.words)
    case .folder(let root):
      text.add("directory.path", root.path)
      text.add("directory.owner", root.owner)
      text.add("directory.launch", root.launch.words)
    case .files(let files):
      text.add("kernel", files.kernel.words)
      text.add("initrd", files.initrd.words)
      for module in files.modules {
        text.add("module", module.file.words)
        text.add("module.command-line", module.commandLine)
      }
      text.add("image", files.image.words)
      if let program = files.program { text.add("efi", program.words) }
    }
  }
}

extension CardSpec {
  fileprivate var words: [String] {
    let link = link ?? LinkConditions()
    return [
      network ?? "", address ?? "", vlan.map { "\($0)" } ?? "",
      (vlans ?? []).map { "\($0)" }.joined(separator: ","), filter == false ? "unfiltered" : "",
    ] + [link.delay, link.jitter, link.rate].map { $0.map { "\($0)" } ?? "" }
      + [link.loss.map { "\($0)" } ?? "", link.isDown == true ? "down" : ""]
  }
}

extension Recipe.Hardware {
  fileprivate func describe(to text: inout CanonicalText) {
    text.add("disk-bus", diskBus.rawValue)
    text.add("nic", nic.rawValue)
    text.add("display", display.rawValue)
    text.add("vnc", vnc.map { ["on", $0.password ?? ""] } ?? [])
    text.add("cpu", cpu.rawValue)
    text.add("hotplug", "\(hotplug)")
    text.add("cdrom", cdrom.words)
    text.add("floppy", floppy.words)
  }
}

extension Recipe.Plan9Kernel {
  /// Its path in the distribution's tree.
  public var path: String { self == .fossil64 ? "amd64/9k10f.elf" : "386/\(rawValue)" }
  /// The folder of its processor's programs.
  public var processor: String { self == .fossil64 ? "amd64" : "386" }
  /// Whether its root is a file system on the disk.
  public var hasFossil: Bool { self != .ram32 }
}

extension Recipe.Source {
  /// What decides its content; where it comes from does not.
  fileprivate var words: [String] {
    switch self {
    case .download(_, let sha256): ["download", sha256.description]
    case .repository(_, let commit): ["repository", commit]
    case .file(let path, let sha256): ["file", sha256?.description ?? path]
    case .debianFile(let suite, let package, let path): ["debian-file", suite, package, path]
    }
  }
}

extension Recipe.FileReference {
  fileprivate var words: [String] {
    switch self {
    case .path(let path): ["path", path]
    case .source(let name, let path): ["source", name] + (path.map { [$0] } ?? [])
    }
  }
}

extension Recipe.FileReference? {
  fileprivate var words: [String] { self?.words ?? [] }
}

/// Lines of `key length:value` that no two different recipes share.
private struct CanonicalText {
  var text = ""

  mutating func add(_ key: String, _ value: String) {
    text += "\(key) \(value.utf8.count):\(value)\n"
  }

  mutating func add(_ key: String, _ values: [String]) {
    add(key, "\(values.count)")
    for value in values { add("-", value) }
  }
}
