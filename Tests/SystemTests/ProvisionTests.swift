import Identity
import Platform
import Testing

/// Sticks made of the image under test, each started as a USB stick.
@Suite("Sticks of a lab", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct ProvisionTests {
  private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"
  private static let sticks = ["build/stick-1.img", "build/stick-2.img", "build/stick-3.img"]

  private static let roster = """
    ssh-keys: [\(key)]
    sticks:
      - {hostname: lab-01, autostart: [debian]}
      - {hostname: lab-02, autostart: [hatchling], network: {subnet: 10.78.0.0/24}}
      - {hostname: lab-03, autostart: []}

    """

  private func provision(_ arguments: [String]) throws -> Machine {
    try Machine(
      [try Environment.program("roost"), "provision", try Environment.image()] + arguments, log: "provision")
  }

  @Test("Three sticks from a roster come up with their own names, networks and domains, and keep what guests write")
  func threeSticks() throws {
    defer { for stick in Self.sticks { try? Files.remove(stick) } }
    for stick in Self.sticks { try Files.remove(stick) }
    try Files.write(Self.roster, to: "build/lab.yaml")
    let writing = try provision(["--roster", "build/lab.yaml", "--size", "1GiB", "--to"] + Self.sticks)
    #expect(try writing.waitForExit(seconds: 300) == .exited(0), "\(writing.tail)")
    #expect(writing.text.contains("3 of 3 sticks are written and compared"), "\(writing.tail)")
    for (index, stick) in Self.sticks.enumerated() {
      try EmulatorPanic.startingOver { attempt in
        // The disc that it was made of does not keep the last one from being itself.
        let disc = index == 2 ? try Environment.image() : nil
        try check(index, try Appliance.start(.init(iso: disc, stick: stick), log: "stick-\(index + 1)-\(attempt)"))
      }
    }
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(.init(stick: Self.sticks[0]), log: "stick-again-\(attempt)")
      do {
        try machine.wait(for: "debian is ready.", seconds: 600)
        try machine.logIn("1", "debian")
        try machine.type("cat /lesson\r")
        try machine.wait(for: "kept by lab-01", seconds: 60)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
    }
  }

  private static let firstDomains = ["debian", "hatchling", nil]

  /// What the stick of this index says of itself on its screen and in its shell.
  private func check(_ index: Int, _ machine: Machine) throws {
    let name = "lab-0\(index + 1)"
    do {
      try machine.wait(for: " on \(name)", seconds: 400)
      let domain = Self.firstDomains[index]
      if let domain { try machine.wait(for: "\(domain) is ready.", seconds: 600) }
      if index == 0 {
        try machine.logIn("1", "debian")
        try machine.type("echo kept by lab-''01 >/lesson && sync && cat /lesson\r")
        try machine.wait(for: "kept by lab-01", seconds: 60)
        try machine.leaveConsole()
      }
      try machine.type("x")
      try machine.wait(for: "#", seconds: 60)
      // The shell echoes what is typed: what is waited for is put together by it.
      try machine.type(
        "echo name=$(hostname) keys=$(wc -l < /root/.ssh/authorized_keys) mode=$(stat -c %a /root/.ssh/authorized_keys)\r"
      )
      try machine.wait(for: "name=\(name) keys=1 mode=600", seconds: 60)
      try machine.type("ip -o -4 address show roost0 | sed 's/^/bridge/'\r")
      try machine.wait(for: index == 1 ? "inet 10.78.0.1/24" : "inet 10.77.0.1/24", seconds: 60)
      try machine.type("roost list | sed 's/^/now: /'\r")
      try machine.wait(for: "now: hatchling", seconds: 60)
      try machine.type("roost storage status | sed 's/^/store: /'\r")
      try machine.wait(for: "on /dev/mapper/roost-storage", seconds: 60)
      try machine.type(
        "echo medium=$(sed -n 's,^[^ ]* /run/roost/medium .*,seen,p' /proc/mounts) $(ls /sys/class/block | tr '\\n' ' ')\r"
      )
      try machine.wait(for: "medium=seen", seconds: 60)
      try machine.wait(for: "sda1 sda2 sda3 sda4", seconds: 60)
    } catch {
      try EmulatorPanic.check(text: machine.text)
      throw error
    }
    let states = machine.text.split(whereSeparator: \.isNewline).filter { $0.contains("now: ") }
    for domain in ["debian", "hatchling"] {
      let state = domain == Self.firstDomains[index] ? "ready" : "defined"
      #expect(states.contains { $0.contains(domain) && $0.contains(state) }, "\(states)")
    }
  }

  @Test("Killed at any moment, provisioning leaves a whole stick or none, and completes it the next time")
  func killed() throws {
    let stick = "build/stick-killed.img"
    defer { try? Files.remove(stick) }
    try Files.remove(stick)
    let iso = try Environment.image()
    let arguments = ["--size", "1GiB", "--to", stick, "--wipe", "--yes"]
    func complete() throws -> UInt64 {
      let start = MonotonicClock.now()
      let writing = try provision(arguments)
      #expect(try writing.waitForExit(seconds: 300) == .exited(0), "\(writing.tail)")
      return (MonotonicClock.now() - start) / 1_000_000
    }
    func isWhole() throws -> Bool {
      let size = try #require(try Files.status(iso)).size - (1 << 20)
      let compare = ["cmp", "-s", "-i", "1048576", "-n", "\(size)", iso, stick]
      return try ChildProcess.start(ChildRequest(compare)).wait().isSuccess
    }
    let milliseconds = try complete()
    #expect(try isWhole())
    let seed = Environment.value("ROOST_CUT_SEED").flatMap(UInt64.init) ?? MonotonicClock.now()
    print("kills while provisioning: seed \(seed) (ROOST_CUT_SEED=\(seed) repeats them)")
    var state = seed
    var whole = 0
    for kill in 0..<20 {
      // Knuth's multiplier and increment for MMIX.
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let writing = try provision(arguments)
      MonotonicClock.sleep(milliseconds: UInt32((state >> 33) % (milliseconds + 1)))
      writing.cutPower()
      guard let status = try Files.status(stick), status.size > 0 else { continue }
      let record = try FileDescriptor(opening: stick).read(upTo: 512, at: 0)
      guard record.count == 512, record[510] == 0x55, record[511] == 0xAA else { continue }
      whole += 1
      #expect(try isWhole(), "kill \(kill) left half a stick")
    }
    print("kills while provisioning: 20, \(whole) of them after the end")
    _ = try complete()
    #expect(try isWhole())
  }

  @Test("The running appliance clones its medium, keeps off it, and can use the partition behind it")
  func cloning() throws {
    let stick = "build/stick-running.img"
    let clone = "build/stick-clone.img"
    defer { for path in [stick, clone] { try? Files.remove(path) } }
    for path in [stick, clone] { try Files.remove(path) }
    try Files.write("sticks:\n  - {hostname: lab-08, autostart: [hatchling]}\n", to: "build/lab.yaml")
    let writing = try provision(["--roster", "build/lab.yaml", "--size", "1GiB", "--to", stick])
    try #require(try writing.waitForExit(seconds: 300) == .exited(0), "\(writing.tail)")
    try FileDescriptor(opening: clone, [.writeOnly, .create]).truncate(to: 768 << 20)
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(.init(stick: stick, target: clone), log: "stick-clone-\(attempt)")
      do {
        try machine.wait(for: "hatchling is ready.", seconds: 400)
        try machine.type("x")
        try machine.wait(for: "#", seconds: 60)
        try machine.type("roost provision --to /dev/sda --wipe --yes 2>&1 | cut -c 1-70\r")
        try machine.wait(for: "/dev/sda is the disk that this system runs from", seconds: 60)
        // The medium is mounted by its partition, so that LVM can have another.
        try machine.type("roost storage status\r")
        try machine.wait(for: "on /dev/mapper/roost-storage", seconds: 60)
        try machine.type("roost provision --to /dev/vda 2>&1 | cat\r")
        try machine.wait(for: "1 of 1 stick is written and compared", seconds: 300)
        try machine.type("echo parts $(ls -d /sys/class/block/vda?) end; roost-init poweroff\r")
        try machine.wait(for: "vda1 /sys/class/block/vda2 /sys/class/block/vda3 /sys/class/block/vda4 end", seconds: 60)
        #expect(try machine.waitForExit(seconds: 120) == .exited(0))
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
    }
    // The image, without the other's name.
    let image = try #require(try Files.status(try Environment.image())).size
    try DamagedImage.run(["cmp", "-s", "-i", "1048576", "-n", "\(image - (1 << 20))", stick, clone])
    let dump = try DamagedImage.output(["sfdisk", "--dump", clone])
    #expect(dump.contains("roost-identity") && dump.contains("roost-storage"), "\(dump)")
    #expect(!(try DamagedImage.output(["sh", "-c", "grep -a -c lab-08 \(clone) || true"]).hasPrefix("1")))
  }

  @Test("`roost boot` starts a stick whose guests have their disks on it, and leaves it as it was")
  func emulatedStick() throws {
    let stick = "build/stick-emulated.img"
    try Files.remove(stick)
    defer { try? Files.remove(stick) }
    try Files.write("sticks:\n  - {hostname: lab-07, autostart: [debian]}\n", to: "build/lab.yaml")
    let writing = try provision(["--roster", "build/lab.yaml", "--size", "1GiB", "--to", stick])
    try #require(try writing.waitForExit(seconds: 300) == .exited(0), "\(writing.tail)")
    let before = try DamagedImage.output(["sha256sum", stick])
    try EmulatorPanic.startingOver { attempt in
      let serial = "build/logs/stick-emulated-serial-\(attempt).log"
      let machine = try Machine(
        [
          try Environment.program("roost"), "boot", stick, "--usb", "--headless", "--until-ready", "--memory", "2GiB",
          "--timeout", "400", "--log", serial,
        ], log: "stick-emulated-\(attempt)")
      let status = try machine.waitForExit(seconds: 460)
      try EmulatorPanic.check(serialLog: serial)
      #expect(status == .exited(0), "\(machine.tail)")
      #expect(machine.text.contains("what is written to the stick is forgotten"))
      #expect(machine.text.split(separator: "\n").contains { $0.contains("debian") && $0.contains("ready after") })
      #expect(try Files.readText(serial).contains(" on lab-07"))
    }
    #expect(try DamagedImage.output(["sha256sum", stick]) == before)
  }

  @Test("A stick with a damaged identity starts as the image says, and tells")
  func damagedIdentity() throws {
    let stick = "build/stick-damaged.img"
    try Files.remove(stick)
    defer { try? Files.remove(stick) }
    try Files.write("sticks:\n  - {hostname: lab-09, autostart: [hatchling]}\n", to: "build/lab.yaml")
    let writing = try provision(["--roster", "build/lab.yaml", "--size", "1GiB", "--to", stick])
    try #require(try writing.waitForExit(seconds: 300) == .exited(0), "\(writing.tail)")
    let document = Array("roost identity 1\n".utf8)
    do {
      let file = try FileDescriptor(opening: stick, .readWrite)
      // Behind the image, at a whole mebibyte.
      let mebibyte = 1 << 20
      let size = try #require(try Files.status(try Environment.image())).size
      let start = (size + mebibyte - 1) / mebibyte * mebibyte
      try #require(try file.read(upTo: document.count, at: start) == document)
      try file.writeAll(Array("x".utf8), at: start + 120)
    }
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(.init(stick: stick), log: "stick-damaged-\(attempt)")
      do {
        try machine.wait(for: " on roost", seconds: 400)
        try machine.wait(for: "this stick's identity is not used", seconds: 60)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
    }
  }

  @Test("A key of the roster logs in by SSH, and makes no password needed or taken")
  func secureShell() throws {
    let folder = "build/stick-ssh"
    try Files.removeTree(folder)
    try Files.makeDirectories(folder)
    defer { try? Files.removeTree(folder) }
    let recipe = BuildTests.smallRecipe.split(separator: "PACKAGES").joined(separator: "openssh-server")
    try Files.write(recipe, to: "\(folder)/ssh.yaml")
    let program = try Environment.program("roost")
    try DamagedImage.run([program, "build", "\(folder)/ssh.yaml", "-o", "\(folder)/ssh.iso", "--quiet"])
    try DamagedImage.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", "\(folder)/key"])
    let key = try Files.readText("\(folder)/key.pub").prefix { $0 != "\n" }
    try Files.write("sticks: [{hostname: lab-ssh, ssh-keys: [\(key)]}]\n", to: "\(folder)/lab.yaml")
    let stick = "\(folder)/stick"
    _ = try DamagedImage.output(
      [program, "provision", "\(folder)/ssh.iso", "--roster", "\(folder)/lab.yaml", "--size", "1GiB", "--to", stick])
    let port = 20_000 + Int(ProcessEnvironment.processID) % 20_000
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(.init(memory: 2048, stick: stick, sshPort: port), log: "stick-ssh-\(attempt)")
      do {
        try machine.wait(for: "hatchling is ready.", seconds: 400)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
      let options = [
        "-p", "\(port)", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
        "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=15",
      ]
      let command = ["root@127.0.0.1", "hostname; ls /etc/ssh"]
      let text = try answer(to: ["ssh", "-i", "\(folder)/key"] + options + command, log: "stick-ssh-login-\(attempt)")
      #expect(text.contains("lab-ssh\n"), "\(text)")
      #expect(!text.contains("ssh_host"), "the image has a host key, which would be everybody's")
      let client = (["ssh", "-i", "\(folder)/key"] + options.dropFirst(2)).joined(separator: " ")
      try workAway(["env", "ROOST_SSH=\(client)", program], at: "root@127.0.0.1:\(port)")
      let refused = try Machine(
        ["ssh", "-v", "-i", "/dev/null"] + options + command, log: "stick-ssh-refused-\(attempt)")
      #expect(try refused.waitForExit(seconds: 120) == .exited(255))
      #expect(refused.text.contains("Permission denied (publickey)"), "\(refused.tail)")
    }
  }

  /// What a workstation does with an appliance over there: `--host`.
  private func workAway(_ program: [String], at host: String) throws {
    func roost(_ words: String...) throws -> String {
      // A stick's first start makes its storage, and guests without a disk are ready before that.
      let deadline = MonotonicClock.now() + 180_000_000_000
      while true {
        let run = try Machine(program + words + ["--host", host], log: "stick-ssh-host")
        let status = try run.waitForExit(seconds: 120)
        if status.isSuccess { return run.text }
        guard run.text.contains("storage"), MonotonicClock.now() < deadline else {
          throw Machine.Failure(what: "roost \(words.joined(separator: " ")): \(status)", tail: run.tail)
        }
        MonotonicClock.sleep(milliseconds: 1000)
      }
    }
    #expect(try roost("list").split(separator: "\n").contains { $0.hasPrefix("hatchling ") && $0.contains(" ready ") })
    #expect(try roost("create", "--like", "hatchling", "--name", "egg").contains("egg: starting"))
    _ = try roost("events", "--domain", "egg", "--until", "ready")
    #expect(try roost("log", "egg").contains("hatchling> "))
    #expect(try roost("top", "--once").contains("egg"))
    #expect(try roost("remove", "egg", "--force", "--yes").contains("egg: removed"))
    #expect(try !roost("list", "--json").contains("egg"))
    let refused = try Machine(program + ["info", "egg", "--host", host], log: "stick-ssh-host-refused")
    #expect(try refused.waitForExit(seconds: 60) == .exited(1))
    #expect(refused.text.contains("egg"), "\(refused.tail)")
  }

  /// What a command by SSH prints, as soon as it gets through: a guest can be ready before the machine has its address,
  /// and then the emulator's network forgets the connection that was asked for.
  private func answer(to command: [String], log: String) throws -> String {
    let deadline = MonotonicClock.now() + 180_000_000_000
    while true {
      let ssh = try Machine(command, log: log)
      let status = try ssh.waitForExit(seconds: 60)
      if status.isSuccess { return ssh.text }
      let isCutOff = ["timed out", "Connection reset", "Connection closed", "Connection refused"].contains {
        ssh.text.contains($0)
      }
      guard isCutOff, MonotonicClock.now() < deadline else {
        throw Machine.Failure(what: "\(command.joined(separator: " ")): \(status)", tail: ssh.tail)
      }
      MonotonicClock.sleep(milliseconds: 1000)
    }
  }

  @Test("Interrupted, it leaves a stick that does not boot, and says so")
  func interruption() throws {
    let stick = "build/stick-interrupted.img"
    try Files.remove(stick)
    defer { try? Files.remove(stick) }
    let writing = try provision(["--size", "1GiB", "--to", stick])
    try writing.wait(for: "writing", seconds: 60)
    try writing.interrupt()
    #expect(try writing.waitForExit(seconds: 60) == .exited(130), "\(writing.tail)")
    #expect(writing.text.contains("interrupted; it does not boot"), "\(writing.tail)")
    #expect(try FileDescriptor(opening: stick).read(upTo: 1 << 20, at: 0).allSatisfy { $0 == 0 })
  }

  @Test("It never guesses, and refuses the disk that this system is on")
  func refusals() throws {
    func run(_ arguments: [String]) throws -> (status: Platform.ExitStatus, text: String) {
      let machine = try provision(arguments)
      return (try machine.waitForExit(seconds: 60), machine.text)
    }
    let guess = try run([])
    #expect(guess.status == .exited(64) && guess.text.contains("say with --to what to write to"), "\(guess.text)")
    let image = try run(["--to", try Environment.image()])
    #expect(image.status == .exited(1) && image.text.contains("is the image itself"), "\(image.text)")
    if let root = try Mount.find(at: "/"), root.source.hasPrefix("/dev/"), ProcessEnvironment.isSuperuser {
      let disk = try run(["--to", root.source, "--wipe", "--yes"])
      #expect(disk.status == .exited(1), "\(disk.text)")
      #expect(disk.text.contains("is the disk that this system runs from") || disk.text.contains("is a partition"))
    }
  }
}
