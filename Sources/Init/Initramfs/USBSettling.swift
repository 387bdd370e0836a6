internal import Platform

/// How long to wait, once a medium is found, for what is still on its way: the partitions of its disk, and sticks. A
/// stick that goes before a disc takes seconds longer than the drive to appear, and a second stick must be seen.
struct USBSettling {
  /// What any disk's partitions need, in milliseconds.
  private static let partitions: UInt64 = 500
  /// What a hub needs to tell what is plugged into it: it looks after its driver is loaded, and lets contacts rest.
  private static let hubs: UInt64 = 1500
  /// What a stick gets to become a disk; one that is broken never does.
  private static let sticks: UInt64 = 10_000

  private var since: UInt64?

  /// Whether the wait is over, asked again and again while there is a medium. `now` is in nanoseconds, `sys` where sysfs
  /// is mounted.
  mutating func isOver(now: UInt64 = MonotonicClock.now(), sys: String = "/sys") -> Bool {
    let start = since ?? now
    since = start
    let waited = (now - start) / 1_000_000
    if waited < Self.partitions { return false }
    let devices = (try? Files.list("\(sys)/bus/usb/devices")) ?? []
    if devices.isEmpty { return true }
    if waited < Self.hubs { return false }
    return waited >= Self.sticks || !Self.isStickPending(devices, sys: sys)
  }

  /// Whether an interface for mass storage (class 8, USB Mass Storage Class Specification Overview 1.4) has no disk yet.
  private static func isStickPending(_ devices: [String], sys: String) -> Bool {
    let interfaces = devices.filter { (try? Files.readText("\(sys)/bus/usb/devices/\($0)/bInterfaceClass")) == "08\n" }
    if interfaces.isEmpty { return false }
    let disks = ((try? Files.list("\(sys)/class/block")) ?? []).compactMap { name in
      try? Files.resolve("\(sys)/class/block/\(name)")
    }
    return interfaces.contains { interface in !disks.contains { $0.contains("/\(interface)/") } }
  }
}
