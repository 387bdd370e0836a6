import Manifest
import Platform
import Testing
@testable import Control

@Suite("Command lines, memory, consoles, storage reports")
struct DomainPiecesTests {
  @Test("The monitor's command line")
  func arguments() {
    let paths = DomainPaths(name: "debian", runtimeDirectory: "/run/roost", logDirectory: "/var/log/roost")
    let words = MonitorCommand.arguments(
      monitor: "/usr/sbin/roost-vmm", domain: Samples.domain("debian", memory: (320 << 20) - 1, disk: true),
      medium: "/run/roost/medium", disk: "/dev/roost/debian", taps: ["tap-debian"], paths: paths)
    #expect(
      words == [
        "/usr/sbin/roost-vmm", "--name", "debian", "--cpus", "1", "--memory", "320MiB", "--boot", "linux",
        "--balloon", "--kernel", "/run/roost/medium/roost/domains/debian/kernel", "--initrd",
        "/run/roost/medium/roost/domains/debian/initrd",
        "--cmdline", "root=/dev/vda console=ttyS0", "--disk", "/dev/roost/debian,id=debian", "--net",
        "tap-debian,mac=52:54:00:00:00:01", "--serial",
        "unix:/run/roost/domains/debian/console.sock,log=/var/log/roost/debian.log", "--control",
        "unix:/run/roost/domains/debian/control.sock",
      ])
  }

  @Test("Each monitor is a user of its own: the recipe's by their place, others by their name")
  func jailUsers() {
    func words(_ user: UInt32?) -> [String] {
      MonitorCommand.arguments(
        monitor: "vmm", domain: Samples.domain("lab"), medium: "", disk: nil, taps: [],
        paths: DomainPaths(name: "lab", runtimeDirectory: "/r", logDirectory: "/l"), jailUser: user)
    }
    #expect(words(9).suffix(2) == ["--jail", "uid=9"])
    #expect(MonitorCommand.isJailed(words(9)) && !MonitorCommand.isJailed(words(nil)))

    var users = JailUsers()
    #expect(users.user(of: "debian", place: 0, taken: []) == 1_900_000_000)
    #expect(users.user(of: "lab", place: 7, taken: []) == 1_900_000_007)
    let web = users.user(of: "web", place: nil, taken: [])
    #expect((1_900_065_536..<1_900_131_072).contains(web))
    var later = JailUsers()
    #expect(later.user(of: "web", place: nil, taken: []) == web && users.user(of: "web", place: nil, taken: []) == web)
    // Another that is there already keeps it.
    #expect(later.user(of: "web", place: nil, taken: [web, web + 1]) == web + 2)
    // So does one that was given it just now, whatever it is called.
    var taken: Set<UInt32> = []
    for index in 0..<2000 { taken.insert(users.user(of: "domain-\(index)", place: nil, taken: [])) }
    #expect(taken.count == 2000)
    if ProcessEnvironment.isSuperuser { #expect(JailUsers.user(of: ProcessEnvironment.processID) == 0) }
    #expect(JailUsers.user(of: -1) == nil)
  }

  @Test("What a domain does not have is not on its command line")
  func bareArguments() {
    var domain = Samples.domain("hatchling", network: false)
    domain.boot = .init(method: .pvh, kernel: "/k", initrd: nil, commandLine: "")
    let words = MonitorCommand.arguments(
      monitor: "vmm", domain: domain, medium: "", disk: nil, taps: [],
      paths: DomainPaths(name: "hatchling", runtimeDirectory: "/r", logDirectory: "/l"))
    #expect(!words.contains { ["--initrd", "--cmdline", "--disk", "--net"].contains($0) })
    #expect(words.contains("pvh"))
  }

  @Test("Firmware, drives, cards and the display have arguments of their own")
  func machineArguments() {
    var domain = Samples.domain("lab", disk: true)
    domain.boot = .init(method: .uefi, kernel: nil, initrd: nil, commandLine: "")
    domain.disk?.bus = .ide
    domain.network?.model = .e1000
    domain.cdrom = "/roost/domains/lab/cdrom.iso"
    domain.display = .vga
    domain.vnc = .init(passwordFile: "/roost/domains/lab/vnc-password")
    domain.cpuModel = .baseline
    let paths = DomainPaths(name: "lab", runtimeDirectory: "/r", logDirectory: "/l")
    let words = MonitorCommand.arguments(
      monitor: "vmm", domain: domain, medium: "/m", disk: "/dev/roost/lab", taps: ["tap-lab"], paths: paths)
    #expect(
      words == [
        "vmm", "--name", "lab", "--cpus", "1", "--memory", "64MiB", "--boot", "uefi", "--cpu", "baseline",
        "--uefi-vars", "/r/domains/lab/uefi-vars.fd", "--disk", "/dev/roost/lab,bus=ide,id=lab", "--cdrom",
        "/m/roost/domains/lab/cdrom.iso", "--net", "tap-lab,mac=52:54:00:00:00:01,model=e1000", "--vnc",
        "unix:/r/domains/lab/screen.sock", "--vnc",
        "unix:/r/domains/lab/vnc.sock,password-file=/m/roost/domains/lab/vnc-password", "--serial",
        "unix:/r/domains/lab/console.sock,log=/l/lab.log", "--control", "unix:/r/domains/lab/control.sock",
      ])
    domain.boot = .init(
      method: .multiboot, kernel: "/k", initrd: nil,
      modules: [.init(file: "/one", commandLine: "root=a,b"), .init(file: "/two", commandLine: "")], commandLine: "x")
    domain.floppy = "/f"
    domain.vnc = .init(passwordFile: nil)
    let direct = MonitorCommand.arguments(
      monitor: "vmm", domain: domain, medium: "/m", disk: nil, taps: [], paths: paths)
    for pair in [
      ["--kernel", "/m/k"], ["--module", "/m/one,cmdline=root=a,b"], ["--module", "/m/two"], ["--floppy", "/m/f"],
      ["--vnc", "unix:/r/domains/lab/vnc.sock"], ["--display", "vga"],
    ] {
      #expect(zip(direct, direct.dropFirst()).contains { [$0, $1] == pair }, "\(pair)")
    }
  }

  @Test("Attached disks are on the hot-plug controller where there is one, and with the domain's own disk elsewhere")
  func attachedDisks() {
    let attached = [Samples.disk("data"), Samples.disk("old", kind: .snapshot)]
    func disks(_ domain: ApplianceManifest.Domain) -> [String] {
      let words = MonitorCommand.arguments(
        monitor: "vmm", domain: domain, medium: "/m", disk: "/dev/roost/lab", attached: attached, taps: [],
        paths: DomainPaths(name: "lab", runtimeDirectory: "/r", logDirectory: "/l"))
      #expect(words.contains("--hotplug") == (domain.hotplug == true))
      return zip(words, words.dropFirst()).filter { $0.0 == "--disk" }.map(\.1)
    }
    var domain = Samples.domain("lab", disk: true)
    #expect(
      disks(domain) == ["/dev/roost/lab,id=lab", "/dev/roost/data,id=data", "/dev/roost/old,id=old,ro"])
    domain.disk?.bus = .ide
    #expect(
      disks(domain) == [
        "/dev/roost/lab,bus=ide,id=lab", "/dev/roost/data,id=data,bus=ide", "/dev/roost/old,id=old,ro,bus=ide",
      ])
    domain.disk?.bus = nil
    domain.hotplug = true
    #expect(
      disks(domain) == [
        "/dev/roost/lab,id=lab", "/dev/roost/data,id=data,bus=scsi", "/dev/roost/old,id=old,ro,bus=scsi",
      ])
  }

  @Test("Firmware on a serial line only is told so")
  func headless() {
    var domain = Samples.domain("lab")
    domain.boot = .init(method: .bios, kernel: nil, initrd: nil, commandLine: "")
    let words = MonitorCommand.arguments(
      monitor: "vmm", domain: domain, medium: "", disk: nil, taps: [],
      paths: DomainPaths(name: "lab", runtimeDirectory: "/r", logDirectory: "/l"))
    #expect(zip(words, words.dropFirst()).contains { $0 == "--display" && $1 == "none" })
  }

  @Test("More memory than there is names both numbers")
  func memory() {
    #expect(MachineMemory.objection(wanted: 100 << 20, free: 200 << 20) == nil)
    let objection = MachineMemory.objection(wanted: 300 << 20, free: 250 << 20)
    #expect(objection?.contains("300 MiB") == true)
    #expect(objection?.contains("250 MiB") == true)
    #expect(MachineMemory.objection(wanted: 1 << 20, free: -1 << 30)?.contains(" 0 MiB") == true)
    let text = "MemTotal:  100 kB\nMemAvailable:    3 kB\nHugePages_Total: 7\n"
    #expect(MachineMemory.bytes(of: "MemAvailable", in: text) == 3072)
    #expect(MachineMemory.bytes(of: "MemAvail", in: text) == nil)
    #expect(MachineMemory.bytes(of: "MemAvailable", in: "MemAvailable: 99999999999999999999 kB") == nil)
  }

  @Test("The ready text is found across pieces, and not where it is not")
  func matcher() {
    var matcher = ConsoleMatcher("ababac")
    #expect(matcher.find(in: Array("xxabab".utf8)) == false)
    #expect(matcher.find(in: Array("abac--".utf8)) == true)
    #expect(matcher.find(in: Array("abababababab".utf8)) == false)
    #expect(matcher.find(in: Array("ac".utf8)) == true)
    for cut in 0...5 {
      var other = ConsoleMatcher("login")
      let bytes = Array("login".utf8)
      let first = other.find(in: bytes[..<cut])
      #expect(first == (cut == 5))
      #expect(other.find(in: bytes[cut...]) == (cut < 5))
    }
    var never = ConsoleMatcher("debian login:")
    #expect(never.find(in: Array("debian logindebian login ".utf8)) == false)
  }

  @Test("Storage reports: ready, failed, damaged")
  func storage() {
    let ready = StorageReport.decode(
      Array(
        #"{"state":"ready","volumeGroup":"roost","ramBytes":1,"domains":{"debian":{"device":"/dev/roost/debian","bytes":2}}}"#
          .utf8), path: "p")
    #expect(ready.disk(of: "debian") == .success("/dev/roost/debian"))
    #expect(throws: StorageReport.Missing.self) { try ready.disk(of: "plan9").get() }
    let failed = StorageReport.decode(Array(#"{"state":"failed","error":"no dm"}"#.utf8), path: "p")
    #expect(failed.disk(of: "debian") == .failure(.init(reason: "the storage failed: no dm")))
    for garbage in ["", "{", #"{"state":"sleepy"}"#, #"{"state":"ready","domains":[]}"#] {
      #expect(StorageReport.decode(Array(garbage.utf8), path: "p").state == .failed)
    }
  }

  @Test("Guests' escape sequences do not reach the terminal")
  func printable() {
    #expect(Text.printable("a\u{1B}[31mb\u{1B}]0;title\u{07}c\r\nd\te\u{1B}(B\u{08}f") == "abc\nd\tef")
    #expect(Text.printable("\u{1B}P1;2q\u{1B}\\x\u{9B}2Jy") == "xy")
    #expect(Text.printable("\u{1B}]never ended\nnext") == "\nnext")
  }

  @Test("Unknown names bring the nearest, or all")
  func unknownDomain() {
    #expect(UnknownName.domain("debain", among: ["debian", "plan9"]).message.contains("did you mean debian?"))
    #expect(UnknownName.domain("x", among: ["debian", "plan9"]).message.contains("debian, plan9"))
  }
}
