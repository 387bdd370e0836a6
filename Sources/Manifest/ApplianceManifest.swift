internal import FoundationEssentials
internal import Platform

/// What the medium tells the appliance about itself: the file `/roost/manifest.json`, version 1.
///
/// Paths that begin with `/` are paths on the medium.
public struct ApplianceManifest: Codable, Sendable, Hashable {
  /// The version that this code writes and reads.
  public static let currentVersion = 1
  /// Where the manifest is on the medium.
  public static let path = "/roost/manifest.json"

  /// Version of the format.
  public var version: Int
  /// Name of the appliance.
  public var name: String
  /// SHA-256 of the recipe it was built from, in hexadecimal.
  public var recipeDigest: String
  /// Seconds since 1970 that all times on the medium were set to.
  public var epoch: Int
  /// The domain that owns the hardware.
  public var controlDomain: ControlDomain
  /// Where the guests' disks are.
  public var storage: Storage
  /// The network that the domains share.
  public var network: Network
  /// Other networks; nothing stands for none.
  public var networks: [VirtualNetwork]?
  /// The domains in the order of the recipe.
  public var domains: [Domain]
  /// The HTTP interface; nothing stands for none.
  public var api: API?
  /// Whether memory is moved between domains as they need it; nothing stands for no.
  public var balancer: Bool?

  /// A manifest of the current version.
  public init(
    name: String, recipeDigest: String, epoch: Int, controlDomain: ControlDomain, storage: Storage, network: Network,
    networks: [VirtualNetwork]? = nil, domains: [Domain], api: API? = nil, balancer: Bool? = nil
  ) {
    version = Self.currentVersion
    self.name = name
    self.recipeDigest = recipeDigest
    self.epoch = epoch
    self.controlDomain = controlDomain
    self.storage = storage
    self.network = network
    self.networks = networks
    self.domains = domains
    self.api = api
    self.balancer = balancer
  }

  /// Whether memory is moved between domains as they need it.
  public var balancesMemory: Bool { balancer == true }

  /// The domain that owns the hardware.
  public struct ControlDomain: Codable, Sendable, Hashable {
    /// Its host name.
    public var hostname: String
    /// Its Debian release.
    public var suite: String

    /// A control domain of a name and a release.
    public init(hostname: String, suite: String) {
      self.hostname = hostname
      self.suite = suite
    }
  }

  /// Where the guests' disks are.
  public struct Storage: Codable, Sendable, Hashable {
    /// The volume group that spans the medium and RAM.
    public var volumeGroup: String
    /// Size of the RAM-backed physical volume.
    public var ramBytes: Int
    /// Size of the volume group's extents.
    public var extentBytes: Int
    /// LVM's UUID of the medium's physical volume.
    public var mediumUUID: String
    /// LVM's UUID that the RAM-backed physical volume gets.
    public var ramUUID: String
    /// The volume group's metadata as LVM text.
    public var metadataTemplate: String
    /// The squashfs on the medium that holds the physical volume.
    public var images: String
    /// The physical volume's file in it.
    public var physicalVolumeFile: String
    /// Devices that come over the network; nothing stands for none.
    public var remotes: [Remote]?

    /// All fields; the names are those that the appliance expects if not given.
    public init(
      volumeGroup: String = "roost", ramBytes: Int, extentBytes: Int, mediumUUID: String, ramUUID: String,
      metadataTemplate: String = "/roost/volume-group.conf", images: String = "/roost/images.squashfs",
      physicalVolumeFile: String = "images.pv", remotes: [Remote]? = nil
    ) {
      self.volumeGroup = volumeGroup
      self.ramBytes = ramBytes
      self.extentBytes = extentBytes
      self.mediumUUID = mediumUUID
      self.ramUUID = ramUUID
      self.metadataTemplate = metadataTemplate
      self.images = images
      self.physicalVolumeFile = physicalVolumeFile
      self.remotes = remotes
    }
  }

  /// The network that the domains share.
  public struct Network: Codable, Sendable, Hashable {
    /// The bridge in the control domain.
    public var bridge: String
    /// The control domain's address on it with the prefix length, such as `10.77.0.1/24`.
    public var address: String
    /// DNS domain of the guests' names.
    public var domain: String

    /// What it is called beside others.
    public static let name = "guests"

    /// All fields.
    public init(bridge: String = "roost0", address: String, domain: String = "roost") {
      self.bridge = bridge
      self.address = address
      self.domain = domain
    }
  }

