import Platform
import Testing

/// From a CD's live session to a disk, on the real appliance with guests that write.
@Suite("Persistence", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct PersistTests {
  @Test("A live session moves to an empty disk while guests write, and is there after the power was cut")
  func persist() throws {
    let disk = "build/home.img"
    defer { try? Files.remove(disk) }
    try EmulatorPanic.startingOver { attempt in
      try FileDescriptor(opening: disk, [.readWrite, .create, .truncate]).truncate(to: 2 << 30)
      let options = Appliance.Options(iso: try Environment.image(), target: disk)
      let live = try Appliance.start(options, log: "persist-live-\(attempt)")
      try watching(live) { try liveSession(live) }
      // No goodbye: what `Machine` does when it goes is what a power cut does, to all but the host's caches.
      live.cutPower()
      let after = try Appliance.start(options, log: "persist-after-\(attempt)")
      try watching(after) { try sessionAfter(after) }
    }
  }

  @Test("With --standalone the disk starts by itself, and the CD can be taken out while guests run")
  func standalone() throws {
    let disk = "build/standalone.img"
    defer { try? Files.remove(disk) }
    try EmulatorPanic.startingOver { attempt in
      try FileDescriptor(opening: disk, [.readWrite, .create, .truncate]).truncate(to: 3 << 30)
      let live = try Appliance.start(
        Appliance.Options(iso: try Environment.image(), target: disk), log: "standalone-live-\(attempt)")
      try watching(live) {
        try live.wait(for: "All 3 domains are ready.", seconds: 600)
        try live.logIn("1", "debian")
        try live.type("echo ke''pt >/before && sync && cat /before\r")
        try live.wait(for: "kept", seconds: 60)
        try live.leaveConsole()
        try live.type("x")
        try live.wait(for: "#", seconds: 60)
        try live.type("roost storage persist /dev/vda --standalone\r")
        try live.wait(for: "can be taken out", seconds: 900)
        // Nobody reads the CD any more: its drive is taken away, and what is not in memory is read from the disk.
        try live.type("grep -c sr0 /proc/mounts; echo 1 >/sys/block/sr0/device/delete && echo drive-ta''ken\r")
        try live.wait(for: "drive-taken", seconds: 60)
        try live.type("echo 3 >/proc/sys/vm/drop_caches; sha256sum /usr/sbin/roost-vmm | cut -c 65-\r")
        try live.wait(for: "/usr/sbin/roost-vmm", seconds: 60)
        let reboot = Machine.rebooting("hatchling")
        try live.type("\(reboot.line)\r")
        try live.wait(for: reboot.answer, seconds: 240)
        try live.type("roost events --domain hatchling --until ready && exit\r")
        try live.wait(for: "All 3 domains are ready.", seconds: 240)
      }
      live.cutPower()
      let after = try Appliance.start(Appliance.Options(stick: disk), log: "standalone-after-\(attempt)")
      try watching(after) {
        try after.wait(for: "All 3 domains are ready.", seconds: 600)
        try after.logIn("1", "debian")
        try after.type("cat /before\r")
        try after.wait(for: "kept", seconds: 60)
      }
    }
  }

  private func watching(_ machine: Machine, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch {
      try EmulatorPanic.check(text: machine.text)
      throw error
    }
    #expect(!machine.text.contains("Kernel panic"))
    #expect(!machine.text.contains("guest crashed"))
  }

  private func liveSession(_ machine: Machine) throws {
    try machine.wait(for: "All 3 domains are ready.", seconds: 600)
    for (key, name) in [("2", "bookworm"), ("1", "debian")] {
      try machine.logIn(key, name)
      try machine.type("echo ke''pt >/before && sync && cat /before\r")
      try machine.wait(for: "kept", seconds: 60)
      if name == "debian" {
        try machine.type("(while sleep 1; do date >>/ticks; sync /ticks; done) & echo ticks-st''art\r")
        try machine.wait(for: "ticks-start", seconds: 60)
      }
      try machine.leaveConsole()
    }

    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    try machine.type("roost disk snapshot debian early && roost disk list\r")
    try machine.wait(for: "snapshot", seconds: 120)
    try machine.type("roost storage persist /dev/vda\r")
    try machine.wait(for: "/dev/vda is the guests' home", seconds: 600)
    try machine.type("roost storage status\r")
    try machine.wait(for: "on /dev/vda", seconds: 120)
    try machine.type("exit\r")
    try machine.wait(for: "All 3 domains are ready.", seconds: 60)
    // On a network that no recipe has: all of it comes back with the disk, both at once.
    try machine.inShell(
      [
        ("roost network create lab --mode isolated --subnet 10.80.1.0/24", "lab: isolated, 10.80.1.1/24"),
        (
          "roost create --like hatchling --memory 16MiB --name made --count 2 --network lab",
          "made-2: starting, 10.80.1.11"
        ),
      ], then: "All 5 domains are ready.")

    // The guest went on all the while, and goes on.
    try machine.type("1")
    try machine.wait(for: "root@debian:~#", seconds: 120)
    try machine.type("a=$(wc -l </ticks); sleep 4; b=$(wc -l </ticks); [ $b -gt $a ] && echo goes-o''n\r")
    try machine.wait(for: "goes-on", seconds: 120)
    try machine.type("echo mo''ved >/after && sync && cat /after\r")
    try machine.wait(for: "moved", seconds: 60)
  }

  private func sessionAfter(_ machine: Machine) throws {
    try machine.wait(for: "All 5 domains are ready.", seconds: 600)
    for (key, name) in [("2", "bookworm"), ("1", "debian")] {
      try machine.logIn(key, name)
      try machine.type("cat /before /after; wc -l /ticks\r")
      try machine.wait(for: "kept", seconds: 60)
      if name == "debian" {
        try machine.wait(for: "moved", seconds: 60)
        try machine.wait(for: "/ticks", seconds: 60)
      }
      try machine.leaveConsole()
    }
    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    try machine.type("roost disk list\r")
    try machine.wait(for: "early", seconds: 120)
    try machine.type("exit\r")
    try machine.wait(for: "All 5 domains are ready.", seconds: 60)
    try machine.inShell([
      ("echo on''-lab: $(ls /sys/class/net/net-lab/brif)", "on-lab: tap-made-1 tap-made-2"),
      ("roost network list | grep -A 2 '^lab: isolated, 10.80.1.1/24' | grep made-1", "made-1  10.80.1.10"),
      ("roost remove made-1 made-2 --force --yes", "made-2: removed"),
      ("roost network remove lab", "lab: removed"),
    ])
  }
}

extension Machine {
  /// Logs in as root on the console of the domain that a key of the screen stands for.
  func logIn(_ key: String, _ name: String) throws {
    try type(key)
    try wait(for: "\(name) login:", seconds: 60)
    try type("root\r")
    try wait(for: "root@\(name):~#", seconds: 120)
  }

  /// Goes back to the screen.
  func leaveConsole() throws {
    try type("\u{1D}")
    try wait(for: " ready.", seconds: 60)
  }
}
