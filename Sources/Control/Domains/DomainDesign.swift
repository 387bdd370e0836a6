internal import Binary
internal import Manifest

/// A domain that is made on the fly, out of a user's wishes: complete as a manifest's, with an address that is free, and
/// with what its disk begins as. Pure; whether files are there is for others to see.
struct DomainDesign: Hashable, Sendable {
  /// What the disk begins as.
  enum Disk: Hashable, Sendable {
    case empty(bytes: Int)
    /// An image on the medium.
    case image(volume: String, bytes: Int?)
    /// What another disk is now.
    case clone(of: String, bytes: Int?)
    /// A file of the control domain's.
    case file(String, bytes: Int?)
  }

  /// What there is already.
  struct Surroundings: Sendable {
    /// All domains, those of the recipe and others.
    var domains: [ApplianceManifest.Domain]
    /// Names of disks and of what comes over the network.
    var disks: Set<String> = []
    /// The control domain's address on the guests' network; nil where there is none.
    var address: IPv4Address?
    /// Bits of an address that name the network.
    var prefixLength = 24
    /// Networks beside that one.
    var networks: [ApplianceManifest.VirtualNetwork] = []
  }

  /// The beginning of a path in the control domain; other paths are the medium's.
  static let fileScheme = "file:"
  /// The first address of a guest, counted from the network's.
  private static let firstGuest: UInt32 = 10

  let domain: ApplianceManifest.Domain
  let disk: Disk?

  /// Throws what contradicts itself, what is out of range, and names that are taken.
  init(_ spec: DomainSpec, in surroundings: Surroundings) throws(ControlError) {
    try Self.checkName(spec.name, surroundings)
    let base = try Self.base(of: spec, surroundings)
    try Self.checkLimits(spec)
    try Self.checkOrder(spec, surroundings)
    let boot = try Self.boot(spec, base)
    let isFirmware = boot.method.isFirmware
    disk = try Self.disk(spec, base)
    if isFirmware, disk == nil, spec.cdrom == nil, spec.floppy == nil, base?.cdrom == nil, base?.floppy == nil {
      throw Self.wrong("firmware finds nothing to start; give it an image, a CD or a floppy disk")
    }
    if spec.floppy != nil, boot.method != .bios { throw Self.wrong("only a BIOS starts from a floppy disk") }
    let name = spec.name
    let cards = try Self.cards(spec, base, surroundings)
    let bus = spec.diskBus ?? base?.disk?.bus
    let memory = try Self.memory(spec, base)
    let sized =
      switch disk {
      case .empty(let bytes)?: bytes
      case .image(_, let bytes)?, .clone(_, let bytes)?, .file(_, let bytes)?: bytes ?? base?.disk?.bytes ?? 0
      case nil: 0
      }
    domain = ApplianceManifest.Domain(
      name: name, os: spec.os ?? base?.os ?? "unknown", cpus: spec.cpus ?? base?.cpus ?? 1,
      cpusMaximum: try Self.mostCPUs(spec, base, isFirmware: isFirmware), memoryBytes: memory.start,
      memoryMinimumBytes: memory.statedMinimum, memoryMaximumBytes: memory.statedMaximum,
      boot: boot,
      disk: disk == nil
        ? nil : ApplianceManifest.Disk(imageVolume: "", volume: name, bytes: sized, bus: bus == .virtio ? nil : bus),
      network: cards.first, moreCards: cards.count > 1 ? Array(cards.dropFirst()) : nil,
      cdrom: spec.cdrom.map { Self.fileScheme + $0 } ?? base?.cdrom,
      floppy: spec.floppy.map { Self.fileScheme + $0 } ?? base?.floppy,
      display: spec.display ?? base?.display ?? (isFirmware && base == nil ? .vga : nil), vnc: nil,
      cpuModel: spec.cpuModel ?? base?.cpuModel, hotplug: spec.hotplug ?? base?.hotplug,
      limits: base?.limits,
      autostart: spec.autostart ?? true, after: spec.after?.isEmpty == false ? spec.after : nil,
      ready: ApplianceManifest.Ready(
        consoleText: spec.readyText ?? base?.ready.consoleText ?? "login:",
        timeoutSeconds: spec.readySeconds ?? base?.ready.timeoutSeconds ?? 300),
      onReboot: spec.onReboot ?? base?.onReboot ?? .restart, onCrash: spec.onCrash ?? base?.onCrash ?? .preserve)
  }