  /// One guest.
  public struct Domain: Codable, Sendable, Hashable {
    /// Unique; a DNS label.
    public var name: String
    /// Its operating system as people call it.
    public var os: String
    /// Virtual CPUs that it starts with.
    public var cpus: Int
    /// Virtual CPUs that it may have while it runs; nothing stands for those that it starts with, which stay.
    public var cpusMaximum: Int?
    /// Memory that it starts with.
    public var memoryBytes: Int
    /// What it may be asked to come down to while it runs; nothing stands for the natural minimum.
    public var memoryMinimumBytes: Int?
    /// What it may grow to while it runs; nothing stands for what it starts with.
    public var memoryMaximumBytes: Int?
    /// How it boots.
    public var boot: Boot
    /// Its disk, if it has one.
    public var disk: Disk?
    /// Its network card, if it has one.
    public var network: NetworkCard?
    /// Its network cards after the first; nothing stands for none.
    public var moreCards: [NetworkCard]?
    /// The image on the medium that is in its CD drive, if it has one.
    public var cdrom: String?
    /// The image on the medium that is in its floppy drive, if it has one.
    public var floppy: String?
    /// What it shows; nothing stands for a serial line only.
    public var display: Display?
    /// How its display is reached, if it is.
    public var vnc: VNC?
    /// What processor it sees; nothing stands for the machine's own.
    public var cpuModel: CPUModel?
    /// Whether disks can be attached to it and detached while it runs; nothing stands for no.
    public var hotplug: Bool?
    /// What it may take of the machine; nothing stands for no limits.
    public var limits: ResourceLimits?
    /// Whether it is started with the appliance.
    public var autostart: Bool
    /// The domains that it starts after, and goes down before; nothing stands for none.
    public var after: [String]?
    /// How one knows that it is up.
    public var ready: Ready
    /// What happens when the guest resets itself.
    public var onReboot: LifecycleAction
    /// What happens when the guest crashes.
    public var onCrash: LifecycleAction

    /// All fields.
    public init(
      name: String, os: String, cpus: Int, cpusMaximum: Int? = nil, memoryBytes: Int,
      memoryMinimumBytes: Int? = nil, memoryMaximumBytes: Int? = nil, boot: Boot, disk: Disk?, network: NetworkCard?,
      moreCards: [NetworkCard]? = nil, cdrom: String? = nil, floppy: String? = nil, display: Display? = nil,
      vnc: VNC? = nil, cpuModel: CPUModel? = nil, hotplug: Bool? = nil, limits: ResourceLimits? = nil, autostart: Bool,
      after: [String]? = nil, ready: Ready, onReboot: LifecycleAction, onCrash: LifecycleAction
    ) {
      self.name = name
      self.os = os
      self.cpus = cpus
      self.cpusMaximum = cpusMaximum
      self.memoryBytes = memoryBytes
      self.memoryMinimumBytes = memoryMinimumBytes
      self.memoryMaximumBytes = memoryMaximumBytes
      self.boot = boot
      self.disk = disk
      self.network = network
      self.moreCards = moreCards
      self.cdrom = cdrom
      self.floppy = floppy
      self.display = display
      self.vnc = vnc
      self.cpuModel = cpuModel
      self.hotplug = hotplug
      self.limits = limits
      self.autostart = autostart
      self.after = after
      self.ready = ready
      self.onReboot = onReboot
      self.onCrash = onCrash
    }

    /// Virtual CPUs that it has at most.
    public var mostCPUs: Int { cpusMaximum ?? cpus }

    /// All its network cards.
    public var cards: [NetworkCard] { (network.map { [$0] } ?? []) + (moreCards ?? []) }
  }

  /// How a domain boots.
  public struct Boot: Codable, Sendable, Hashable {
    /// How the kernel is entered, or what firmware runs.
    public var method: BootMethod
    /// The kernel on the medium; nothing where firmware runs.
    public var kernel: String?
    /// The initial RAM disk on the medium, if there is one.
    public var initrd: String?
    /// What the kernel is handed beside it, in order.
    public var modules: [Module]?
    /// The kernel's command line.
    public var commandLine: String

    /// All fields.
    public init(
      method: BootMethod, kernel: String?, initrd: String?, modules: [Module]? = nil, commandLine: String
    ) {
      self.method = method
      self.kernel = kernel
      self.initrd = initrd
      self.modules = modules
      self.commandLine = commandLine
    }
  }

