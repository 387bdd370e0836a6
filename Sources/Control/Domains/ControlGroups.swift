internal import Manifest
internal import Platform

/// The kernel's control groups of domains' monitors (Linux, Documentation/admin-guide/cgroup-v2.rst): one for each below
/// `roost`, with what its domain may take.
///
/// Lives on the loop's thread.
struct ControlGroups {
  /// Threads and processes that a monitor may have: a processor's each, two a disk, and some more. What would fork
  /// without end stops there.
  static let taskLimit = 512
  /// Bytes that a monitor may have beside its guest's memory: its own, its screen, and what of files the kernel keeps for
  /// it. KVM's tables, which are charged to it as well, grow with the guest. A monitor that somebody took over so takes no
  /// memory from others.
  static func memoryLimit(guest bytes: Int) -> Int { bytes + bytes / 64 + 256 << 20 }
  /// The period that a cap of processors is counted in, in microseconds.
  static let capPeriod = 100_000

  private static let controllers = ["cpu", "cpuset", "io", "memory", "pids"]

  /// The group of all domains.
  let directory: String

  /// Makes the group of all domains below `root`. Throws where the kernel has no such groups.
  init(root: String) throws(SystemError) {
    directory = "\(root)/roost"
    // Not all of them need be there: what is missing is missed when a limit is set.
    for controller in Self.controllers { try? Files.write("+\(controller)", to: "\(root)/cgroup.subtree_control") }
    try Files.makeDirectories(directory)
    for controller in Self.controllers { try? Files.write("+\(controller)", to: "\(directory)/cgroup.subtree_control") }
  }

  func path(of domain: String) -> String { "\(directory)/\(domain)" }

  /// Makes a domain's group if it is not there, for a guest with `memory` bytes at most. A monitor joins it by writing to
  /// the file that is returned.
  func make(_ domain: String, memory: Int) throws(SystemError) -> String {
    try Files.makeDirectories(path(of: domain))
    try? Files.write("\(Self.memoryLimit(guest: memory))", to: "\(path(of: domain))/memory.max")
    try? Files.write("\(Self.taskLimit)", to: "\(path(of: domain))/pids.max")
    let entry = "\(path(of: domain))/cgroup.procs"
    // The kernel makes it with the group: without it this is no such file system.
    guard Files.exists(entry) else { throw SystemError("join", path: entry, errno: .noSuchFile) }
    return entry
  }

  /// Removes a domain's group; one that still has processes stays, and is used again.
  func remove(_ domain: String) {
    try? Files.remove(path(of: domain))
  }

  /// Sets what a domain may take. `processors` is how many of its own it has the time of, nil for all; `disks` are its
  /// block devices.
  func apply(_ limits: ResourceLimits, processors: Int?, to domain: String, disks: [String]) throws(ControlError) {
    var limits = limits
    // A cap that its recipe or a user set holds beside.
    if let processors { limits.cpuCap = min(limits.cpuCap ?? .max, processors * 100) }
    for (file, text) in Self.settings(
      limits, disks: try disks.map { (disk) throws(ControlError) in try Self.number(of: disk) })
    {
      do throws(SystemError) {
        let path = "\(path(of: domain))/\(file)"
        // What is not there has no limit to be taken away.
        if Files.exists(path) || !Self.isNeutral(limits, file) { try Files.write(text, to: path) }
      } catch {
        throw ControlError(.system, "\(domain): the kernel does not take \(file) = \(text): \(error.errno)")
      }
    }
  }

  private static func isNeutral(_ limits: ResourceLimits, _ file: String) -> Bool {
    switch file {
    case "cpu.weight": limits.cpuWeight == nil
    case "cpu.max": limits.cpuCap == nil
    case "cpuset.cpus": limits.cpus == nil
    default: limits.diskRate == nil && limits.diskOperations == nil
    }
  }

  /// What is written to which file, in order.
  static func settings(_ limits: ResourceLimits, disks: [String]) -> [(file: String, text: String)] {
    let cap = limits.cpuCap.map { "\($0 * capPeriod / 100)" } ?? "max"
    var settings = [
      (file: "cpu.weight", text: "\(limits.cpuWeight ?? 100)"), (file: "cpu.max", text: "\(cap) \(capPeriod)"),
      (file: "cpuset.cpus", text: limits.cpus ?? "\n"),
    ]
    let rate = limits.diskRate.map { "\($0)" } ?? "max"
    let operations = limits.diskOperations.map { "\($0)" } ?? "max"
    for disk in disks {
      settings.append(
        (file: "io.max", text: "\(disk) rbps=\(rate) wbps=\(rate) riops=\(operations) wiops=\(operations)"))
    }
    return settings
  }

  /// The major and minor number of a block device, as in `254:3`.
  private static func number(of device: String) throws(ControlError) -> String {
    do throws(SystemError) {
      guard let status = try Files.status(device, followingLinks: true) else {
        throw SystemError("find", path: device, errno: .noSuchFile)
      }
      return BlockTree.number(status.device)
    } catch {
      throw ControlError(.system, "cannot limit a disk: \(error)")
    }
  }
}
