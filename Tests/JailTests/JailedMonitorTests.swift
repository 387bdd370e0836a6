import Platform
import TestMachine
import Testing

@testable import Hypervisor
@testable import Jail

/// The monitor itself in its jail, with a guest of a few instructions.
@Suite(
  "A monitor in its jail", .enabled(if: JailHost.isRoot, JailHost.reason),
  .enabled(if: JailHost.hasKVM, JailHost.noKVM),
  .serialized)
struct JailedMonitorTests {

  @Test("Console, disks, pause, disks that come and go, and the log's rotation work; it ends as it would outside")
  func works() throws {
    let full = [UInt8](repeating: 0x2E, count: Recorder.logLimit - 4)
    let monitor = try JailedMonitor(kernel: MicroKernel.pvh(MicroKernel.echo), log: full)
    let console = try monitor.connect("console")
    // What the guest read from its IDE disk.
    try console.expect("o")
    try console.send("abc")
    try console.expect("abc")

    let control = try monitor.connect("control")
    #expect(try control.ask("status") == "ok running")
    #expect(try control.ask("pause") == "ok")
    try console.send("held")
    #expect(try control.ask("status") == "ok paused")
    #expect(try control.ask("resume") == "ok")
    try console.expect("held")

    // More disks than there are rings: what comes later is served by threads.
    let spare = try FileDescriptor(opening: "\(monitor.directory)/spare", .readWrite)
    for index in 0..<6 {
      #expect(try control.ask("attach fd,id=s\(index)", with: [spare.rawValue]) == "ok")
      #expect(try control.ask("resize s\(index)") == "ok \(try spare.length())")
    }
    try spare.truncate(to: 3 << 20)
    #expect(try control.ask("resize s1") == "ok \(3 << 20)")
    for index in 0..<6 { #expect(try control.ask("detach s\(index)") == "ok") }
    #expect(try control.ask("attach fd,id=again,ro", with: [spare.rawValue, spare.rawValue]) == "ok")
    #expect(try control.ask("attach fd,id=none") == "error no descriptor came with 'attach fd'")
    #expect(
      try control.ask("attach \(monitor.directory)/spare,id=x").hasPrefix("error in a jail no path can be opened"))
    let silence = try FileDescriptor(opening: "/dev/null", .readOnly)
    #expect(try control.ask("attach fd,id=x", with: [silence.rawValue]).hasPrefix("error the disk x cannot be used"))
    // A request's descriptors are not the next one's.
    #expect(try control.ask("status", with: [spare.rawValue]) == "ok running")
    #expect(try control.ask("attach fd,id=none") == "error no descriptor came with 'attach fd'")

    try console.send("q")
    #expect(try monitor.wait() == .exited(0), "\(monitor.said)")
    let old = try Files.read("\(monitor.directory)/log.1")
    #expect(old.count <= Recorder.logLimit && old.starts(with: full))
    #expect(try Files.readText("\(monitor.directory)/log").hasSuffix("held"))
    let lines = monitor.said.split(whereSeparator: \.isNewline)
    #expect(lines.allSatisfy { $0.contains("is served by threads") }, "\(monitor.said)")
    // Whoever made the directory removes them.
    #expect(Files.exists("\(monitor.directory)/console") && Files.exists("\(monitor.directory)/control"))
  }

