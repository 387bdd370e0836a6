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
      medium: "/run/roost/medium", disk: "/dev/roost/debian", tap: "tap-debian", paths: paths)
    #expect(
      words == [
        "/usr/sbin/roost-vmm", "--name", "debian", "--cpus", "1", "--memory", "320MiB", "--boot", "linux", "--kernel",
        "/run/roost/medium/roost/domains/debian/kernel", "--initrd", "/run/roost/medium/roost/domains/debian/initrd",
        "--cmdline", "root=/dev/vda console=ttyS0", "--disk", "/dev/roost/debian,id=debian", "--net",
        "tap-debian,mac=52:54:00:00:00:01", "--serial",
        "unix:/run/roost/domains/debian/console.sock,log=/var/log/roost/debian.log", "--control",
        "unix:/run/roost/domains/debian/control.sock",
      ])
  }

  @Test("What a domain does not have is not on its command line")
  func bareArguments() {
    var domain = Samples.domain("hatchling", network: false)
    domain.boot = .init(method: .pvh, kernel: "/k", initrd: nil, commandLine: "")
    let words = MonitorCommand.arguments(
      monitor: "vmm", domain: domain, medium: "", disk: nil, tap: nil,
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
      monitor: "vmm", domain: domain, medium: "/m", disk: "/dev/roost/lab", tap: "tap-lab", paths: paths)
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
      monitor: "vmm", domain: domain, medium: "/m", disk: nil, tap: nil, paths: paths)
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
        monitor: "vmm", domain: domain, medium: "/m", disk: "/dev/roost/lab", attached: attached, tap: nil,
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
      monitor: "vmm", domain: domain, medium: "", disk: nil, tap: nil,
      paths: DomainPaths(name: "lab", runtimeDirectory: "/r", logDirectory: "/l"))
    #expect(zip(words, words.dropFirst()).contains { $0 == "--display" && $1 == "none" })
  }

  @Test("More memory than there is names both numbers")
  func memory() {
    #expect(MachineMemory.objection(wanted: 100 << 20, available: 200 << 20, promised: 0) == nil)
    let objection = MachineMemory.objection(wanted: 300 << 20, available: 400 << 20, promised: 150 << 20)
    #expect(objection?.contains("300 MiB") == true)
    #expect(objection?.contains("250 MiB") == true)
    #expect(MachineMemory.objection(wanted: 1 << 20, available: 0, promised: 1 << 30)?.contains(" 0 MiB") == true)
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

@Suite("The network's texts")
struct NetworkPlanTests {
  private func plan() throws -> NetworkPlan {
    try NetworkPlan(Samples.manifest([Samples.domain("debian"), Samples.domain("lonely", network: false)]))
  }

  @Test("Interface names fit and differ")
  func interfaceNames() {
    let names = NetworkPlan.interfaceNames(["web", "averylongname-one", "averylongname-two", "averylongname-three"])
    #expect(names == ["tap-web", "tap-averylongna", "tap-averylong~2", "tap-averylong~3"])
    #expect(names.allSatisfy { $0.utf8.count <= 15 })
    #expect(NetworkPlan.interfaceNames(["x"], taken: ["tap-x"]) == ["tap-x~2"])
  }

  @Test("Links: bridge with an address, a tap for each guest, and only what is missing")
  func links() throws {
    let plan = try plan()
    #expect(
      plan.linkCommands(existing: []) == """
        link add name roost0 type bridge stp_state 0 forward_delay 0
        link set dev roost0 address 02:52:6f:4d:00:01
        address replace 10.77.0.1/24 dev roost0
        link set dev roost0 up
        tuntap add dev tap-debian mode tap
        link set dev tap-debian master roost0
        link set dev tap-debian up

        """)
    #expect(!plan.linkCommands(existing: ["roost0", "tap-debian"]).contains(" add "))
    #expect(plan.tap(of: "debian") == "tap-debian")
    #expect(plan.tap(of: "lonely") == nil)
  }

  @Test("Names and addresses")
  func nameServer() throws {
    let text = try plan().nameServerConfiguration(runtimeDirectory: "/run/roost", upstream: "/run/roost/resolv.conf")
    for line in [
      "interface=roost0", "dhcp-range=10.77.0.0,static,255.255.255.0,12h", "domain=roost",
      "dhcp-host=52:54:00:00:00:01,10.77.0.10,debian", "host-record=debian,debian.roost,10.77.0.10",
      "host-record=roost,roost.roost,10.77.0.1", "resolv-file=/run/roost/resolv.conf",
    ] {
      #expect(text.split(separator: "\n").contains(Substring(line)), "\(line)")
    }
  }

  @Test("Rules: masquerade for the subnet, nothing from outside")
  func rules() throws {
    let text = try plan().firewallRules()
    #expect(text.contains("ip saddr 10.77.0.0/24 oifname != \"roost0\" masquerade"))
    #expect(text.contains("oifname \"roost0\" drop"))
  }

  @Test(
    "A wrong address in the manifest is an error", arguments: ["", "10.77.0.1", "10.77.0.1/33", "a/24", "1.2.3/24"])
  func wrongAddress(text: String) {
    var manifest = Samples.manifest([Samples.domain("debian")])
    manifest.network.address = text
    #expect(throws: ControlError.self) { try NetworkPlan(manifest) }
  }
}
