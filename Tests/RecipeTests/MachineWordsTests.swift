import Manifest
import Testing

@testable import Recipe

/// The recipe's words for a domain's machine: firmware, drives, cards, display.
@Suite struct MachineWordsTests {
  private func domain(_ lines: String) throws -> Recipe.Domain {
    let text = recipe(domain: "  - name: d\n    memory: 64 MiB\n    ready: {console: x}\n\(lines)")
    return try #require(try Recipe.parse(text, file: "r.yaml").domains.first)
  }

  @Test func whatIsLeftOutIsAsUsual() throws {
    let plain = try domain("    source: {kernel: k}\n")
    #expect(plain.hardware == Recipe.Hardware())
    #expect(plain.hardware.display == .nothing)
    #expect(plain.hardware.cpu == .host)
    #expect(plain.commandLine.isEmpty)
    #expect(try domain("    boot: auto\n    source: {kernel: k}\n").boot == nil)
  }

  @Test func disksComeAndGoWhereDebianRunsOrWhereItIsSaid() throws {
    let debian = "    disk: 1 GiB\n    source: {debian: {suite: trixie}}\n"
    #expect(try domain(debian).hardware.hotplug)
    #expect(try domain("    boot: uefi\n\(debian)").hardware.hotplug)
    #expect(try !domain("    hotplug: false\n\(debian)").hardware.hotplug)
    #expect(try !domain("    source: {kernel: k}\n").hardware.hotplug)
    #expect(try domain("    hotplug: true\n    source: {kernel: k}\n").hardware.hotplug)
    #expect(try !domain("    hotplug: false\n    source: {hatchling: {}}\n").hardware.hotplug)
  }

  @Test func limitsAreReadAndOnTheMedium() throws {
    let line = """
          limits: {cpu-weight: 300, cpu-cap: 50, cpus: 0-1, disk-rate: 20 MiB, disk-operations: 500, network-rate: 10 Mbit}

      """
    let text = recipe(
      domain:
        "  - name: d\n    memory: 64 MiB\n    network: true\n\(line)    source: {debian: {suite: trixie}}\n    disk: 1 GiB\n"
    )
    let read = try Recipe.parse(text, file: "r.yaml")
    let domain = try #require(read.domains.first)
    var expected = ResourceLimits()
    (expected.cpuWeight, expected.cpuCap, expected.cpus) = (300, 50, "0-1")
    (expected.diskRate, expected.diskOperations, expected.networkRate) = (20 << 20, 500, 10_000_000)
    #expect(domain.limits == expected)
    let boot = ApplianceManifest.Boot(method: .linux, kernel: "/k", initrd: nil, commandLine: "")
    #expect(ApplianceManifest.Domain(domain, in: read, boot: boot, disk: nil).limits == expected)
    let other = try Recipe.parse(text.replacing("cpu-cap: 50", with: "cpu-cap: 51"), file: "r.yaml")
    #expect(other.digest != read.digest && other.domains.first?.sourceDigest == domain.sourceDigest)
  }