  /// Files of the control domain that must be there.
  var files: [String] {
    var files = [domain.boot.kernel, domain.boot.initrd, domain.cdrom, domain.floppy].compactMap { path in
      path.flatMap { $0.hasPrefix(Self.fileScheme) ? String($0.dropFirst(Self.fileScheme.count)) : nil }
    }
    if case .file(let path, _)? = disk { files.append(path) }
    return files
  }

  // MARK: Parts

  private static func wrong(_ text: String) -> ControlError { ControlError(.malformedRequest, text) }

  private static func checkName(_ name: String, _ surroundings: Surroundings) throws(ControlError) {
    if let problem = Names.domainProblem(name) { throw wrong("the name \(Text.quoted(name)) \(problem)") }
    if surroundings.domains.contains(where: { $0.name == name }) {
      throw ControlError(.wrongState, "there is a domain named \(name) already; choose another name")
    }
    if surroundings.disks.contains(name) {
      throw ControlError(
        .wrongState, "there is a disk named \(name) already, and a domain's own disk has its name; choose another")
    }
    guard surroundings.domains.count < Limits.domains else {
      throw ControlError(.wrongState, "there are \(Limits.domains) domains already; `roost remove` makes room")
    }
  }

  private static func base(
    of spec: DomainSpec, _ surroundings: Surroundings
  ) throws(ControlError) -> ApplianceManifest.Domain? {
    guard let like = spec.like else { return nil }
    if let base = surroundings.domains.first(where: { $0.name == like }) { return base }
    throw UnknownName.domain(like, among: surroundings.domains.map(\.name))
  }

  /// How many processors it may have while it runs; nil for no more than it starts with.
  private static func mostCPUs(
    _ spec: DomainSpec, _ base: ApplianceManifest.Domain?, isFirmware: Bool
  ) throws(ControlError) -> Int? {
    let start = spec.cpus ?? base?.cpus ?? 1
    guard let most = spec.cpusMaximum else {
      // What is said of the start alone is all that there is.
      return isFirmware || spec.cpus != nil ? nil : base?.cpusMaximum
    }
    guard Limits.cpus.contains(most), most >= start else {
      throw wrong("a domain that starts with \(start) CPUs may have \(start) to \(Limits.cpus.upperBound), not \(most)")
    }
    if most > start, isFirmware { throw wrong("firmware starts all CPUs that there can be; start it with \(most)") }
    return most == start ? nil : most
  }

  private static func checkLimits(_ spec: DomainSpec) throws(ControlError) {
    if let cpus = spec.cpus, !Limits.cpus.contains(cpus) {
      throw wrong("a domain has 1 to \(Limits.cpus.upperBound) CPUs, not \(cpus)")
    }
    if let bytes = spec.memoryBytes,
      !Limits.memory.contains(bytes) || !bytes.isMultiple(of: Limits.memoryGranule)
    {
      throw wrong(
        "a domain's memory is whole MiB, from \(Text.size(Limits.memory.lowerBound)) to 1 TiB, and not \(bytes) bytes")
    }
    if let bytes = spec.diskBytes, !Limits.disk.contains(bytes) || !bytes.isMultiple(of: Limits.diskGranule) {
      throw wrong(
        "the size of a disk is a multiple of \(Limits.diskGranule >> 20) MiB, from "
          + "\(Text.size(Limits.disk.lowerBound)) to \(Limits.disk.upperBound >> 40) TiB, and not \(bytes) bytes")
    }
    if let text = spec.commandLine, text.utf8.count > Limits.commandLine || !Names.isPrintable(text) {
      throw wrong("a command line has \(Limits.commandLine) printable characters at most")
    }
    if let text = spec.readyText, text.isEmpty || text.utf8.count > 200 {
      throw wrong("the text that a console shows when its domain is ready has 1 to 200 bytes")
    }
    if let seconds = spec.readySeconds, !Limits.readySeconds.contains(seconds) {
      throw wrong("a domain may take 1 to \(Limits.readySeconds.upperBound) seconds to be ready, not \(seconds)")
    }
    if let os = spec.os, os.isEmpty || os.count > 40 || !Names.isPrintable(os) {
      throw wrong("the name of an operating system has 1 to 40 characters")
    }
    for path in [spec.image, spec.kernel, spec.initrd, spec.cdrom, spec.floppy].compactMap({ $0 }) {
      guard path.hasPrefix("/"), path.utf8.count < 4096, !path.utf8.contains(0), Names.isPrintable(path) else {
        throw wrong("\(Text.quoted(path)) is no path that begins with /")
      }
    }
  }

