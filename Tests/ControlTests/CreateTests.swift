import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("Domains that are made on the fly", .ownThreads, .timeLimit(.minutes(60)))
struct CreateTests {
  // MARK: Designs

  private static let debian = Samples.domain("debian", memory: 320 << 20, disk: true, hotplug: true)

  private func design(
    _ name: String = "web", in domains: [ApplianceManifest.Domain] = [debian], disks: Set<String> = ["debian", "data"],
    prefix: Int = 24, _ change: (inout DomainSpec) -> Void = { _ in }
  ) throws(ControlError) -> DomainDesign {
    var spec = DomainSpec(name: name)
    change(&spec)
    return try DomainDesign(
      spec,
      in: .init(domains: domains, disks: disks, address: IPv4Address("10.77.0.1"), prefixLength: prefix))
  }

  private func problem(_ change: (inout DomainSpec) -> Void) -> String {
    do throws(ControlError) {
      _ = try design("web", change)
      return "none"
    } catch {
      return error.message
    }
  }

  @Test("A domain like another has its machine, its kernel and a disk that begins as its image")
  func like() throws {
    let design = try design { $0.like = "debian" }
    #expect(design.disk == .image(volume: "image-debian", bytes: 1 << 30))
    var expected = Self.debian
    expected.name = "web"
    expected.disk = .init(imageVolume: "", volume: "web", bytes: 1 << 30)
    expected.network = .init(mac: design.domain.network?.mac ?? "", address: "10.77.0.11")
    #expect(design.domain == expected)
    #expect(design.domain.network?.mac.hasPrefix("52:54:00:") == true && design.domain.network?.mac.count == 17)
    #expect(design.files.isEmpty)
    let changed = try self.design {
      $0.like = "debian"
      $0.memoryBytes = 128 << 20
      $0.cpus = 2
      $0.cards = []
      $0.commandLine = "quiet"
      $0.clone = "data"
    }
    #expect(changed.domain.memoryBytes == 128 << 20 && changed.domain.cpus == 2 && changed.domain.network == nil)
    #expect(changed.domain.boot.commandLine == "quiet" && changed.domain.boot.kernel == Self.debian.boot.kernel)
    #expect(changed.disk == .clone(of: "data", bytes: nil))
    // What was made on the fly has no image any more.
    let again = try self.design("more", in: [Self.debian, design.domain]) { $0.like = "web" }
    #expect(again.disk == .clone(of: "web", bytes: nil) && again.domain.network?.address == "10.77.0.12")
    #expect(again.domain.network?.mac != design.domain.network?.mac)
  }

  @Test("Firmware starts images and CDs, and kernels say how they are entered")
  func machines() throws {
    let image = try design {
      $0.image = "/root/disk.img"
      $0.diskBytes = 1 << 30
      $0.cards = [CardSpec()]
    }
    #expect(image.domain.boot == .init(method: .bios, kernel: nil, initrd: nil, commandLine: ""))
    #expect(image.domain.display == .vga && image.disk == .file("/root/disk.img", bytes: 1 << 30))
    #expect(image.files == ["/root/disk.img"] && image.domain.ready.consoleText == "login:")
    let installer = try design {
      $0.cdrom = "/root/install.iso"
      $0.boot = .uefi
      $0.diskBytes = 8 << 30
      $0.diskBus = .ide
    }
    #expect(installer.domain.cdrom == "file:/root/install.iso" && installer.disk == .empty(bytes: 8 << 30))
    #expect(installer.domain.disk?.bus == .ide && installer.domain.network == nil)
    let kernel = try design {
      $0.kernel = "/root/vmlinuz"
      $0.initrd = "/root/initrd"
      $0.boot = .linux
      $0.commandLine = "console=ttyS0"
    }
    #expect(kernel.files == ["/root/vmlinuz", "/root/initrd"] && kernel.disk == nil && kernel.domain.display == nil)
    let words = MonitorCommand.arguments(
      monitor: "vmm", domain: kernel.domain, medium: "/medium", disk: nil, taps: [],
      paths: DomainPaths(name: "web", runtimeDirectory: "/r", logDirectory: "/l"))
    #expect(words.contains("/root/vmlinuz") && words.contains("/root/initrd"), "\(words)")
  }

