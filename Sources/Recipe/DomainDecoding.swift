internal import Manifest
internal import YAML

/// Domains: their machine, and what must be there together or must not.
extension RecipeDecoder {
  mutating func domain(_ fields: NodeReader.Fields, name: String?) -> Recipe.Domain? {
    let os = reader.checked(fields, "os") { $0.isEmpty || $0.count > 40 ? "must have 1 to 40 characters" : nil }
    let disk = reader.size(fields, "disk", in: Limits.disk, granule: Limits.diskGranule)
    let cards = cards(fields)
    let hasNetwork = !cards.isEmpty
    let isFirmware = ["bios", "uefi"].contains(reader.text(fields, "boot"))
    let source = source(fields, name: name, isFirmware: isFirmware)
    let boot = reader.choice(fields, "boot", BootMethod.self, or: "auto") ?? Self.naturalBoot(of: source?.kind)
    let hardware = hardware(fields, boot: boot, source: source?.kind)
    let (cpus, cpusMaximum) = processors(fields, source: source?.kind, boot: boot)
    let memory = memory(fields, source: source?.kind)
    let commandLine = commandLine(fields) ?? source?.commandLine ?? ""
    let (autostart, after) = autostart(fields, of: name)
    let ready = readiness(fields, source: source?.kind)
    let onReboot = reader.choice(fields, "on-reboot", LifecycleAction.self, default: .restart)
    let onCrash = reader.choice(fields, "on-crash", LifecycleAction.self, default: .preserve)
    let limits = limits(fields, hasNetwork: hasNetwork)
    guard let source else { return nil }
    checkHardware(fields, hardware, hasNetwork: hasNetwork)
    check(fields, source: source, boot: boot, hardware: hardware)
    guard let name, let memory, let ready else { return nil }
    return Recipe.Domain(
      name: name, os: os ?? Self.operatingSystem(of: source.kind), cpus: cpus, cpusMaximum: cpusMaximum,
      memory: memory, diskBytes: disk,
      cards: cards, boot: boot, hardware: hardware, commandLine: commandLine, source: source.kind,
      customization: source.customization, limits: limits, autostart: autostart, after: after, ready: ready,
      onReboot: onReboot, onCrash: onCrash)
  }

  /// How a source boots whose domain does not say; nil where the kernel's file tells.
  private static func naturalBoot(of source: Recipe.DomainSource?) -> BootMethod? {
    switch source {
    case .debian?, .image?, .folder?: .linux
    case .hatchling?: .pvh
    case .freebsd?: .freebsd
    case .plan9?: .plan9
    case .files(let files)?: files.kernel != nil ? nil : files.program == nil ? .bios : .uefi
    case nil: nil
    }
  }

  private mutating func hardware(
    _ domain: NodeReader.Fields, boot: BootMethod?, source: Recipe.DomainSource?
  ) -> Recipe.Hardware {
    // Debian drives the controller, and finds by itself what is attached to it.
    let isDebian = if case .debian? = source { true } else { false }
    return Recipe.Hardware(
      diskBus: reader.choice(domain, "disk-bus", DiskBus.self, default: .virtio),
      nic: reader.choice(domain, "nic", NetworkModel.self, default: .virtio),
      display: reader.choice(domain, "display", Display.self, default: boot?.isFirmware == true ? .vga : .nothing),
      vnc: vnc(domain),
      cpu: reader.choice(domain, "cpu", CPUModel.self, default: .host),
      hotplug: reader.flag(domain, "hotplug", default: isDebian),
      cdrom: file(domain, "cdrom"), floppy: file(domain, "floppy"))
  }

  private mutating func limits(_ domain: NodeReader.Fields, hasNetwork: Bool) -> ResourceLimits? {
    guard let node = domain.values["limits"]?.value,
      let fields = reader.fields(node, .limits)
    else { return nil }
    func number(_ key: String, _ range: ClosedRange<Int>) -> Int? {
      fields.has(key) ? reader.number(fields, key, in: range, default: range.lowerBound) : nil
    }
    var limits = ResourceLimits()
    limits.cpuWeight = number("cpu-weight", ResourceLimits.weights)
    limits.cpuCap = number("cpu-cap", ResourceLimits.caps)
    limits.cpus = reader.checked(fields, "cpus") { text in
      ProcessorList(text) == nil ? "must be a list of processors, as in 0-1,3" : nil
    }
    limits.diskRate = reader.size(fields, "disk-rate", in: ResourceLimits.diskRates, granule: 1)
    limits.diskOperations = number("disk-operations", ResourceLimits.diskOperationRates)
    limits.networkRate = reader.quantity(fields, "network-rate", BitRate.parse)
    if let rate = limits.networkRate, !ResourceLimits.networkRates.contains(rate) {
      reader.report(
        fields.mark(of: "network-rate"), "'network-rate' in a domain's 'limits' must be 64 kbit to 100 Gbit")
      limits.networkRate = nil
    }
    if limits.networkRate != nil, !hasNetwork {
      reader.report(
        fields.mark(of: "network-rate"), "'network-rate' in a domain without a network card; add 'network: true'")
    }
    return limits.isEmpty ? nil : limits
  }

