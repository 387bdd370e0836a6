import Platform
import Testing

/// A stick that is pulled out of the running appliance, and what comes back in its place.
@Suite("Pulled sticks", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct PullTests {
  @Test(
    """
    Guests pause when the stick is pulled out, another stick is refused, the same one lets them go on with nothing \
    lost; and the machine comes to its end without it
    """)
  func pull() throws {
    let folder = "build/pulled"
    try Files.removeTree(folder)
    try Files.makeDirectories(folder)
    defer { try? Files.removeTree(folder) }
    let stick = "\(folder)/stick"
    try Files.write("sticks: [{hostname: lab-05, autostart: [debian]}]\n", to: "\(folder)/lab.yaml")
    let program = try Environment.program("roost")
    try EmulatorPanic.startingOver { attempt in
      try Files.remove(stick)
      let image = try Environment.image()
      _ = try DamagedImage.output(
        [program, "provision", image, "--roster", "\(folder)/lab.yaml", "--size", "1GiB", "--to", stick])
      let options = Appliance.Options(stick: stick, control: "\(folder)/control")
      let machine = try Appliance.start(options, log: "pulled-\(attempt)")
      let emulator = try EmulatorControl("\(folder)/control")
      do {
        try session(machine, emulator, stick: stick, copy: "\(folder)/copy")
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
    }
  }

  private static let gone = "the stick that this machine runs from was pulled out"

  private func session(_ machine: Machine, _ emulator: EmulatorControl, stick: String, copy: String) throws {
    try machine.wait(for: "debian is ready.", seconds: 900)
    try machine.logIn("1", "debian")
    // Numbered lines, each brought to the disk, and a file whose content is compared at the end.
    try machine.type("head -c 8M /dev/urandom >/big; sha256sum /big >/sum; sync; echo pre''pared\r")
    try machine.wait(for: "prepared", seconds: 120)
    try machine.type("(n=0; while [ ! -e /stop ]; do n=$((n+1)); echo $n >>/log || break; sync; done; : >/ended) &\r")
    try machine.type("until [ -s /log ]; do sleep 1; done; echo wri''ting\r")
    try machine.wait(for: "writing", seconds: 240)
    try machine.leaveConsole()

    try emulator.pull("stick-device")
    try machine.wait(for: Self.gone, seconds: 60)
    try machine.wait(for: "debian: paused until the stick is back", seconds: 60)
    let pulled = MonotonicClock.now()

    // A copy, bit by bit.
    try DamagedImage.run(["cp", "--sparse=always", stick, copy])
    try emulator.open(copy, as: "copy")
    try emulator.plug("copy-device", node: "copy", serial: "roost-2")
    try machine.wait(for: "is a copy of the stick", seconds: 60)
    try emulator.pull("copy-device")
    try emulator.close("copy")

    // The same stick, after another machine was started from it.
    do {
      let other = try Appliance.start(.init(memory: 2048, stick: copy), log: "pulled-elsewhere")
      try other.wait(for: "debian     Debian 13  running", seconds: 400)
      other.cutPower()
    }
    try emulator.open(copy, as: "used")
    try emulator.plug("used-device", node: "used", serial: "roost-1")
    try machine.wait(for: "was used by another machine meanwhile", seconds: 60)
    try emulator.pull("used-device")

    // Longer than any system waits for a disk.
    while MonotonicClock.now() < pulled + 45_000_000_000 { MonotonicClock.sleep(milliseconds: 500) }
    try emulator.plug("stick-again", node: "stick", serial: "roost-1")
    try machine.wait(for: "the stick is back: the guests go on", seconds: 60)
    try machine.type("1")
    try machine.type("\r")
    try machine.wait(for: "root@debian:~#", seconds: 60)
    try machine.type("sleep 3; : >/stop; while [ ! -e /ended ]; do sleep 1; done; echo writer-''over\r")
    try machine.wait(for: "writer-over", seconds: 120)
    try machine.type("[ $(wc -l </log) = $(tail -n 1 /log) ] && sha256sum -c /sum && echo all-is-the''re\r")
    try machine.wait(for: "all-is-there", seconds: 60)
    try machine.type("echo errors=$(dmesg | grep -ci 'i/o error\\|remount\\|hung').\r")
    try machine.wait(for: "errors=0.", seconds: 60)
    try machine.leaveConsole()
    // What the control domain runs is on the stick as well.
    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    try machine.type("echo 3 >/proc/sys/vm/drop_caches; sha256sum /usr/sbin/roost-vmm | cut -c 65-\r")
    try machine.wait(for: "/usr/sbin/roost-vmm", seconds: 60)
    try machine.type("echo errors=$(dmesg | grep -ci 'buffer i/o error\\|squashfs error\\|dm-thin').; exit\r")
    try machine.wait(for: "errors=0.", seconds: 60)
    try machine.wait(for: "debian is ready.", seconds: 60)

    // Gone for good: the machine is turned off all the same, and says what that costs.
    try emulator.pull("stick-again")
    try machine.wait(for: Self.gone, seconds: 60)
    try machine.wait(for: "debian: paused until the stick is back", seconds: 60)
    try machine.type("p")
    try machine.wait(for: "asked to power off first", seconds: 30)
    try machine.type("o")
    try machine.wait(for: "what waited to be written is lost", seconds: 180)
    #expect(try machine.waitForExit(seconds: 240) == .exited(0))
    #expect(!machine.text.contains("Kernel panic"))
  }
}