  @Test("What is taken, contradicts itself or is out of range is refused")
  func refusals() throws {
    #expect(throws: ControlError.self) { try design("debian") }
    #expect(throws: ControlError.self) { try design("data") }
    for name in ["", "Web", "a b", "image-x", "roost-x", String(repeating: "x", count: 49), "../x"] {
      #expect(throws: ControlError.self, "\(name)") { try design(name) { $0.like = "debian" } }
    }
    #expect(problem { _ in }.contains("nothing to start"))
    #expect(problem { $0.like = "debain" }.contains("did you mean debian?"))
    #expect(problem { ($0.image, $0.clone) = ("/a", "data") }.contains("not as both"))
    #expect(problem { $0.image = "disk.img" }.contains("begins with /"))
    #expect(problem { $0.kernel = "/k" }.contains("how the kernel is entered: linux"))
    #expect(problem { ($0.kernel, $0.boot) = ("/k", .bios) }.contains("how the kernel is entered"))
    #expect(problem { ($0.initrd, $0.image) = ("/i", "/a") }.contains("needs the kernel"))
    #expect(problem { ($0.boot, $0.image) = (.linux, "/a") }.contains("give the kernel"))
    #expect(problem { ($0.commandLine, $0.image) = ("x", "/a") }.contains("no command line"))
    #expect(problem { ($0.floppy, $0.boot) = ("/f", .uefi) }.contains("only a BIOS"))
    for bytes in [0, 1 << 20, (64 << 20) + 1, 1 << 41] {
      #expect(problem { ($0.like, $0.memoryBytes) = ("debian", bytes) }.contains("whole MiB"), "\(bytes)")
    }
    for bytes in [0, 4 << 20, (64 << 20) + 1, 1 << 50] {
      #expect(problem { ($0.like, $0.diskBytes) = ("debian", bytes) }.contains("multiple of 4 MiB"), "\(bytes)")
    }
    #expect(problem { ($0.like, $0.cpus) = ("debian", 65) }.contains("1 to 64 CPUs"))
    #expect(problem { ($0.like, $0.cpus, $0.cpusMaximum) = ("debian", 4, 3) }.contains("may have 4 to 64, not 3"))
    #expect(problem { ($0.like, $0.readyText) = ("debian", "") }.contains("1 to 200 bytes"))
    #expect(problem { ($0.like, $0.os) = ("debian", "\u{1B}[2J") }.contains("operating system"))
  }

  @Test("Addresses are those that nobody has, as long as there are any")
  func addresses() throws {
    var domains = [Self.debian]
    for number in 0..<4 {
      let made = try design("d\(number)", in: domains, prefix: 28) { $0.like = "debian" }
      domains.append(made.domain)
    }
    #expect(domains.compactMap(\.network?.address) == (10...14).map { "10.77.0.\($0)" })
    #expect(throws: ControlError.self) { try design("d4", in: domains, prefix: 28) { $0.like = "debian" } }
    // One that went leaves its address.
    domains.remove(at: 2)
    #expect(try design("d4", in: domains, prefix: 28) { $0.like = "debian" }.domain.network?.address == "10.77.0.12")
    #expect(Set(domains.compactMap(\.network?.mac)).count == domains.count)
  }

  // MARK: The network