  private static func checkOrder(_ spec: DomainSpec, _ surroundings: Surroundings) throws(ControlError) {
    let others = surroundings.domains.map { (name: $0.name, after: $0.after ?? []) }
    // Others may come after a domain that had this name before.
    guard let problem = StartOrder(others + [(spec.name, spec.after ?? [])]).problem(of: spec.name) else { return }
    throw wrong("\(spec.name) comes after \(problem)")
  }

  /// What it starts with, and what it may be set to: as the domain that it is like, as far as that is possible.
  private static func memory(
    _ spec: DomainSpec, _ base: ApplianceManifest.Domain?
  ) throws(ControlError) -> MemoryBounds {
    let own = base?.memory
    let start = spec.memoryBytes ?? own?.start ?? 256 << 20
    // A system that keeps its memory has no balloon.
    let minimum = own.flatMap { $0.minimum == $0.start ? start : start == $0.start ? $0.minimum : nil }
    let maximum = own.flatMap { $0.maximum > $0.start && $0.maximum > start ? $0.maximum : nil }
    let memory = MemoryBounds(
      start: start, minimum: spec.memoryMinimumBytes ?? minimum, maximum: spec.memoryMaximumBytes ?? maximum)
    for bytes in [memory.minimum, memory.maximum]
    where !Limits.memory.contains(bytes) || !bytes.isMultiple(of: Limits.memoryGranule) {
      throw wrong("a domain's memory is whole MiB, and not \(bytes) bytes")
    }
    guard memory.minimum <= start, start <= memory.maximum else {
      throw wrong(
        "a domain that starts with \(Text.size(start)) of memory cannot go from \(Text.size(memory.minimum)) to "
          + "\(Text.size(memory.maximum))")
    }
    return memory
  }

  private static func boot(
    _ spec: DomainSpec, _ base: ApplianceManifest.Domain?
  ) throws(ControlError) -> ApplianceManifest.Boot {
    let file = { (path: String) in fileScheme + path }
    if let kernel = spec.kernel {
      guard let method = spec.boot, !method.isFirmware else {
        let methods = BootMethod.allCases.filter { !$0.isFirmware }.map(\.rawValue).joined(separator: ", ")
        throw wrong("say how the kernel is entered: \(methods)")
      }
      return ApplianceManifest.Boot(
        method: method, kernel: file(kernel), initrd: spec.initrd.map(file), commandLine: spec.commandLine ?? "")
    }
    if spec.initrd != nil { throw wrong("an initial RAM disk needs the kernel that unpacks it") }
    if let base, spec.boot ?? base.boot.method == base.boot.method, spec.image == nil {
      var boot = base.boot
      if let text = spec.commandLine {
        guard !boot.method.isFirmware else { throw wrong("firmware has no command line to hand on") }
        boot.commandLine = text
      }
      return boot
    }
    // An image of its own has a system of its own, whatever the domain runs whose machine it takes.
    let method = spec.boot ?? (base?.boot.method.isFirmware == true ? base?.boot.method : nil) ?? .bios
    guard method.isFirmware else { throw wrong("to boot by \(method.rawValue), give the kernel") }
    if spec.commandLine != nil { throw wrong("firmware has no command line to hand on") }
    return ApplianceManifest.Boot(method: method, kernel: nil, initrd: nil, commandLine: "")
  }

