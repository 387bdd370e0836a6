import Platform
import Testing

/// Memory that moves by itself on a real appliance.
@Suite("Memory that moves by itself", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct BalanceTests {
  private static let recipe = """
    name: balance
    control-domain: {suite: trixie}
    balancer: true
    storage: {ram: 256 MiB}
    domains:
      - name: debian
        memory: {start: 192 MiB, min: 128 MiB, max: 384 MiB}
        disk: 1 GiB
        source: {debian: {suite: trixie, packages: [], hostname: debian}}
        ready: {console: "debian login:", timeout: 300 s}

    """

  @Test("A guest that runs out of memory has more soon, and events and info say so")
  func needy() throws {
    let work = try BuildTests.Workplace("balance")
    try Files.write(Self.recipe, to: "\(work.path)/recipe.yaml")
    let program = try Environment.program("roost")
    try DamagedImage.run([program, "build", "\(work.path)/recipe.yaml", "-o", "\(work.path)/balance.iso", "--quiet"])
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(
        .init(iso: "\(work.path)/balance.iso", memory: 2048), log: "balance-\(attempt)")
      do {
        try machine.wait(for: "The domain debian is ready.", seconds: 400)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
      try machine.type("x")
      try machine.wait(for: "#", seconds: 60)
      try machine.type("setsid roost events --domain debian >/tmp/events & sleep 1; echo lis''tens\r")
      try machine.wait(for: "listens", seconds: 60)
      try machine.type("exit\r")
      try machine.wait(for: "The domain debian is ready.", seconds: 60)

      try machine.logIn("1", "debian")
      try machine.type("free() { sed -n \"s/^$1: *\\([0-9]*\\) kB/\\1/p\" /proc/meminfo; }; first=$(free MemTotal)\r")
      // Files in memory, as long as the guest could give up more than 16 MiB.
      try machine.type("mount -o remount,size=90% /dev/shm; fill() { dd if=/dev/zero bs=1M count=2 2>/dev/null; }\r")
      try machine.type(
        "until [ $(free MemTotal) -gt $((first + 8192)) ]; do [ $(free MemAvailable) -gt 16384 ] && fill >>/dev/shm/fill; "
          + "sleep 0.1; done; echo gro''wn\r")
      try machine.wait(for: "grown", seconds: 300)
      try machine.leaveConsole()

      try machine.type("x")
      try machine.wait(for: "#", seconds: 60)
      try machine.type("roost info debian | grep '^memory balancer'\r")
      try machine.wait(for: "raised to ", seconds: 60)
      try machine.type("grep -c 'debian *memory raised to .* it has' /tmp/events | sed 's/^[1-9]/to''ld &/'\r")
      try machine.wait(for: "told ", seconds: 60)
      #expect(!machine.text.contains("guest crashed"))
    }
  }
}