  /// A file that a kernel is handed.
  public struct Module: Codable, Sendable, Hashable {
    /// The file on the medium.
    public var file: String
    /// Its own command line.
    public var commandLine: String

    /// All fields.
    public init(file: String, commandLine: String) {
      self.file = file
      self.commandLine = commandLine
    }
  }

  /// How a domain's display is reached.
  public struct VNC: Codable, Sendable, Hashable {
    /// The file on the medium that holds the password; nothing for none.
    public var passwordFile: String?

    /// All fields.
    public init(passwordFile: String?) {
      self.passwordFile = passwordFile
    }
  }

  /// A domain's disk.
  public struct Disk: Codable, Sendable, Hashable {
    /// The read-only volume with its image, the thin volume's external origin.
    public var imageVolume: String
    /// The thin volume.
    public var volume: String
    /// The thin volume's size.
    public var bytes: Int
    /// What it is attached to; nothing stands for virtio.
    public var bus: DiskBus?

    /// All fields.
    public init(imageVolume: String, volume: String, bytes: Int, bus: DiskBus? = nil) {
      self.imageVolume = imageVolume
      self.volume = volume
      self.bytes = bytes
      self.bus = bus
    }
  }

  /// A domain's network card.
  public struct NetworkCard: Codable, Sendable, Hashable {
    /// Its hardware address.
    public var mac: String
    /// The IPv4 address that it is given; nothing stands for none.
    public var address: String?
    /// What card it is; nothing stands for virtio.
    public var model: NetworkModel?
    /// The network that it is connected to; nothing stands for the one that all appliances have.
    public var network: String?
    /// The VLAN that all its packets belong to.
    public var vlan: Int?
    /// VLANs whose packets it sends and gets with their tags.
    public var vlans: [Int]?
    /// Whether packets are dropped whose sender is another than this card; nothing stands for yes.
    public var filter: Bool?
    /// What its cable does; nothing stands for a perfect one.
    public var link: LinkConditions?

    /// A card as all are that say no more.
    public init(mac: String, address: String?, model: NetworkModel? = nil) {
      self.mac = mac
      self.address = address
      self.model = model
    }

    /// The card that `spec` asks for, with the addresses that it got. What is as usual is left out.
    public init(_ spec: CardSpec, mac: String, address: String?, model: NetworkModel?) {
      self.init(mac: mac, address: address, model: model == .virtio ? nil : model)
      network = spec.network == Network.name ? nil : spec.network
      vlan = spec.vlan == 1 ? nil : spec.vlan
      vlans = spec.vlans
      filter = spec.filter == true ? nil : spec.filter
      link = spec.link?.isPerfect == true ? nil : spec.link
    }

    /// The network that it is connected to.
    public var networkName: String { network ?? Network.name }

    /// What was asked for.
    package var spec: CardSpec {
      var spec = CardSpec(network: network)
      (spec.address, spec.vlan, spec.vlans, spec.filter, spec.link) = (address, vlan, vlans, filter, link)
      return spec
    }
  }

  /// How one knows that a domain is up.
  public struct Ready: Codable, Sendable, Hashable {
    /// Text that its console shows then.
    public var consoleText: String
    /// How long it may take.
    public var timeoutSeconds: Int

    /// All fields.
    public init(consoleText: String, timeoutSeconds: Int) {
      self.consoleText = consoleText
      self.timeoutSeconds = timeoutSeconds
    }
  }
}