  @Test("It is another user, without rights, in namespaces of its own, before an empty root")
  func confinement() throws {
    let monitor = try JailedMonitor(kernel: MicroKernel.pvh(MicroKernel.echo))
    let console = try monitor.connect("console")
    try console.expect("o")
    let user = Array(repeating: "\(JailedMonitor.user)", count: 4).joined(separator: " ")
    #expect(try monitor.field("Uid") == user && monitor.field("Gid") == user)
    #expect(try monitor.field("Groups").isEmpty)
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
      #expect(try monitor.field(set) == "0000000000000000", "\(set)")
    }
    #expect(try monitor.field("NoNewPrivs") == "1")
    #expect(try monitor.field("Seccomp") == "2" && monitor.field("NSpid").hasSuffix(" 1"))
    for space in ["mnt", "pid", "ipc", "uts", "net", "cgroup"] {
      let path = "ns/\(space)"
      #expect(try Files.readLink("/proc/\(monitor.process.pid)/\(path)") != Files.readLink("/proc/self/\(path)"))
    }
    #expect(try Files.list("/proc/\(monitor.process.pid)/root").isEmpty)
    let mounts = try Files.readText("/proc/\(monitor.process.pid)/mountinfo").split(separator: "\n")
    #expect(mounts.count == 1 && mounts[0].contains(" / / ro,nosuid,nodev,noexec"), "\(mounts)")
    // All threads are in it.
    for task in try Files.list("/proc/\(monitor.process.pid)/task") {
      let status = try Files.readText("/proc/\(monitor.process.pid)/task/\(task)/status")
      #expect(status.contains("Seccomp:\t2") && status.contains("Uid:\t\(JailedMonitor.user)"), "\(task)")
    }
    try console.send("q")
    #expect(try monitor.wait() == .exited(0), "\(monitor.said)")
  }

  @Test("A signal ends it: a guest that has no use for its power button does not see one")
  func signals() throws {
    let monitor = try JailedMonitor(kernel: MicroKernel.pvh(MicroKernel.echo))
    let console = try monitor.connect("console")
    try console.expect("o")
    try monitor.process.signal(Signal.terminate)
    #expect(try monitor.wait() == .exited(130), "\(monitor.said)")
  }

  @Test("The jail costs next to no memory")
  func memory() throws {
    func measure(isJailed: Bool) throws -> Int {
      let monitor = try JailedMonitor(kernel: MicroKernel.pvh(MicroKernel.echo), isJailed: isJailed)
      let console = try monitor.connect("console")
      try console.expect("o")
      return try monitor.privateMemory()
    }
    let (free, jailed) = (try measure(isJailed: false), try measure(isJailed: true))
    print("private memory: \(free) KiB outside of a jail, \(jailed) KiB inside")
    #expect(jailed <= free + 256)
  }

  @Test("A jail that cannot be made keeps the guest from starting")
  func refusal() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-jailed-")
    defer { try? Files.removeTree(directory) }
    try Files.write(MicroKernel.pvh(MicroKernel.powerOff), to: "\(directory)/kernel")
    let arguments = [
      JailHost.program("roost-vmm"), "--name", "micro", "--memory", "4MiB", "--kernel", "\(directory)/kernel", "--jail",
      "uid=\(JailedMonitor.user)", "--serial",
    ]
    let outcome = try Outcome(arguments + ["none"], newProcessNamespace: false)
    #expect(
      outcome.status == .exited(16) && outcome.errors.contains("start the monitor by roostd"), "\(outcome.errors)")
    let terminal = try Outcome(arguments + ["stdio"], newProcessNamespace: true)
    #expect(terminal.status == .exited(2) && terminal.errors.contains("there is no terminal"), "\(terminal.errors)")
  }

  @Test("The probe finds nothing wrong with a machine in a jail")
  func probe() throws {
    guard let path = ProcessEnvironment.value("ROOST_CONFORMANCE") else {
      try Test.cancel("skipped: ROOST_CONFORMANCE names no conformance.elf (make unit sets it)")
    }
    // It writes to a disk only whose sectors bear its mark.
    var sectors: [UInt8] = []
    for sector in 0..<64 as Range<UInt8> {
      sectors += Array("ROOSTPRB".utf8) + [sector, 0, 0, 0] + [UInt8](repeating: sector, count: 500)
    }
    let monitor = try JailedMonitor(
      kernel: try Files.read(path), disk: sectors, more: ["--memory", "32MiB", "--display", "vga"])
    #expect(try monitor.wait() == .exited(0), "\(monitor.said)")
    let report = try Files.readText("\(monitor.directory)/log")
    let lines = report.split(whereSeparator: \.isNewline)
    #expect(lines.contains { $0.hasPrefix("1..") } && !lines.contains { $0.hasPrefix("not ok") }, "\(report)")
    #expect(lines.contains { $0.contains("block") && $0.hasPrefix("ok") && !$0.contains("SKIP") }, "\(report)")
  }
}