  private static func disk(
    _ spec: DomainSpec, _ base: ApplianceManifest.Domain?
  ) throws(ControlError) -> Disk? {
    guard spec.image == nil || spec.clone == nil else {
      throw wrong("a disk begins as an image or as a clone, not as both")
    }
    if let image = spec.image { return .file(image, bytes: spec.diskBytes) }
    if let clone = spec.clone { return .clone(of: clone, bytes: spec.diskBytes) }
    if let disk = base?.disk {
      // Of a domain that was itself made on the fly there is no image; its disk as it is now is the next best.
      return disk.imageVolume.isEmpty
        ? .clone(of: disk.volume, bytes: spec.diskBytes)
        : .image(volume: disk.imageVolume, bytes: spec.diskBytes ?? rounded(disk.bytes))
    }
    return spec.diskBytes.map { .empty(bytes: $0) }
  }

  private static func rounded(_ bytes: Int) -> Int {
    (bytes + Limits.diskGranule - 1) / Limits.diskGranule * Limits.diskGranule
  }

  /// Network cards with addresses that nobody has.
  private static func cards(
    _ spec: DomainSpec, _ base: ApplianceManifest.Domain?, _ surroundings: Surroundings
  ) throws(ControlError) -> [ApplianceManifest.NetworkCard] {
    let specs =
      spec.cards
      ?? (base?.cards ?? []).map { card in
        var spec = card.spec
        spec.address = nil
        return spec
      }
    guard specs.count <= Limits.cards else { throw wrong("a domain has \(Limits.cards) network cards at most") }
    let model = spec.nic ?? base?.network?.model
    var cards: [ApplianceManifest.NetworkCard] = []
    for (index, card) in specs.enumerated() {
      if let problem = card.problem { throw wrong(problem) }
      let taken = surroundings.domains.flatMap(\.cards) + cards
      let owner = index == 0 ? spec.name : "\(spec.name).\(index)"
      cards.append(
        ApplianceManifest.NetworkCard(
          card, mac: hardwareAddress(owner, taken), address: try address(card, taken, surroundings), model: model))
    }
    return cards
  }

  private static func hardwareAddress(_ owner: String, _ cards: [ApplianceManifest.NetworkCard]) -> String {
    let taken = Set(cards.map { $0.mac.lowercased() })
    var attempt = 0
    var mac: String
    repeat {
      let digits = Array(SHA256.hash("\(attempt):\(owner)").description.prefix(6))
      mac = "52:54:00" + stride(from: 0, to: 6, by: 2).map { ":\(digits[$0])\(digits[$0 + 1])" }.joined()
      attempt += 1
    } while taken.contains(mac)
    return mac
  }

  /// The address that a card gets; nil where its network gives none.
  private static func address(
    _ card: CardSpec, _ cards: [ApplianceManifest.NetworkCard], _ surroundings: Surroundings
  ) throws(ControlError) -> String? {
    let own: NetworkAddress?
    if let name = card.network, name != ApplianceManifest.Network.name {
      guard let network = surroundings.networks.first(where: { $0.name == name }) else {
        throw UnknownName.network(name, among: [ApplianceManifest.Network.name] + surroundings.networks.map(\.name))
      }
      own = network.address.flatMap(NetworkAddress.init)
    } else {
      guard let address = surroundings.address else {
        throw ControlError(.wrongState, "the appliance has no network for it; make it without a network card")
      }
      own = NetworkAddress(address, prefixLength: surroundings.prefixLength)
    }
    let taken = Set(cards.compactMap(\.address))
    if let wanted = card.address {
      guard let address = IPv4Address(wanted) else { throw wrong("\(Text.quoted(wanted)) is no IPv4 address") }
      if let own, own.number(of: address).flatMap(own.address(number:)) == nil || address == own.address {
        throw wrong("\(wanted) is no domain's address in the network \(card.network ?? ApplianceManifest.Network.name)")
      }
      if taken.contains(wanted) { throw ControlError(.wrongState, "another domain has the address \(wanted) already") }
      return wanted
    }
    guard let own, card.isServed else { return nil }
    var number = firstGuest
    while let address = own.address(number: number) {
      if address != own.address, !taken.contains("\(address)") { return "\(address)" }
      number += 1
    }
    throw ControlError(
      .wrongState, "no address of the network \(card.network ?? ApplianceManifest.Network.name) is free any more")
  }
}