extension ApplianceManifest {
  /// The manifest as JSON text, keys sorted, ending in a newline: equal manifests give equal bytes.
  public func encoded() throws(ManifestError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(self)) + [10]
    } catch {
      throw .unusable(path: Self.path, reason: "it cannot be written as JSON: \(error)")
    }
  }

  /// Reads the manifest in a file.
  public static func load(_ path: String) throws(ManifestError) -> ApplianceManifest {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.read(path)
    } catch {
      throw .unreadable(path: path, reason: "\(error.errno)")
    }
    return try decode(bytes, path: path)
  }

  /// Reads a manifest from JSON. `path` is for messages only.
  public static func decode(_ bytes: [UInt8], path: String = Self.path) throws(ManifestError) -> ApplianceManifest {
    struct Header: Decodable {
      let version: Int
    }
    let data = Data(bytes)
    let decoder = JSONDecoder()
    let manifest: ApplianceManifest
    do {
      let version = try decoder.decode(Header.self, from: data).version
      guard version == currentVersion else {
        throw ManifestError.unusable(
          path: path,
          reason: "it has version \(version) and this Roost reads version \(currentVersion);"
            + " use the Roost that the medium was built with, or build the medium anew")
      }
      manifest = try decoder.decode(ApplianceManifest.self, from: data)
    } catch let error as ManifestError {
      throw error
    } catch let error as DecodingError {
      throw .unusable(path: path, reason: describe(error))
    } catch {
      throw .unusable(path: path, reason: "\(error)")
    }
    if let problem = manifest.firstProblem { throw .unusable(path: path, reason: problem) }
    return manifest
  }

  /// What no appliance could run, in words; nil when all is in range.
  private var firstProblem: String? {
    var seen: Set<String> = []
    let order = startOrder
    for domain in domains {
      if let problem = Names.problem(domain.name) { return "the domain '\(domain.name)' \(problem)" }
      if !seen.insert(domain.name).inserted { return "two domains are named '\(domain.name)'" }
      if !Limits.cpus.contains(domain.cpus) { return "the domain '\(domain.name)' has \(domain.cpus) CPUs" }
      if let most = domain.cpusMaximum, !Limits.cpus.contains(most) || most <= domain.cpus {
        return "the domain '\(domain.name)' is to have \(domain.cpus) CPUs and up to \(most)"
      }
      if !Limits.memory.contains(domain.memoryBytes) {
        return "the domain '\(domain.name)' has \(domain.memoryBytes) bytes of memory"
      }
      if domain.memory.isOutOfOrder {
        let memory = domain.memory
        return "the memory of '\(domain.name)' is to go from \(memory.minimum) bytes to \(memory.maximum), "
          + "and starts with \(memory.start)"
      }
      if !domain.boot.method.isFirmware, domain.boot.kernel == nil {
        return "the domain '\(domain.name)' has no kernel to boot with '\(domain.boot.method.rawValue)'"
      }
      if let disk = domain.disk, disk.bytes <= 0 { return "the disk of '\(domain.name)' has \(disk.bytes) bytes" }
      for card in domain.cards {
        if let problem = card.spec.problem { return "a network card of '\(domain.name)': \(problem)" }
        guard card.network == nil || networks?.contains(where: { $0.name == card.network }) == true else {
          return "the domain '\(domain.name)' is connected to a network '\(card.networkName)', which there is not"
        }
      }
      if let problem = domain.limits?.problem() { return "the limits of '\(domain.name)': \(problem)" }
      if let problem = order.problem(of: domain.name) { return "the domain '\(domain.name)' comes after \(problem)" }
      if domain.ready.consoleText.isEmpty { return "the domain '\(domain.name)' has an empty ready text" }
    }
    if domains.isEmpty { return "it has no domains" }
    for remote in storage.remotes ?? [] {
      if remote.request == nil { return "its remote '\(remote.name)' at '\(remote.address)' is none that there can be" }
      if !seen.insert(remote.name).inserted { return "two domains or remotes are named '\(remote.name)'" }
    }
    var networkNames: Set<String> = []
    for network in networks ?? [] {
      if let problem = network.problem { return "the network '\(network.name)' \(problem)" }
      if !networkNames.insert(network.name).inserted { return "two networks are named '\(network.name)'" }
    }
    if let problem = api?.problem { return "its HTTP interface \(problem)" }
    if storage.ramBytes <= 0 || storage.extentBytes <= 0 { return "its storage sizes are not positive" }
    return nil
  }
}

private func describe(_ error: DecodingError) -> String {
  func place(_ path: [any CodingKey]) -> String {
    let text = path.map { key in key.intValue.map { "[\($0)]" } ?? ".\(key.stringValue)" }.joined()
    return text.isEmpty ? "the top" : String(text.hasPrefix(".") ? text.dropFirst() : text[...])
  }
  switch error {
  case .keyNotFound(let key, let context):
    return "the key '\(key.stringValue)' is missing at \(place(context.codingPath))"
  case .typeMismatch(_, let context), .valueNotFound(_, let context):
    return "\(place(context.codingPath)): \(context.debugDescription)"
  case .dataCorrupted(let context):
    return "\(place(context.codingPath)): \(context.debugDescription)"
  @unknown default:
    return "\(error)"
  }
}