  @Test(arguments: [
    ("cpu-weight: 0", "1 to 10000"), ("cpu-cap: 0", "1 to 6400"), ("cpus: x", "0-1,3"), ("disk-rate: 1 KiB", "64 KiB"),
    ("network-rate: 10 Mbit", "network: true"), ("network-rate: 1 bit", "64 kbit"), ("network-rate: 1", "10 Mbit"),
    ("speed: 1", "cpu-weight"),
  ])
  func limitsThatMakeNoSenseAreNamed(line: String, words: String) {
    let error = #expect(throws: RecipeError.self) {
      try domain("    limits: {\(line)}\n    source: {kernel: k}\n")
    }
    #expect(
      "\(error.map(String.init(describing:)) ?? "")".contains(words), "\(error.map(String.init(describing:)) ?? "")")
  }

  @Test func hotplugIsOnTheMediumAndInTheDigest() throws {
    func both(_ line: String) throws -> (recipe: Recipe, domain: ApplianceManifest.Domain) {
      let lines = "\(line)    disk: 1 GiB\n    source: {debian: {suite: trixie}}\n"
      let text = recipe(domain: "  - name: d\n    memory: 64 MiB\n\(lines)")
      let recipe = try Recipe.parse(text, file: "r.yaml")
      let domain = try #require(recipe.domains.first)
      let boot = ApplianceManifest.Boot(method: .linux, kernel: "/k", initrd: nil, commandLine: "")
      return (recipe, ApplianceManifest.Domain(domain, in: recipe, boot: boot, disk: nil))
    }
    let with = try both("")
    let without = try both("    hotplug: false\n")
    #expect(with.domain.hotplug == true && without.domain.hotplug == nil)
    #expect(with.recipe.digest != without.recipe.digest)
    // What is on the disk does not depend on it.
    #expect(with.recipe.domains.first?.sourceDigest == without.recipe.domains.first?.sourceDigest)
  }

  @Test func firmwareNeedsNoKernelAndHasADisplay() throws {
    let disk = try domain("    source: {image: disk.img}\n")
    #expect(disk.boot == .bios)
    #expect(disk.hardware.display == .vga)
    #expect(disk.diskBytes == nil)  // as large as its image
    let medium = try domain("    boot: uefi\n    cdrom: install.iso\n    disk: 1 GiB\n    display: none\n")
    #expect(medium.boot == .uefi)
    #expect(medium.hardware.cdrom == .path("install.iso"))
    #expect(medium.hardware.display == .nothing)
    #expect(medium.source == .files(Recipe.Files()))
    let floppy = try domain("    boot: bios\n    floppy: a.img\n")
    #expect(floppy.hardware.floppy == .path("a.img"))
  }

  @Test func debianIsStartedByFirmwareToo() throws {
    let source = "    disk: 2 GiB\n    source: {debian: {suite: bookworm}}\n"
    #expect(try domain(source).boot == .linux)
    for (word, method) in [("bios", BootMethod.bios), ("uefi", .uefi)] {
      let guest = try domain("    boot: \(word)\n    command-line: mitigations=off\n\(source)")
      #expect(guest.boot == method)
      #expect(guest.commandLine == "mitigations=off")
      #expect(guest.hardware.display == .vga)
    }
  }

  @Test func aProgramForFirmwareIsADisk() throws {
    let program = try domain("    source: {efi: memtest.efi}\n    disk-bus: ide\n")
    #expect(program.boot == .uefi)
    #expect(program.source == .files(.init(program: .path("memtest.efi"))))
    #expect(program.hardware.display == .vga && program.diskBytes == nil)
    let other = try domain("    source: {efi: other.efi}\n    disk-bus: ide\n")
    #expect(other.sourceDigest != program.sourceDigest)
  }

  @Test func everyWordIsRead() throws {
    let all = try domain(
      """
          boot: multiboot
          cpu: baseline
          network: true
          nic: e1000
          disk-bus: ide
          display: vga
          vnc: {password: secret}
          command-line: "dom0_mem=1G"
          source: {kernel: xen, modules: [{file: vmlinuz, command-line: "root=/dev/sda1, ro"}, {file: i}], root: r}

      """)
    #expect(all.boot == .multiboot)
    #expect(all.hardware.cpu == .baseline)
    #expect(all.hardware.nic == .e1000)
    #expect(all.hardware.diskBus == .ide)
    #expect(all.hardware.vnc == .init(password: "secret"))
    #expect(all.commandLine == "dom0_mem=1G")
    guard case .files(let files) = all.source else {
      Issue.record("\(all.source)")
      return
    }
    #expect(
      files.modules == [
        .init(file: .path("vmlinuz"), commandLine: "root=/dev/sda1, ro"), .init(file: .path("i"), commandLine: ""),
      ])
    #expect(files.image == .path("r"))
    for method in BootMethod.allCases where !method.isFirmware {
      #expect(try domain("    boot: \(method.rawValue)\n    source: {kernel: k}\n").boot == method)
    }
    #expect(try domain("    source: {kernel: k}\n    vnc: off\n").hardware.vnc == nil)
  }

  @Test func everyWordIsInTheDigest() throws {
    let base = "    network: true\n    display: vga\n    source: {kernel: k, root: r}\n"
    let words = [
      "", "    boot: pvh\n", "    cpu: baseline\n", "    nic: e1000\n", "    disk-bus: scsi\n", "    vnc: {}\n",
      "    vnc: {password: a}\n", "    command-line: a\n", "    cdrom: a\n", "    cdrom: b\n",
    ]
    let digests = try words.map { word in
      try Recipe.parse(
        recipe(domain: "  - name: d\n    memory: 64 MiB\n    ready: {console: x}\n\(base)\(word)"), file: "r"
      ).digest
    }
    #expect(Set(digests).count == words.count)
  }

  /// Lines of a domain that begins in line 4 and whose own lines begin in line 7.
  @Test(arguments: [
    (
      "    boot: uefi\n    floppy: f\n    source: {image: i}\n",
      "8:13: error: only a BIOS starts from a floppy disk; add 'boot: bios'"
    ),
    ("    floppy: f\n    source: {kernel: k}\n", "7:13: error: only a BIOS starts from a floppy disk"),
    (
      "    boot: bios\n    source: {kernel: k, image: i}\n",
      "8:22: error: 'boot: bios' enters firmware, which takes no kernel; leave out 'kernel'"
    ),
    ("    boot: uefi\n", "4:5: error: firmware finds nothing to start; add 'image: FILE'"),
    ("    boot: pvh\n    source: {image: i}\n", "8:13: error: 'boot: pvh' needs a kernel; add 'kernel: FILE'"),
    (
      "    boot: plan9\n    source: {kernel: k, initrd: i}\n",
      "8:33: error: a kernel entered with 'boot: plan9' takes no 'initrd'; leave it out"
    ),
    (
      "    boot: linux\n    source: {kernel: k, modules: [{file: m}]}\n",
      "8:34: error: a kernel entered with 'boot: linux' takes no 'modules'; leave them out, or use 'boot: multiboot'"
    ),
    (
      "    nic: e1000\n    source: {kernel: k}\n",
      "7:10: error: 'nic' in a domain without a network card; add 'network: true'"
    ),
    ("    vnc: {}\n    source: {kernel: k}\n", "7:10: error: 'vnc' has nothing to show; add 'display: vga'"),
    ("    vnc: on\n    source: {image: i}\n", "7:10: error: 'vnc' in a domain must be off, or a group of keys"),
    (
      "    vnc: {password: longerthan8}\n    source: {image: i}\n",
      "7:21: error: 'password' in a domain's 'vnc': 'longerthan8' must have 1 to 8 ASCII characters"
    ),
    (
      "    disk-bus: ide\n    source: {kernel: k}\n",
      "7:15: error: 'disk-bus' in a domain without a disk; leave it out"
    ),
    (
      "    disk-bus: sata\n    source: {image: i}\n",
      "7:15: error: 'disk-bus' in a domain must be one of virtio, ide, scsi, not 'sata'"
    ),
    (
      "    nic: e100\n    network: true\n    source: {kernel: k}\n",
      "must be one of virtio, e1000, not 'e100'; did you mean 'e1000'?"
    ),
    ("    display: hdmi\n    source: {kernel: k}\n", "7:14: error: 'display' in a domain must be one of none, vga"),
    ("    cpu: pentium\n    source: {kernel: k}\n", "7:10: error: 'cpu' in a domain must be one of host, baseline"),
    (
      "    boot: bios\n    command-line: quiet\n    source: {image: i}\n",
      "8:19: error: firmware has no command line to hand on"
    ),
    (
      "    boot: bios\n    source: {efi: p}\n",
      "8:19: error: a BIOS starts no EFI program; use 'boot: uefi', or 'image: FILE' for a disk"
    ),
    (
      "    source: {efi: p, image: i}\n",
      "7:14: error: 'efi' makes the whole disk, and so does 'image'; leave one out"
    ),
    ("    source: {efi: p, kernel: k}\n", "7:13: error: a domain's source must have exactly one of the keys 'debian'"),
    (
      "    boot: bios\n    command-line: a=\"b\"\n    disk: 1 GiB\n    source: {debian: {suite: trixie}}\n",
      "8:19: error: GRUB hands no quotes and no backslashes on; leave them out, or use 'boot: linux'"
    ),
    (
      "    boot: pvh\n    disk: 1 GiB\n    source: {debian: {suite: trixie}}\n",
      "7:11: error: a Debian domain boots with 'boot: linux', 'bios' or 'uefi'"
    ),
    ("    boot: uefi\n    source: {debian: {suite: trixie}}\n", "4:5: error: a domain needs the key 'disk'"),
    (
      "    command-line: a\n    source: {kernel: k, command-line: b}\n",
      "8:25: error: the domain has a 'command-line' of its own; leave one out"
    ),
    (
      "    source: {kernel: k, image: i, root: r}\n",
      "7:35: error: 'image' and 'root' both name what the disk begins with; leave one out"
    ),
    (
      "    source: {kernel: k, modules: m}\n",
      "7:34: error: 'modules' in a domain's source must be a list, each entry as in {file: FILE"
    ),
    ("    source: {kernel: k, modules: [{command-line: x}]}\n", "7:35: error: a module needs the key 'file'"),
    (
      "    cdrom: [a]\n    source: {kernel: k}\n", "7:12: error: 'cdrom' in a domain must be a single value, not a list"
    ),
    (
      "    hotplug: true\n    source: {hatchling: {}}\n", "7:14: error: hatchling has no use for disks that come and go"
    ),
    ("    hotplug: perhaps\n    source: {kernel: k}\n", "7:14: error: 'hotplug'"),
    ("    hotplg: true\n    source: {kernel: k}\n", "did you mean 'hotplug'?"),
    ("    display: vga\n    source: {hatchling: {}}\n", "7:14: error: hatchling has no use for a display"),
    (
      "    source: {debian: {suite: trixie}, command-line: x}\n    disk: 1 GiB\n",
      "7:39: error: 'command-line' belongs to a source with 'kernel', not to 'debian'; write it beside 'source'"
    ),
  ])
  func whatDoesNotBelongTogetherIsRefusedWithItsPlace(lines: String, expected: String) {
    let found = problems(recipe(domain: "  - name: d\n    memory: 64 MiB\n    ready: {console: x}\n\(lines)"))
    #expect(found.contains { $0.contains(expected) }, "\(found)")
  }
}
