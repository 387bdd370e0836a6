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
  /// The domains in the order of the recipe; never empty.
  public let domains: [Domain]
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
  }

  /// Live storage.
  public struct StorageSettings: Sendable, Hashable {
    /// Size of the RAM-backed physical volume; a multiple of 4 MiB.
    public let ramBytes: Int
  }

  /// The network that the domains share.
  public struct NetworkSettings: Sendable, Hashable {
    /// Its addresses; the control domain has the first.
    public let subnet: IPv4Subnet
  }

  /// One guest.
  public struct Domain: Sendable, Hashable {
    /// Unique in the recipe; a DNS label.
    public let name: String
    /// Its operating system as people call it, such as `Debian 13`.
    public let os: String
    /// Virtual CPUs, 1...64.
    public let cpus: Int
    /// Memory; a multiple of 1 MiB.
    public let memoryBytes: Int
    /// Size of its disk, a multiple of 4 MiB; nil for a domain without one.
    public let diskBytes: Int?
    /// Whether it has a network card.
    public let hasNetwork: Bool
    /// How its kernel is entered.
    public let boot: BootMethod
    /// Where its kernel and disk come from.
    public let source: DomainSource
    /// Whether it is started with the appliance.
    public let autostart: Bool
    /// How one knows that it is up.
    public let ready: Readiness
    /// What happens when the guest resets itself.
    public let onReboot: LifecycleAction
    /// What happens when the guest crashes.
    public let onCrash: LifecycleAction
  }

  /// Where a domain's kernel and disk come from.
  public enum DomainSource: Sendable, Hashable {
    /// A Debian system, made while building.
    case debian(suite: String, packages: [String], hostname: String)
    /// The bare-metal guest that comes with Roost.
    case hatchling
    /// Files of the user's; relative paths start at `Recipe.directory`. `root` is a disk image.
    case files(kernel: String, initrd: String?, commandLine: String, root: String?)
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
    text.add("storage.ram", "\(storage.ramBytes)")
    text.add("network.subnet", network.subnet.description)
    for domain in domains { domain.describe(to: &text) }
    return SHA256.hash(text.text)
  }

  /// The identifier that `name` has in this recipe: the same on every machine, and another one in any other recipe.
  public func uuid(for name: String) -> UUID {
    UUID(digest: digest, name: name)
  }

  /// The network card's address of each domain that has one, by the domain's name: `52:54:00:xx:xx:xx`.
  public var macAddresses: [String: String] {
    let digest = digest
    var taken: Set<[UInt8]> = []
    var addresses: [String: String] = [:]
    for domain in domains where domain.hasNetwork {
      var attempt = 0
      var tail: [UInt8]
      repeat {
        tail = Array(UUID(digest: digest, name: "mac:\(attempt):\(domain.name)").bytes.prefix(3))
        attempt += 1
      } while !taken.insert(tail).inserted
      addresses[domain.name] = (["52", "54", "00"] + tail.map { Hex.encode([$0]) }).joined(separator: ":")
    }
    return addresses
  }

  /// The IPv4 address of each domain that has a network card, by the domain's name: the tenth of the
  /// subnet and on, in the order of the recipe.
  public var ipAddresses: [String: String] {
    var addresses: [String: String] = [:]
    var host = IPv4Subnet.firstGuest
    for domain in domains where domain.hasNetwork {
      addresses[domain.name] = network.subnet.address(host).description
      host += 1
    }
    return addresses
  }

  /// `path` as the recipe means it: relative ones start at the recipe's folder.
  public func resolve(_ path: String) -> String {
    path.hasPrefix("/") || directory.isEmpty ? path : directory + "/" + path
  }
}

extension Recipe.Domain {
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
    text.add("memory", "\(memoryBytes)")
    text.add("network", "\(hasNetwork)")
    text.add("autostart", "\(autostart)")
    text.add("ready.console", ready.consoleText)
    text.add("ready.timeout", "\(ready.timeoutSeconds)")
    text.add("on-reboot", onReboot.rawValue)
    text.add("on-crash", onCrash.rawValue)
    describeSource(to: &text)
  }

  private func describeSource(to text: inout CanonicalText) {
    text.add("boot", boot.rawValue)
    text.add("disk", diskBytes.map { "\($0)" } ?? "none")
    switch source {
    case .debian(let suite, let packages, let hostname):
      text.add("debian.suite", suite)
      text.add("debian.packages", packages)
      text.add("debian.hostname", hostname)
    case .hatchling:
      text.add("hatchling", "")
    case .files(let kernel, let initrd, let commandLine, let root):
      text.add("kernel", kernel)
      text.add("initrd", initrd.map { [$0] } ?? [])
      text.add("command-line", commandLine)
      text.add("root", root.map { [$0] } ?? [])
    }
  }
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