  private mutating func vnc(_ domain: NodeReader.Fields) -> Recipe.VNC? {
    guard let node = domain.values["vnc"]?.value else { return nil }
    if case .scalar(let scalar) = node {
      if scalar.string != "off" {
        reader.report(
          node.mark,
          "'vnc' in a domain must be off, or a group of keys as in {password: secret}, not \(NodeReader.describe(node))"
        )
      }
      return nil
    }
    guard let fields = reader.fields(node, .vnc) else { return nil }
    let password = reader.checked(fields, "password") { text in
      (1...Limits.vncPassword).contains(text.utf8.count) && text.allSatisfy(\.isASCII)
        ? nil : "must have 1 to \(Limits.vncPassword) ASCII characters: VNC looks at no more"
    }
    return Recipe.VNC(password: password)
  }

  /// Devices' words that have no device.
  private mutating func checkHardware(
    _ fields: NodeReader.Fields, _ hardware: Recipe.Hardware, hasNetwork: Bool
  ) {
    if fields.has("nic"), !hasNetwork {
      reader.report(fields.mark(of: "nic"), "'nic' in a domain without a network card; add 'network: true'")
    }
    if hardware.vnc != nil, hardware.display == .nothing {
      reader.report(fields.mark(of: "vnc"), "'vnc' has nothing to show; add 'display: vga'")
    }
  }

  /// What must be there together, or must not.
  private mutating func check(
    _ fields: NodeReader.Fields, source: DecodedSource, boot: BootMethod?, hardware: Recipe.Hardware
  ) {
    if boot != .bios, hardware.floppy != nil {
      reader.report(fields.mark(of: "floppy"), "only a BIOS starts from a floppy disk; add 'boot: bios'")
    }
    if boot?.isFirmware == true, fields.has("command-line") { checkLoader(fields, source.kind) }
    switch source.kind {
    case .debian:
      if !fields.has("disk") { reader.missing("disk", in: fields) }
      if let boot, boot != .linux, !boot.isFirmware {
        reader.report(fields.mark(of: "boot"), "a Debian domain boots with 'boot: linux', 'bios' or 'uefi'")
      }
    case .image, .folder:
      if !fields.has("disk") { reader.missing("disk", in: fields) }
      if boot != .linux {
        reader.report(fields.mark(of: "boot"), "a root that is an image or a folder boots with 'boot: linux'")
      }
    case .hatchling:
      if boot != .pvh { reader.report(fields.mark(of: "boot"), "hatchling boots with 'boot: pvh'") }
      let useless = [
        "disk": "a disk", "cdrom": "a CD", "network": "a network card", "display": "a display",
        "hotplug": "disks that come and go",
      ].filter { fields.has($0.key) && reader.text(fields, $0.key) != "false" }
      for (key, name) in useless {
        reader.report(fields.mark(of: key), "hatchling has no use for \(name); leave it out")
      }
    case .freebsd:
      if !fields.has("disk") { reader.missing("disk", in: fields) }
      if let boot, ![.freebsd, .pvh, .bios, .uefi].contains(boot) {
        reader.report(
          fields.mark(of: "boot"), "a FreeBSD domain boots with 'boot: freebsd', 'pvh', 'bios' or 'uefi'")
      }
    case .plan9(_, let kernel, _):
      if boot != .plan9 { reader.report(fields.mark(of: "boot"), "a Plan 9 domain boots with 'boot: plan9'") }
      if hardware.diskBus != .virtio {
        reader.report(fields.mark(of: "disk-bus"), "a Plan 9 domain's root is a virtio disk; leave 'disk-bus' out")
      }
      if fields.has("disk"), !kernel.hasFossil {
        reader.report(
          fields.mark(of: "disk"), "\(kernel.rawValue) has its root in RAM; leave 'disk' out, or take 9pcf or 9k10f")
      }
    case .files(let files):
      checkFiles(fields, source.fields, files, boot: boot, hardware: hardware)
    }
    if fields.has("disk-bus"), !fields.has("disk"), !source.hasImage {
      reader.report(fields.mark(of: "disk-bus"), "'disk-bus' in a domain without a disk; leave it out")
    }
  }

