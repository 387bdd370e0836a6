internal import Manifest
internal import Platform

/// ATA over Ethernet, which is all in the kernel (Documentation/admin-guide/aoe): it asks on its network interfaces who
/// is there, and makes a device for each that answers.
struct AoEDriver: RemoteDriver {
  private static let interfaces = "/sys/module/aoe/parameters/aoe_iflist"
  private static let controls = "/dev/etherd"
  /// Seconds after which the kernel gives a device up that does not answer: a week, so that who uses it waits.
  private static let patience = 7 * 86400

  func device(of record: RemoteRecord, at address: RemoteAddress) -> String? {
    guard let name = Self.name(address), let node = BlockTree().nodes["etherd!\(name)"], node.size > 0,
      Files.exists(node.path)
    else { return nil }
    return node.path
  }

  /// What the kernel calls a target.
  private static func name(_ address: RemoteAddress) -> String? {
    guard case .aoe(let shelf, let slot, _) = address else { return nil }
    return "e\(shelf).\(slot)"
  }

  func connect(_ record: RemoteRecord, to address: RemoteAddress) throws(StorageError) -> String {
    guard case .aoe(let shelf, let slot, let interface) = address else {
      throw StorageError(.plan, "\(address) is no address of AoE's")
    }
    if let interface, !Files.exists("/sys/class/net/\(interface)") {
      let names = ((try? Files.list("/sys/class/net")) ?? []).filter { $0 != "lo" }
      throw StorageError(
        .remote, "there is no network interface \(interface) for \(address); there are \(names.joined(separator: ", "))"
      )
    }
    try Tool.load("aoe", ["aoe_deadsecs=\(Self.patience)"])
    let listed = (Tool.text(Self.interfaces) ?? "").split { $0 == "," || $0 == " " }.map(String.init)
    // Without names the kernel takes all of its interfaces; with some, it hears no others: where all are in use already,
    // it stays so.
    let isInUse = BlockTree().nodes.keys.contains { $0.hasPrefix("etherd!") }
    let wanted =
      listed.isEmpty && isInUse ? [] : interface.map { listed.contains($0) ? listed : listed + [$0] } ?? []
    // A NUL is the empty list; a line's end alone is one of no interface (drivers/block/aoe/aoenet.c, is_aoe_netif).
    let text = Array(wanted.joined(separator: ",").utf8) + [wanted.isEmpty ? 0 : 0x0A]
    try storage("choose AoE's network interfaces") { () throws(SystemError) in
      if wanted != listed { try Files.write(text, to: Self.interfaces) }
    }
    let found = Tool.wait(seconds: 8) { () -> String? in
      try? Files.write("\n", to: "\(Self.controls)/discover")
      MonotonicClock.sleep(milliseconds: 200)
      return self.device(of: record, at: address)
    }
    guard let found else {
      throw StorageError(
        .remote,
        "no AoE target \(shelf).\(slot) answers on \(interface ?? "any network interface"): is it served there, "
          + "in the same network (AoE passes no router)?")
    }
    return found
  }

  func disconnect(
    _ record: RemoteRecord, from address: RemoteAddress, others: [RemoteRecord]
  ) throws(StorageError) {
    guard let name = Self.name(address), device(of: record, at: address) != nil else { return }
    try storage("let AoE's \(name) go") { () throws(SystemError) in
      // With the NUL it is this name; without it, all that begin so (drivers/block/aoe/aoedev.c, user_req).
      try Files.write(Array(name.utf8) + [0], to: "\(Self.controls)/flush")
    }
    _ = Tool.wait(seconds: 5) { self.device(of: record, at: address) == nil ? true : nil }
  }

  func trouble(with record: RemoteRecord, at address: RemoteAddress) -> String? {
    guard let name = Self.name(address), let state = Tool.text("/sys/block/etherd!\(name)/state") else { return nil }
    guard !state.hasPrefix("up") else { return nil }
    return "AoE's \(name) does not answer (\(state)); who uses it waits until it does"
  }
}
