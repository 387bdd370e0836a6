import Manifest
import Platform
import Recipe
import Testing

@testable import ImageBuilder

@Suite("The plan of a build")
struct BuildPlanTests {
  private static let guests = """
      - name: one
        os: Debian 13
        disk: 2 GiB
        memory: 256 MiB
        source: {debian: {suite: trixie, packages: [], hostname: one}}
        ready: {console: "one login:", timeout: 60 s}
      - name: two
        os: Debian 13
        disk: 2 GiB
        memory: 256 MiB
        source: {debian: {suite: trixie, packages: [], hostname: two}}
        ready: {console: "two login:", timeout: 60 s}

    """

  private func plan(
    _ domains: String, in directory: TemporaryDirectory, api: String = "", control: String = "", update: Bool = false
  ) throws -> BuildPlan {
    for name in Programs.names + [Programs.gateway, Programs.hatchling] { try directory.write(name, "a program") }
    try directory.write(Programs.bootMenu, "@TITLE@ @COMMAND_LINE@")
    let text = "name: test\ncontrol-domain: {suite: trixie, hostname: test\(control)}\n\(api)domains:\n\(domains)"
    try directory.write("recipe.yaml", text)
    var options = BuildOptions(output: "\(directory.path)/out.iso")
    options.programs = directory.path
    options.update = update
    return try BuildPlan(try Recipe.load("\(directory.path)/recipe.yaml"), options, versions: [:])
  }