  /// Firmware hands no command line on. Debian's is in GRUB's menu, and GRUB changes what is quoted or escaped.
  private mutating func checkLoader(_ fields: NodeReader.Fields, _ source: Recipe.DomainSource) {
    let mark = fields.mark(of: "command-line")
    guard case .debian = source else {
      return reader.report(
        mark, "firmware has no command line to hand on; leave it out, or name a kernel in the domain's source")
    }
    if reader.text(fields, "command-line")?.contains(where: { "'\"\\".contains($0) }) == true {
      reader.report(mark, "GRUB hands no quotes and no backslashes on; leave them out, or use 'boot: linux'")
    }
  }

  private mutating func checkFiles(
    _ domain: NodeReader.Fields, _ source: NodeReader.Fields?, _ files: Recipe.Files, boot: BootMethod?,
    hardware: Recipe.Hardware
  ) {
    func mark(_ key: String) -> Mark? { source?.mark(of: key) }
    guard let boot else {
      return checkDirect(domain, source, files)
    }
    if boot.isFirmware {
      if source?.has("kernel") == true {
        reader.report(
          mark("kernel"),
          "'boot: \(boot.rawValue)' enters firmware, which takes no kernel; leave out 'kernel', or 'boot' to enter it")
      }
      if files.program != nil, boot != .uefi {
        reader.report(mark("efi"), "a BIOS starts no EFI program; use 'boot: uefi', or 'image: FILE' for a disk")
      }
      if files.image == nil, files.program == nil, hardware.cdrom == nil, hardware.floppy == nil {
        reader.report(
          source?.mark ?? domain.mark,
          "firmware finds nothing to start; add 'image: FILE' to the domain's source, or 'cdrom: FILE' to the domain")
      }
    } else {
      if files.kernel == nil, source?.has("kernel") != true {
        reader.report(
          source?.mark ?? domain.mark,
          "'boot: \(boot.rawValue)' needs a kernel; add 'kernel: FILE' to the domain's source, or use 'boot: bios'")
      }
      checkDirect(domain, source, files)
    }
    let takers: [(key: String, methods: [BootMethod], remedy: String)] = [
      ("initrd", [.linux, .pvh, .xenPVH, .freebsd], "leave it out"),
      ("modules", [.pvh, .xenPVH, .multiboot], "leave them out, or use 'boot: multiboot'"),
    ]
    for (key, methods, remedy) in takers where source?.has(key) == true && !methods.contains(boot) {
      reader.report(mark(key), "a kernel entered with 'boot: \(boot.rawValue)' takes no '\(key)'; \(remedy)")
    }
  }

  private mutating func checkDirect(
    _ domain: NodeReader.Fields, _ source: NodeReader.Fields?, _ files: Recipe.Files
  ) {
    if files.image == nil, domain.has("disk") {
      reader.report(domain.mark(of: "disk"), "a disk needs an image: add 'root: FILE' to the domain's source")
    }
  }

  private mutating func readiness(
    _ domain: NodeReader.Fields, source: Recipe.DomainSource?
  ) -> Recipe.Readiness? {
    var natural: String?
    switch source {
    case .debian(_, _, let hostname)?: natural = "\(hostname) login:"
    case .hatchling?: natural = "hatchling> "
    case .freebsd?: natural = "login:"
    case .plan9?: natural = "term% "
    case .image(let root)?: natural = root.launch.readyText
    case .folder(let root)?: natural = root.launch.readyText
    default: break
    }
    guard let node = domain.values["ready"]?.value else {
      if natural == nil, source != nil { reader.missing("ready", in: domain) }
      return natural.map { .init(consoleText: $0, timeoutSeconds: 300) }
    }
    guard let fields = reader.fields(node, .ready) else { return nil }
    var timeout: Int? = 300
    if fields.has("timeout") {
      timeout = reader.quantity(fields, "timeout", TimeLength.parse)
      if let seconds = timeout, !Limits.readySeconds.contains(seconds) {
        reader.report(fields.mark(of: "timeout"), "'timeout' in a domain's 'ready' must be 1 s to 1440 min")
        timeout = nil
      }
    }
    let text = reader.checked(fields, "console", required: natural == nil) {
      $0.isEmpty || $0.utf8.count > 200 ? "must have 1 to 200 bytes" : nil
    }
    guard let timeout, let text = text ?? (fields.has("console") ? nil : natural) else { return nil }
    return .init(consoleText: text, timeoutSeconds: timeout)
  }

  private static func operatingSystem(of source: Recipe.DomainSource) -> String {
    switch source {
    case .debian("bookworm", _, _): "Debian 12"
    case .debian("trixie", _, _): "Debian 13"
    case .debian("forky", _, _): "Debian 14"
    case .debian(let suite, _, _): "Debian \(suite)"
    case .hatchling: "Hatchling"
    case .freebsd: "FreeBSD"
    case .plan9: "Plan 9"
    case .image, .folder: "Linux"
    case .files: "unknown"
    }
  }
}