  @Test("Guests come to the network's plan and go, with interfaces of their own")
  func network() throws {
    var plan = try NetworkPlan(Samples.manifest([Self.debian]))
    let own = plan.segments[0]
    #expect(plan.leases(of: own) == "52:54:00:00:00:01,10.77.0.10,debian\n")
    #expect(plan.names(of: own) == "10.77.0.10 debian\n")
    let card = ApplianceManifest.NetworkCard(mac: "52:54:00:00:00:02", address: "10.77.0.11")
    plan.add("web", [card])
    plan.add("web", [card])
    #expect(plan.ports(of: "web").map(\.tap) == ["tap-web"] && plan.ports.count == 2)
    plan.add("a-very-long-name-indeed", [card, card])
    plan.add("a-very-long-name-again", [card])
    let taps = plan.ports.map(\.tap)
    #expect(Set(taps).count == 5 && taps.allSatisfy { $0.utf8.count <= 15 }, "\(taps)")
    #expect(plan.names(of: own).hasPrefix("10.77.0.10 debian\n10.77.0.11 web\n"))
    #expect(plan.linkCommands(existing: ["roost0", "tap-debian"]).contains("tuntap add dev tap-web mode tap\n"))
    #expect(plan.remove("web").map(\.tap) == ["tap-web"] && plan.remove("web").isEmpty && plan.ports(of: "web").isEmpty)
    let text = try #require(
      plan.nameServerConfiguration(of: own, runtimeDirectory: "/run/roost", upstream: "/run/roost/resolv.conf"))
    #expect(text.contains("dhcp-hostsfile=/run/roost/dnsmasq.guests\n"))
    #expect(text.contains("addn-hosts=/run/roost/dnsmasq.names\n") && !text.contains("dhcp-host="))
  }

  // MARK: The domain manager

  private let recipe = Samples.domain("debian", disk: true, network: false, autostart: false)

  private func fixture() throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    try fixture.report([Samples.disk("debian", kind: .domain)])
    return fixture
  }

  /// What `roost-storage` would report with these domains made.
  private func report(_ made: [ApplianceManifest.Domain]) throws -> String {
    var report = StorageReport(
      state: .ready, domains: ["debian": .init(device: "/dev/roost/debian", bytes: 1 << 30)],
      disks: [Samples.disk("debian", kind: .domain)])
    for domain in made where domain.disk != nil {
      report.domains?[domain.name] = .init(device: "/dev/roost/\(domain.name)", bytes: 1 << 30)
      report.disks?.append(Samples.disk(domain.name, kind: .own))
    }
    report.created = Dictionary(
      uniqueKeysWithValues: try made.map {
        ($0.name, String(decoding: try ControlCoding.encode($0), as: UTF8.self))
      })
    return String(decoding: try ControlCoding.encode(report), as: UTF8.self)
  }

  private var web: DomainSpec {
    var spec = DomainSpec(name: "web")
    spec.like = "debian"
    return spec
  }

  /// Shell words that report what was written for a verb, at once as `roost-storage` does.
  private static func put(_ verb: String) -> String {
    #"cp "$here/\#(verb).report" "$here/next"; mv "$here/next" "$here/storage.json""#
  }

  /// The double of `roost-storage` makes what is defined and removes it.
  private func prepare(_ fixture: DaemonFixture, _ spec: DomainSpec) throws -> ApplianceManifest.Domain {
    let design = try DomainDesign(spec, in: .init(domains: [recipe], disks: ["debian"]))
    try fixture.write(try report([design.domain]), to: "define.report")
    try fixture.write(try report([]), to: "undefine.report")
    let answer = String(decoding: try ControlCoding.encode(Samples.disk(spec.name, kind: .own)), as: UTF8.self)
    try fixture.write(answer, to: "define.answer")
    try fixture.whenAsked("define", Self.put("define") + #"; cat "$here/define.answer""#)
    try fixture.whenAsked("undefine", Self.put("undefine") + #"; echo "{}""#)
    return design.domain
  }

  @Test("One is made, starts, is told to all, and is gone when it is removed")
  func life() throws {
    let fixture = try fixture()
    try fixture.start([recipe])
    let domain = try prepare(fixture, web)
    let watcher = try fixture.client()
    _ = try watcher.subscribe()
    let client = try fixture.client()
    let status = try client.create(web)
    #expect(status.name == "web" && status.isCreated == true && status.state.isLive && status.os == "Test OS")
    let call = try #require(fixture.storageCalls.last)
    #expect(
      call.hasPrefix("domain define web --definition {") && call.hasSuffix("--image image-debian --size 1024MiB --json")
    )
    try eventually("it starts") { fixture.starts("web").count == 1 }
    #expect(fixture.starts("web").first?.contains("--disk /dev/roost/web,id=web") == true)
    #expect(try client.list().domains.map(\.name) == ["debian", "web"])
    #expect(try client.info("web").disk == domain.disk?.volume)
    // What else is told meanwhile, of the storage or the machine, is not this test's.
    var first: DomainStatus?
    while first == nil, let event = try watcher.nextEvent(within: 120) {
      if case .domain(let status) = event { first = status }
    }
    #expect(first?.name == "web" && first?.state == .defined)
    let running = #expect(throws: ControlError.self) { try client.remove("web") }
    #expect(running?.message.contains("stop it first") == true)
    #expect(throws: ControlError.self) { try client.create(web) }
    try fixture.exit("web", 0)
    try fixture.await(.off, of: "web")
    try client.remove("web")
    #expect(fixture.storageCalls.last == "domain undefine web --json")
    #expect(try client.list().domains.map(\.name) == ["debian"])
    #expect(!Files.exists("\(fixture.directory)/run/domains/web") && !Files.exists("\(fixture.directory)/log/web.log"))
    var events: [ControlEvent] = []
    while events.last != .removed("web"), let event = try watcher.nextEvent(within: 120) { events.append(event) }
    // It is the last of it.
    while let event = try watcher.nextEvent(within: 2) { events.append(event) }
    #expect(events.last == .removed("web"))
    let gone = #expect(throws: ControlError.self) { try client.remove("web") }
    #expect(gone?.code == .unknownDomain)
    let recipes = #expect(throws: ControlError.self) { try client.remove("debian") }
    #expect(recipes?.message.contains("part of the recipe") == true)
  }

  @Test("It may be made without a start, and what cannot be made leaves nothing")
  func failures() throws {
    let fixture = try fixture()
    try fixture.start([recipe])
    _ = try prepare(fixture, web)
    let client = try fixture.client()
    try fixture.whenAsked("define", "echo 'roost-storage: no room' >&2; exit 1")
    let full = #expect(throws: ControlError.self) { try client.create(web) }
    #expect(full?.message == "no room")
    #expect(try client.list().domains.count == 1)
    var large = web
    large.memoryBytes = 1 << 40
    let memory = #expect(throws: ControlError.self) { try client.create(large) }
    #expect(memory?.message.contains("MiB left for it") == true)
    var absent = DomainSpec(name: "other")
    absent.image = "/nonexistent/disk.img"
    let file = #expect(throws: ControlError.self) { try client.create(absent) }
    #expect(file?.message.contains("/nonexistent/disk.img") == true)
    #expect(fixture.storageCalls.count == 1)
    _ = try prepare(fixture, web)
    #expect(try client.create(web, starts: false).state == .defined)
    MonotonicClock.sleep(milliseconds: 300)
    #expect(fixture.starts("web").isEmpty)
    #expect(try client.perform(.start, on: "web").state.isLive)
  }

  @Test("Who asks for what is being made is told; a client that goes away leaves the domain made")
  func concurrency() throws {
    let fixture = try fixture()
    try fixture.start([recipe])
    _ = try prepare(fixture, web)
    try fixture.whenAsked(
      "define",
      #"while [ ! -e "$here/go" ]; do sleep 0.02; done; "# + Self.put("define") + #"; cat "$here/define.answer""#
    )
    do {
      let impatient = try fixture.client()
      impatient.timeout = 0.1
      let request = ControlRequest(id: 0, op: .create, spec: web)
      #expect(throws: ControlError.self) { let _: DomainStatus = try impatient.call(request, within: 0.3) }
    }
    let twice = #expect(throws: ControlError.self) { try fixture.client().create(web) }
    #expect(twice?.message == "a domain named web is being made already")
    try fixture.write("", to: "go")
    try eventually("it starts") { fixture.starts("web").count == 1 }
  }

  @Test("Who waits for a copy of an image is told how far it is, and so are all who watch")
  func progress() throws {
    let fixture = try fixture()
    try fixture.start([recipe])
    _ = try prepare(fixture, web)
    // It goes on when that was told. What it says at once is told together: the last counts.
    try fixture.whenAsked(
      "define",
      #"""
      say() {
        printf "$1"
        for try in $(seq 6000); do [ ! -e "$here/told.$2" ] || return 0; sleep 0.02; done
      }
      say '{"percent":0}\n' 0; say '{"percent":7}\n{"percent":99}\n' 99; say '{"percent":100}\n' 100
      \#(Self.put("define")); cat "$here/define.answer"
      """#)
    let watcher = try fixture.client()
    _ = try watcher.subscribe()
    let client = try fixture.client()
    _ = try client.subscribe()
    var told: [Int] = []
    let status = try client.create(web, starts: false) { percent in
      told.append(percent)
      try? fixture.write("", to: "told.\(percent)")
    }
    #expect(status.name == "web" && told == [0, 99, 100], "\(told)")
    let expected = told.map { ControlEvent.making("web", percent: $0) }
    var seen: [ControlEvent] = []
    while seen.last != expected.last, let event = try watcher.nextEvent(within: 120) { seen.append(event) }
    #expect(Array(seen.prefix(expected.count)) == expected, "\(seen)")
    while let event = try client.nextEvent(within: 0) {
      if case .making = event { Issue.record("it was told twice") }
    }
    var overview = try client.list()
    #expect(ControlEvent.making("web", percent: 7).lines(after: &overview, uptime: 1).isEmpty)
    let last = ControlEvent.making("web", percent: 100).lines(after: &overview, uptime: 1)
    #expect(last.count == 1 && last[0].contains("100 %"))
  }

  @Test("What an earlier domain manager left of a domain that is no more is taken away, and nothing else")
  func sweep() throws {
    let fixture = try fixture()
    try fixture.write(try report([]), to: "storage.json")
    func paths(_ name: String) -> DomainPaths {
      DomainPaths(name: name, runtimeDirectory: "\(fixture.directory)/run", logDirectory: "\(fixture.directory)/log")
    }
    for name in ["torn", "alive", "debian"] {
      try Files.makeDirectories(paths(name).directory)
      try Files.makeDirectories("\(fixture.directory)/log")
      for file in [paths(name).log, paths(name).oldLog, paths(name).monitorLog, "\(paths(name).directory)/limits.json"]
      {
        try Files.write("{}", to: file)
      }
    }
    // This process stands for a monitor that runs.
    let ticks = try #require(ChildProcess.startTicks(of: ProcessEnvironment.processID))
    try Files.write(
      "{\"pid\":\(ProcessEnvironment.processID),\"startTicks\":\(ticks),\"startedAt\":1}",
      to: "\(paths("alive").directory)/monitor.json")
    try fixture.start([recipe])
    try eventually("torn is gone") { !Files.exists(paths("torn").directory) }
    for file in [paths("torn").log, paths("torn").oldLog, paths("torn").monitorLog] {
      #expect(!Files.exists(file), "\(file)")
    }
    #expect(Files.exists(paths("alive").directory) && Files.exists(paths("debian").directory))
  }

  @Test("A domain manager that is started anew has them, and takes over those that run")
  func successor() throws {
    let fixture = try fixture()
    let domain = try prepare(fixture, web)
    var lazy = domain
    (lazy.name, lazy.autostart, lazy.disk) = ("lazy", false, nil)
    try fixture.write(try report([domain, lazy]), to: "storage.json")
    try fixture.start([recipe])
    try eventually("web starts") { fixture.starts("web").count == 1 }
    #expect(try fixture.status("lazy").state == .defined)
    #expect(try fixture.client().list().domains.map(\.name) == ["debian", "lazy", "web"])
    // What is not a domain's definition is passed over.
    try fixture.write(
      #"{"state":"ready","domains":{},"disks":[],"created":{"lazy":"{}","x":"","web":"{\"name\":\"y\"}"}}"#,
      to: "storage.json")
    try eventually("lazy is gone") { try fixture.client().list().domains.map(\.name) == ["debian", "web"] }
    try fixture.exit("web", 0)
    try fixture.await(.off, of: "web")
  }
}