  /// What decides each step's result beside its inputs.
  private func settings(_ plan: BuildPlan) -> [String: [String]] {
    Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.name, $0.settings) })
  }

  @Test("It is an ordered list: every step comes after what it reads, and reads what is made")
  func order() throws {
    let directory = try TemporaryDirectory()
    let plan = try plan(Self.guests, in: directory)
    var made: [String: [String]] = [:]
    for step in plan.steps {
      for input in step.inputs { #expect(made[input.step]?.contains(input.file) == true, "\(step.name): \(input)") }
      #expect(made[step.name] == nil, "\(step.name) is there twice")
      made[step.name] = step.outputs
    }
  }

  @Test("Two guests of one release and the same packages share its root file system")
  func sharedRoot() throws {
    let directory = try TemporaryDirectory()
    let roots = try plan(Self.guests, in: directory).steps.filter { $0.kind == "debian-root" }
    #expect(roots.count == 2)  // the control domain's and the guests'
    let other = Self.guests.split(separator: "\n").map {
      $0.contains("hostname: two") ? $0.split(separator: "[]").joined(separator: "[nano]") : String($0)
    }
    let more = try plan(other.joined(separator: "\n"), in: directory).steps.filter { $0.kind == "debian-root" }
    #expect(more.count == 3)
  }

  @Test("A guest out of an image or a folder has Debian's kernel, and what is in it decides its steps")
  func launched() throws {
    let directory = try TemporaryDirectory()
    let text = """
        - name: app
          memory: 64 MiB
          disk: 64 MiB
          source: {oci: {image: image, suite: trixie}}
        - name: folder
          memory: 64 MiB
          disk: 64 MiB
          source: {directory: {path: tree, suite: trixie, command: [/bin/x]}}

      """
    try Files.makeDirectories("\(directory.path)/image")
    try Files.makeDirectories("\(directory.path)/tree/bin")
    try directory.write("image/index.json", "{}")
    try directory.write("tree/bin/x", "1")
    let first = try plan(Self.guests + text, in: directory)
    #expect(first.steps.filter { $0.kind == "debian-root" }.count == 2)
    let kernels = first.domains.compactMap { files -> Step.Input? in
      if case .step(let input)? = files.kernel { input } else { nil }
    }
    #expect(Set(kernels.map(\.step)).count == 1 && kernels.count == 4)
    for (path, changed) in [("image/index.json", "app: image"), ("tree/bin/x", "folder: folder")] {
      let before = settings(try plan(Self.guests + text, in: directory))
      try directory.write(path, "2")
      let after = settings(try plan(Self.guests + text, in: directory))
      #expect(before.keys.filter { before[$0] != after[$0] && $0 != BillOfMaterials.stepName } == [changed])
    }
    try Files.removeTree("\(directory.path)/image")
    let error = #expect(throws: BuildError.self) { try plan(Self.guests + text, in: directory) }
    #expect(error?.code == .badFile && error?.message.contains("to be its image") == true)
  }

  @Test("A changed guest changes its own steps and the volume they are in; more memory changes none")
  func changedGuest() throws {
    let directory = try TemporaryDirectory()
    let before = settings(try plan(Self.guests, in: directory))
    let renamed = Self.guests.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.contains("hostname: two") ? "    source: {debian: {suite: trixie, packages: [], hostname: deux}}" : String($0)
    }.joined(separator: "\n")
    let after = settings(try plan(renamed, in: directory))
    let changed = Set(after.keys.filter { after[$0] != before[$0] })
    #expect(changed == ["two: disk", ImagesVolume.stepName, BootLoader.stepName, BillOfMaterials.stepName])
    let larger = Self.guests.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.contains("memory") ? "    memory: 512 MiB" : String($0)
    }.joined(separator: "\n")
    let grown = settings(try plan(larger, in: directory))
    #expect(
      Set(grown.keys.filter { grown[$0] != before[$0] }) == [BootLoader.stepName, BillOfMaterials.stepName])
  }

  @Test("A changed program changes what is made of it")
  func changedProgram() throws {
    let directory = try TemporaryDirectory()
    let before = settings(try plan(Self.guests, in: directory))
    let programs = try Programs(directory: directory.path, needsHatchling: false)
    try directory.write("roost-vmm", "another program")
    #expect(try programs.step(versions: [:]).settings != before[Programs.stepName])
  }

  @Test("The program of the HTTP interface is in the image where the recipe asks for one, and nowhere else")
  func gateway() throws {
    let directory = try TemporaryDirectory()
    func inputs(_ plan: BuildPlan) -> [String] {
      plan.steps.first { $0.name == ControlRoot.stepName }?.inputs.map(\.file) ?? []
    }
    func packages(_ plan: BuildPlan) -> [String] { plan.steps.first { $0.name == plan.controlRoot }?.settings ?? [] }
    let without = try plan(Self.guests, in: directory)
    #expect(!inputs(without).contains(Programs.gateway))
    #expect(!without.steps.contains { $0.outputs.contains(Programs.gateway) })
    #expect(!packages(without).contains("openssl"))
    let local = try plan(Self.guests, in: directory, api: "api: {}\n")
    #expect(inputs(local).contains(Programs.gateway))
    #expect(!packages(local).contains("openssl"))
    #expect(settings(local)[ControlRoot.stepName]?.contains { $0.hasPrefix("user roost-gateway ") } == true)
    let token = "{name: me, sha256: \(String(repeating: "0", count: 64))}"
    let secure = try plan(Self.guests, in: directory, api: "api: {listen: 0.0.0.0:8443, tokens: [\(token)]}\n")
    #expect(packages(secure).contains("openssl"))
    #expect(secure.certificate.isEmpty)
    let pair = "certificate: c.pem, key: k.pem"
    let own = "api: {listen: 0.0.0.0:8443, tokens: [\(token)], \(pair)}\n"
    try directory.write("c.pem", "-----BEGIN CERTIFICATE-----\n")
    try directory.write("k.pem", "-----BEGIN CERTIFICATE-----\n")
    let error = #expect(throws: BuildError.self) { try plan(Self.guests, in: directory, api: own) }
    #expect(error?.message == "\(directory.path)/k.pem has no PEM block 'PRIVATE KEY'")
    try directory.write("k.pem", "-----BEGIN EC PRIVATE KEY-----\n")
    let brought = try plan(Self.guests, in: directory, api: own)
    #expect(brought.certificate.map(\.path) == ["/roost/api/certificate.pem", "/roost/api/key.pem"])
    #expect(!packages(brought).contains("openssl"))
  }

  @Test("Only --update makes root file systems anew")
  func update() throws {
    let directory = try TemporaryDirectory()
    #expect(try !plan(Self.guests, in: directory).steps.contains { $0.isForced })
    let forced = try plan(Self.guests, in: directory, update: true).steps.filter { $0.isForced }
    #expect(forced.map(\.kind) == ["debian-root", "debian-root"])
  }

  @Test("A kernel file that is not a kernel, or not there, is refused before anything is made")
  func badKernel() throws {
    let directory = try TemporaryDirectory()
    try directory.write("vmlinuz", "I am a text.")
    for boot in ["linux", "pvh"] {
      let domain = """
          - name: lab
            os: Own
            memory: 64 MiB
            boot: \(boot)
            source: {kernel: vmlinuz, command-line: "console=ttyS0"}
            ready: {console: "ready", timeout: 60 s}

        """
      let error = #expect(throws: BuildError.self) { try plan(domain, in: directory) }
      #expect(error?.code == .notAKernel)
      #expect(error?.message.contains("\(directory.path)/vmlinuz") == true)
      let missing = domain.split(separator: "vmlinuz").joined(separator: "nowhere")
      let absent = #expect(throws: BuildError.self) { try plan(missing, in: directory) }
      #expect(absent?.code == .badFile)
      #expect(absent?.message.hasPrefix("lab: ") == true)
    }
  }

  @Test("A disk that firmware starts needs no kernel and has its image's size; drives and passwords are on the medium")
  func firmware() throws {
    let directory = try TemporaryDirectory()
    try Files.write([UInt8](repeating: 1, count: (4 << 20) + 1), to: "\(directory.path)/disk.img")
    try directory.write("cd.iso", "a CD")
    let plan = try plan(
      """
        - name: lab
          memory: 64 MiB
          boot: uefi
          cdrom: cd.iso
          disk-bus: ide
          cpu: baseline
          vnc: {password: secret}
          source: {image: disk.img}
          ready: {console: x}
        - name: blank
          memory: 64 MiB
          cdrom: cd.iso
          disk: 1 GiB
          ready: {console: x}

      """, in: directory)
    let lab = try #require(plan.domains.first)
    #expect(
      lab.placed.map(\.path) == ["/roost/domains/lab/cdrom.iso", "/roost/domains/lab/vnc-password"])
    let host = { (file: DomainFiles.File) throws(BuildError) -> String in
      switch file {
      case .host(let path, _): path
      case .step, .bytes: "\(directory.path)/disk.img"
      }
    }
    let described = try lab.manifest(plan.recipe, locate: host)
    #expect(described.boot == .init(method: .uefi, kernel: nil, initrd: nil, commandLine: ""))
    #expect(described.disk == .init(imageVolume: "image-lab", volume: "lab", bytes: 8 << 20, bus: .ide))
    #expect(described.cdrom == "/roost/domains/lab/cdrom.iso")
    #expect(described.display == .vga)
    #expect(described.vnc?.passwordFile == "/roost/domains/lab/vnc-password")
    #expect(described.cpuModel == .baseline)
    let blank = try plan.domains[1].manifest(plan.recipe, locate: host)
    #expect(blank.boot.method == .bios)
    #expect(blank.disk?.bytes == 1 << 30)
    #expect(plan.steps.contains { $0.name == BlankDisk.stepName })
    let control = try #require(plan.steps.first { $0.name == plan.controlRoot })
    #expect(control.settings.contains("seabios") && control.settings.contains("ovmf"))
  }

  @Test("A Debian guest that firmware starts has its kernel on its disk, and nothing but the disk on the medium")
  func debianByFirmware() throws {
    let directory = try TemporaryDirectory()
    let guest = Self.guests.replacing("    disk: 2 GiB", with: "    disk: 2 GiB\n    boot: bios")
    let plan = try plan(guest, in: directory)
    let one = try #require(plan.domains.first)
    #expect(one.placed.isEmpty && one.commandLine.isEmpty)
    guard case .step(let disk)? = one.disk else {
      Issue.record("\(one)")
      return
    }
    #expect(disk == .init(step: "one: disk", file: GRUBDisk.file))
    let step = try #require(plan.steps.first { $0.name == disk.step })
    #expect(step.inputs == [.init(step: "one: root file system", file: GuestDisk.file)])
    let root = try #require(plan.steps.first { $0.name == "one: root file system" })
    #expect(root.inputs.map(\.file) == [DebianRoot.archive, GuestBase.file, GuestInitramfs.file])
    try Files.write([UInt8](repeating: 1, count: 4 << 20), to: "\(directory.path)/disk.img")
    let described = try one.manifest(plan.recipe) { (_) throws(BuildError) in "\(directory.path)/disk.img" }
    #expect(described.boot == .init(method: .bios, kernel: nil, initrd: nil, commandLine: ""))
    #expect(Tool.needed(by: plan.recipe, copies: [:]) == ["sfdisk"])
    // What the kernel is told is in GRUB's menu, and decides the root and what is made of it.
    let before = settings(plan)
    let told = guest.replacing("    boot: bios", with: "    boot: bios\n    command-line: debug")
    let after = settings(try self.plan(told, in: directory))
    let changed = Set(after.keys.filter { after[$0] != before[$0] })
    #expect(
      changed == ["one: root file system", "two: root file system", BootLoader.stepName, BillOfMaterials.stepName])
  }

  @Test("A Debian guest whose memory grows uses what comes at once, where its kernel does not put what stays")
  func growingMemory() throws {
    let directory = try TemporaryDirectory()
    let growing = Self.guests.replacing("memory: 256 MiB", with: "memory: {start: 256 MiB, max: 1 GiB}")
    for (recipe, isGrowing) in [(Self.guests, false), (growing, true)] {
      let words = try plan(recipe, in: directory).domains.first?.commandLine.split(separator: " ") ?? []
      #expect(words.contains("memhp_default_state=online") == isGrowing)
      #expect(words.contains("memory_hotplug.online_policy=auto-movable") == isGrowing)
    }
  }

  @Test("What is said of one system changes its own steps, and not the packages' root")
  func customization() throws {
    let directory = try TemporaryDirectory()
    let before = settings(try plan(Self.guests, in: directory))
    let lines = "packages: [], users: [{name: ada}], services: {enable: [x]}, first-boot: [a], hostname: two"
    let guest = Self.guests.replacing("packages: [], hostname: two", with: lines)
    let changed = try plan(guest, in: directory)
    #expect(Tool.needed(by: changed.recipe, copies: [:]) == ["unshare"])
    let after = settings(changed)
    let always: Set<String> = [BootLoader.stepName, BillOfMaterials.stepName]
    #expect(
      Set(after.keys.filter { after[$0] != before[$0] })
        == always.union(["two: services", "two: disk", ImagesVolume.stepName]))
    let control = settings(
      try plan(Self.guests, in: directory, control: ", users: [{name: ada}], command-line: nomodeset"))
    #expect(Set(control.keys.filter { control[$0] != before[$0] }) == always.union([ControlRoot.stepName]))
  }

  @Test("How the image is packed changes what is packed, and nothing before it")
  func compression() throws {
    let directory = try TemporaryDirectory()
    let before = settings(try plan(Self.guests, in: directory))
    func changes(_ image: String) throws -> (Set<String>, [String: [String]]) {
      let after = settings(try plan(Self.guests, in: directory, api: "image: \(image)\n"))
      return (Set(after.keys.filter { after[$0] != before[$0] }), after)
    }
    let always: Set<String> = [BootLoader.stepName, BillOfMaterials.stepName]
    let (names, xz) = try changes("{compression: xz}")
    #expect(
      names
        == always.union([
          ControlRoot.stepName, ImagesVolume.stepName, "initramfs", "guests: Debian trixie, ext4, compressed",
          "one: disk, compressed", "two: disk, compressed",
        ]))
    #expect(xz[ControlRoot.stepName]?.contains("-Xbcj") == true)
    #expect(xz[ImagesVolume.stepName]?.contains("-Xbcj") == false)
    #expect(try changes("{level: 3}").1[ControlRoot.stepName]?.contains("3") == true)
    // What suits is not the same everywhere.
    #expect(before[ControlRoot.stepName]?.contains("262144") == true)
    #expect(before[ImagesVolume.stepName]?.contains("131072") == true)
    #expect(try changes("{compression: zstd}").0.isEmpty)
  }

  @Test("Who signs decides what is taken out of the packages; a key's file is read, and its content counts")
  func secureBoot() throws {
    let directory = try TemporaryDirectory()
    func root(_ image: String) throws -> Step {
      let plan = try plan(Self.guests, in: directory, api: image)
      return try #require(plan.steps.first { $0.name == plan.controlRoot })
    }
    func loader(_ image: String) throws -> Step {
      try #require(plan(Self.guests, in: directory, api: image).steps.first { $0.name == BootLoader.stepName })
    }
    let (debian, none) = ("", "image: {secure-boot: none}\n")
    let own = "image: {secure-boot: {key: db.key, certificate: db.pem}}\n"
    #expect(throws: BuildError.self) { try loader(own) }
    try Files.write("-----BEGIN CERTIFICATE-----\n", to: "\(directory.path)/db.pem")
    try Files.write("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", to: "\(directory.path)/db.key")
    #expect { try loader(own) } throws: { "\($0)".contains("has a passphrase") }
    try Files.write("-----BEGIN RSA PRIVATE KEY-----\n1\n", to: "\(directory.path)/db.key")
    #expect(try root(debian).outputs.suffix(3) == ["shimx64.efi", "mmx64.efi", "grubx64.efi"])
    #expect(try loader(debian).inputs.map(\.file) == ["shimx64.efi", "mmx64.efi", "grubx64.efi"])
    #expect(try !root(none).outputs.contains { $0.hasSuffix(".efi") && !$0.hasPrefix("memtest") })
    #expect(try loader(none).inputs.isEmpty)
    #expect(try root(own).outputs.last == "linuxx64.efi.stub")
    #expect(
      try loader(own).inputs.map(\.file) == [
        "linuxx64.efi.stub", DebianRoot.kernel, Initramfs.file, ControlRoot.rootDigest,
      ])
    let before = try loader(own).settings
    try Files.write("-----BEGIN RSA PRIVATE KEY-----\n2\n", to: "\(directory.path)/db.key")
    #expect(try loader(own).settings != before)
  }

  @Test("A Debian guest's initramfs has the drivers of what its disk is attached to")
  func debianDrivers() throws {
    let directory = try TemporaryDirectory()
    for (bus, root, driver, other) in [
      ("virtio", "/dev/vda", "virtio_blk", "ata_piix"), ("ide", "/dev/sda", "ata_piix", "virtio_blk"),
      ("scsi", "/dev/sda", "virtio_scsi", "ata_piix"),
    ] {
      let guest = Self.guests.replacing("    disk: 2 GiB", with: "    disk: 2 GiB\n    disk-bus: \(bus)")
      let plan = try plan(guest, in: directory)
      #expect(plan.domains.first?.commandLine.hasPrefix("root=\(root) ") == true)
      let settings = try #require(plan.steps.first { $0.name == "one: initramfs" }).settings
      #expect(settings.contains(driver) && !settings.contains(other))
    }
  }

  @Test("A program for UEFI firmware becomes a disk, and nothing else of it is on the medium")
  func program() throws {
    let directory = try TemporaryDirectory()
    try directory.write("p.efi", "MZ")
    let plan = try plan(
      "  - {name: lab, memory: 64 MiB, source: {efi: p.efi}, ready: {console: x}}\n", in: directory)
    let lab = try #require(plan.domains.first)
    guard case .step(let disk)? = lab.disk else {
      Issue.record("\(lab)")
      return
    }
    #expect(disk == .init(step: "lab: disk", file: EFIDisk.file))
    #expect(lab.placed.isEmpty)
    #expect(Tool.needed(by: plan.recipe, copies: [:]) == ["sfdisk"])
  }

  @Test("An image that is larger than its disk is refused with both sizes")
  func largeImage() throws {
    let directory = try TemporaryDirectory()
    try Files.write([UInt8](repeating: 1, count: 20 << 20), to: "\(directory.path)/disk.img")
    let plan = try plan(
      """
        - {name: lab, memory: 64 MiB, disk: 16 MiB, source: {image: disk.img}, ready: {console: x}}

      """, in: directory)
    let error = #expect(throws: BuildError.self) {
      try plan.domains[0].manifest(plan.recipe) { (_) throws(BuildError) in "\(directory.path)/disk.img" }
    }
    #expect(error?.code == .diskTooSmall)
    #expect(error?.message == "lab: its disk's image has 20 MiB, and its disk 16 MiB")
  }

  @Test("How a kernel of the user's is entered is told by its file, and its modules follow it")
  func detectedKernel() throws {
    let directory = try TemporaryDirectory()
    var kernel = [UInt8](repeating: 0, count: 4096)
    kernel.replaceSubrange(0..<12, with: [0x02, 0xB0, 0xAD, 0x1B, 0, 0, 0, 0, 0xFE, 0x4F, 0x52, 0xE4])
    try Files.write(kernel, to: "\(directory.path)/kernel")
    try directory.write("module", "m")
    let plan = try plan(
      """
        - name: lab
          memory: 64 MiB
          source: {kernel: kernel, modules: [{file: module, command-line: a b}]}
          command-line: console=com1
          ready: {console: x}

      """, in: directory)
    let described = try plan.domains[0].manifest(plan.recipe) { (_) throws(BuildError) in
      "\(directory.path)/kernel"
    }
    #expect(described.boot.method == .multiboot)
    #expect(described.boot.commandLine == "console=com1")
    #expect(described.boot.modules == [.init(file: "/roost/domains/lab/module-0", commandLine: "a b")])
  }

  @Test("A missing program of Roost's is named")
  func missingProgram() throws {
    let directory = try TemporaryDirectory()
    let error = #expect(throws: BuildError.self) { try Programs(directory: directory.path, needsHatchling: false) }
    #expect(error?.code == .missingProgram)
    #expect(error?.message == "Roost's program roost is not in \(directory.path)")
  }
}
