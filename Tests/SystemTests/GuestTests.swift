import Platform
import Testing

/// Systems that boot as on a PC, in one appliance: by firmware from every kind of drive, by their own kernels, on
/// several CPUs.
@Suite("Guests", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct GuestTests {
  /// A boot sector that has the BIOS read the sector after it, and prints the text there on the serial port.
  private static func bootDisk(saying text: String, sectors: Int) -> [UInt8] {
    let code: [UInt8] = [
      0xB8, 0x01, 0x02, 0xBB, 0x00, 0x7E, 0xB9, 0x02, 0x00, 0xB6, 0x00, 0xCD, 0x13,  // read sector 2 to 0x7E00
      0xBE, 0x00, 0x7E,  // mov $0x7E00, %si
      0xAC, 0x84, 0xC0, 0x74, 0x06,  // lodsb; test %al, %al; jz to the end
      0xBA, 0xF8, 0x03, 0xEE, 0xEB, 0xF5,  // out %al, 0x3F8; again
      0xF4, 0xEB, 0xFD,  // hlt, for ever
    ]
    let first = code + [UInt8](repeating: 0, count: 510 - code.count) + [0x55, 0xAA]
    let second = Array(text.utf8) + [UInt8](repeating: 0, count: 512 - text.utf8.count)
    return first + second + [UInt8](repeating: 0, count: (sectors - 2) * 512)
  }

  private static let archive = """
    name: guests
    control-domain: {suite: trixie}
    storage: {ram: 256 MiB}
    sources:
      memtest: {debian-file: {package: memtest86+, path: boot/memtest86+x64.bin, suite: bookworm}}
      ipxe: {debian-file: {package: ipxe, path: usr/lib/ipxe/ipxe.iso, suite: bookworm}}
      pvh: {debian-file: {package: grub-xen-host, path: usr/lib/grub-xen/grub-i386-xen_pvh.bin, suite: bookworm}}
    domains:
      - name: debian
        cpus: 4
        memory: 384 MiB
        disk: 2 GiB
        network: true
        source: {debian: {suite: trixie, packages: [], hostname: debian}}
      - name: grub
        memory: 256 MiB
        disk: 1 GiB
        boot: bios
        source: {debian: {suite: bookworm}}
      - name: memtest
        memory: 64 MiB
        boot: linux
        command-line: "console=ttyS0,115200"
        source: {kernel: {from: memtest}}
        ready: {console: "Status: Testing", timeout: 300 s}
      - name: pvh
        memory: 64 MiB
        boot: xen-pvh
        source: {kernel: {from: pvh}}
        ready: {console: "grub> ", timeout: 300 s}
      - name: ipxe
        memory: 64 MiB
        boot: bios
        cdrom: {from: ipxe}
        display: none
        ready: {console: "iPXE initialising devices", timeout: 300 s}
      - name: floppy
        memory: 16 MiB
        boot: bios
        floppy: floppy.img
        display: none
        ready: {console: "hello from the floppy disk", timeout: 300 s}
      - name: ide
        memory: 16 MiB
        boot: bios
        disk-bus: ide
        source: {image: ide.img}
        ready: {console: "hello from the IDE disk", timeout: 300 s}
      - name: scsi
        memory: 16 MiB
        boot: bios
        disk-bus: scsi
        source: {image: scsi.img}
        ready: {console: "hello from the SCSI disk", timeout: 300 s}

    """

  @Test(
    """
    Debian on four CPUs and by a BIOS and GRUB, memtest86+ by its kernel, GRUB for PVH on Xen's hypercalls, iPXE from a CD, and \
    disks on IDE, SCSI and a floppy drive
    """)
  func archive() throws {
    let work = try BuildTests.Workplace("guests")
    for (name, text, sectors) in [
      ("floppy", "the floppy disk", 2880), ("ide", "the IDE disk", 8192), ("scsi", "the SCSI disk", 8192),
    ] {
      try Files.write(
        Self.bootDisk(saying: "hello from \(text)", sectors: sectors), to: "\(work.path)/\(name).img")
    }
    try Files.write(Self.archive, to: "\(work.path)/recipe.yaml")
    try boot(work.path, ["debian", "grub", "memtest", "pvh", "ipxe", "floppy", "ide", "scsi"], log: "guests")
  }

  @Test("By UEFI, Debian from a disk with GRUB, and memtest86+ from a CD, which a BIOS starts as well")
  func uefi() throws {
    let work = try BuildTests.Workplace("uefi")
    try makeMemtestDisc(in: work.path)
    let recipe = """
      name: uefi
      control-domain: {suite: trixie}
      storage: {ram: 256 MiB}
      domains:
        - name: uefi
          memory: 256 MiB
          disk: 1 GiB
          boot: uefi
          display: none
          source: {debian: {suite: bookworm, hostname: grubuefi}}
          ready: {console: "grubuefi login:", timeout: 900 s}
        - name: uefi-cd
          memory: 128 MiB
          boot: uefi
          cdrom: memtest.iso
          display: none
          ready: {console: "Status: Testing", timeout: 900 s}
        - name: bios-cd
          memory: 64 MiB
          boot: bios
          cdrom: memtest.iso
          display: none
          ready: {console: "Status: Testing", timeout: 900 s}

      """
    try Files.write(recipe, to: "\(work.path)/recipe.yaml")
    try boot(work.path, ["uefi", "uefi-cd", "bios-cd"], timeout: 900, log: "uefi")
  }

  /// Makes `memtest.iso`: GRUB for both kinds of firmware, which starts Debian's memtest86+ with its console on the serial
  /// port.
  private func makeMemtestDisc(in directory: String) throws {
    let disc = "\(directory)/disc"
    try Files.makeDirectories("\(disc)/boot/grub")
    try DamagedImage.run([
      "sh", "-c",
      """
      cd "$1" && { apt-get -q download memtest86+ >apt.log 2>&1 || { cat apt.log; exit 1; }; } &&
      dpkg-deb -x memtest86+_*.deb package &&
      cp package/boot/memtest86+x64.bin package/boot/memtest86+x64.efi disc
      """, "sh", directory,
    ])
    try Files.write(
      """
      set program=/memtest86+x64.bin
      if [ "$grub_platform" = efi ]; then set program=/memtest86+x64.efi; fi
      linux $program console=ttyS0,115200
      boot

      """, to: "\(disc)/boot/grub/grub.cfg")
    try DamagedImage.run(["grub-mkrescue", "-o", "\(directory)/memtest.iso", disc])
  }

  /// Builds `recipe.yaml` in `directory`, boots it, and waits until all of `domains` are ready.
  private func boot(_ directory: String, _ domains: [String], timeout: Int = 600, log: String) throws {
    let iso = "\(directory)/out.iso"
    let build = try Machine(
      [try Environment.program("roost"), "build", "\(directory)/recipe.yaml", "-o", iso], log: "\(log)-build")
    #expect(try build.waitForExit(seconds: 1200) == .exited(0), "\(build.tail)")
    try EmulatorPanic.startingOver { attempt in
      let serial = "build/logs/\(log)-serial-\(attempt).log"
      let machine = try Machine(
        [
          try Environment.program("roost"), "boot", iso, "--headless", "--until-ready", "--memory", "3GiB",
          "--timeout", "\(timeout)", "--log", serial,
        ], log: "\(log)-\(attempt)")
      let status = try machine.waitForExit(seconds: timeout + 60)
      try EmulatorPanic.check(serialLog: serial)
      #expect(!((try? Files.readText(serial)) ?? "").contains("Kernel panic"))
      #expect(status == .exited(0), "\(machine.tail)")
      for domain in domains {
        let lines = machine.text.split(separator: "\n").filter { $0.contains(domain) && $0.contains("ready after") }
        #expect(!lines.isEmpty, "no line says that \(domain) is ready:\n\(machine.tail)")
        for line in lines { print(line) }
      }
    }
  }

  // MARK: Foreign systems

  @Test(
    "FreeBSD, Debian and Plan 9 are ready at the same time, in a machine of 2 GiB, and each answers on its console",
    .enabled(if: Families.present != nil, "\(Families.reason)"))
  func threeFamilies() throws {
    let families = try #require(Families.present)
    let work = try BuildTests.Workplace("families")
    try Files.write(
      """
      name: families
      control-domain: {suite: trixie}
      storage: {ram: 256 MiB}
      domains:
      \(families.domains())
      """, to: "\(work.path)/recipe.yaml")
    try DamagedImage.run([
      try Environment.program("roost"), "build", "\(work.path)/recipe.yaml", "-o", "\(work.path)/out.iso", "--quiet",
    ])
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(
        Appliance.Options(iso: "\(work.path)/out.iso", memory: 2048), log: "families-\(attempt)")
      do {
        try converse(machine, families)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
      #expect(!machine.text.contains("Kernel panic"))
    }
  }

  private func converse(_ machine: Machine, _ families: Families) throws {
    let ready = "All 3 domains are ready."
    try machine.wait(for: ready, seconds: 600)
    // A word that is written in two parts is in the answer only.
    try machine.type("1\r")
    // What is typed before the console is there is the screen's.
    try machine.wait(for: families.prompt, seconds: 60)
    try machine.type("echo it-i''s-$(uname -s)-$(uname -m)\r")
    try machine.wait(for: "it-is-FreeBSD-amd64", seconds: 60)
    try machine.type("\u{1D}")
    try machine.wait(for: ready, seconds: 30)
    try machine.type("2\r")
    try machine.wait(for: "debian login:", seconds: 60)
    try machine.type("root\r")
    try machine.wait(for: "root@debian:~#", seconds: 120)
    try machine.type("echo it-i''s-$(uname -s)-$(uname -m)\r")
    try machine.wait(for: "it-is-Linux-x86_64", seconds: 60)
    try machine.type("\u{1D}")
    try machine.wait(for: ready, seconds: 30)
    try machine.type("3\n")
    try machine.wait(for: "term% ", seconds: 60)
    try machine.type("echo it-i''s-plan9-`{cat '#c/osversion'}\n")
    try machine.wait(for: "it-is-plan9-2000", seconds: 60)
    try machine.type("\u{1D}")
    try machine.wait(for: ready, seconds: 30)
  }
}
