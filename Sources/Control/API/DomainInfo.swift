public import Manifest

/// Result of `info`: all that is known of a domain.
public struct DomainInfo: Codable, Hashable, Sendable {
  /// What it is and does.
  public var status: DomainStatus
  /// How it boots, as a recipe has it.
  public var boot: String
  /// The model of its virtual CPUs.
  public var cpuModel: String
  /// What a restart of the guest leads to.
  public var onReboot: String
  /// What a crash of the guest leads to.
  public var onCrash: String
  /// What its console shows when it is ready.
  public var readyText: String
  /// The volume of its own disk.
  public var disk: String?
  /// The disks that it has beside its own, by name.
  public var disks: [String]
  /// Whether disks may come and go while it runs.
  public var acceptsDisks: Bool
  /// The hardware address of its first network card.
  public var mac: String?
  /// Its network cards; nil for none.
  public var cards: [ApplianceManifest.NetworkCard]?
  /// What it may take of the machine; nil for no limits.
  public var limits: ResourceLimits?
  /// The domains that it starts after, and goes down before; nil for none.
  public var after: [String]?
  /// What it took of the machine so far, while it runs.
  public var usage: UsageReport.Domain?

  /// All fields.
  public init(
    status: DomainStatus, boot: String, cpuModel: String, onReboot: String, onCrash: String, readyText: String,
    disk: String? = nil, disks: [String] = [], acceptsDisks: Bool = false, mac: String? = nil,
    cards: [ApplianceManifest.NetworkCard]? = nil, limits: ResourceLimits? = nil, after: [String]? = nil,
    usage: UsageReport.Domain? = nil
  ) {
    self.status = status
    self.boot = boot
    self.cpuModel = cpuModel
    self.onReboot = onReboot
    self.onCrash = onCrash
    self.readyText = readyText
    self.disk = disk
    self.disks = disks
    self.acceptsDisks = acceptsDisks
    self.mac = mac
    self.cards = cards
    self.limits = limits
    self.after = after
    self.usage = usage
  }

  private var limitRows: [(String, String)] {
    guard let limits else { return [] }
    var rows: [(String, String)] = []
    if let weight = limits.cpuWeight { rows.append(("cpu weight", "\(weight)")) }
    if let cap = limits.cpuCap { rows.append(("cpu cap", "\(cap) % of one processor")) }
    if let cpus = limits.cpus { rows.append(("runs on", "processors \(cpus)")) }
    if let rate = limits.diskRate { rows.append(("disk rate", "\(ByteSize.format(rate)) a second")) }
    if let rate = limits.diskOperations { rows.append(("disk operations", "\(rate) a second")) }
    if let rate = limits.networkRate { rows.append(("network rate", "\(BitRate.format(rate)) a second")) }
    return rows
  }

  /// A line for each thing that is known, `now` being the appliance's uptime: names on the left, in one column.
  public func lines(now: Double) -> [String] {
    var rows: [(String, String)] = [
      ("name", status.name), ("os", status.os),
      ("state", status.activity + (status.reason.map { ": \($0)" } ?? "")),
    ]
    if let started = status.startedAt, status.pid != nil { rows.append(("up", Text.seconds(max(0, now - started)))) }
    if let ready = status.readySeconds { rows.append(("ready after", Text.seconds(ready))) }
    if status.restarts > 0 { rows.append(("restarts", "\(status.restarts)")) }
    rows += [
      ("cpus", "\(status.cpus) (\(cpuModel))\(status.usableCPUs.map { ", with the time of \($0)" } ?? "")"),
      ("memory", status.memoryWords),
    ]
    if let balance = status.memory?.balance { rows.append(("memory balancer", balance)) }
    if let usage {
      rows += [
        ("cpu time", Text.seconds(usage.cpuSeconds)), ("memory used", Text.size(usage.memoryBytes)),
      ]
      rows += usage.rows
    }
    rows.append(("boot", boot))
    if let disk { rows.append(("disk", disk)) }
    if !disks.isEmpty { rows.append(("more disks", disks.joined(separator: ", "))) }
    rows.append(("disks may come and go", acceptsDisks ? "yes" : "no"))
    for (index, card) in (cards ?? []).enumerated() {
      let words = [card.mac, card.address, card.network == nil ? nil : "on \(card.networkName)"].compactMap { $0 }
      rows.append((index == 0 ? "network" : "network card \(index)", words.joined(separator: ", ")))
    }
    rows += limitRows
    rows += [
      ("on reboot", onReboot), ("on crash", onCrash), ("autostart", status.autostart ? "yes" : "no"),
    ]
    if let after { rows.append(("starts after", after.joined(separator: ", "))) }
    rows.append(("ready when", "its console shows \"\(Text.printable(readyText))\""))
    if let pid = status.pid { rows.append(("monitor", "process \(pid)")) }
    rows += [("console", status.console), ("log", status.log)]
    if let screen = status.screen { rows.append(("screen", screen)) }
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { name, value in
      name + String(repeating: " ", count: width - name.count + 2) + value
    }
  }
}
