import Binary
import Platform
import Testing

/// The image as a file on a stick with others, over HTTP, and in memory. Each machine is followed until its root is mounted.
@Suite("The image boots from anywhere", .serialized, .enabled(if: Environment.isComplete, Environment.reason))
struct AnywhereTests {
  /// Kernel and initramfs, taken out of the image, and what the menu tells the kernel.
  private struct Direct {
    let directory: String
    let commandLine: String

    init() throws {
      directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-anywhere-")
      for name in ["vmlinuz", "initrd.img"] {
        try DamagedImage.run([
          "xorriso", "-osirrox", "on", "-indev", try Environment.image(), "-extract", "/roost/\(name)",
          "\(directory)/\(name)",
        ])
      }
      let report = try DamagedImage.output([try Environment.program("roost"), "inspect", try Environment.image()])
      let line = try #require(report.split(separator: "\n").first { $0.contains("  command line ") })
      commandLine = String(try #require(line.split(separator: " ", maxSplits: 2).last))
        .split(separator: " ").joined(separator: " ")
    }

    func options(_ commandLine: String) -> Appliance.Options {
      Appliance.Options(kernel: ("\(directory)/vmlinuz", "\(directory)/initrd.img", commandLine))
    }
  }

  private static let isWhole = "the root file system is as it was built"
  private static let screen = "Roost - "

  private func watching(_ machine: Machine, _ body: () throws -> Void) throws {
    defer { machine.cutPower() }
    do {
      try body()
    } catch {
      try EmulatorPanic.check(text: machine.text)
      throw error
    }
  }

  private func follow(_ machine: Machine, _ words: [String]) throws {
    for word in words { try machine.wait(for: word, seconds: 300) }
  }

  /// A stick of a FAT file system with the image in a folder, and GRUB for UEFI that starts it as such sticks do.
  private func makeStick(_ directory: String) throws -> String {
    let stick = "\(directory)/stick.img"
    let size = try #require(try Files.status(try Environment.image())).size
    let mebibytes = (size >> 20) + 32
    try Files.write(
      """
      iso_path="/images/my lab.iso"
      export iso_path
      search --no-floppy --set=stick --file "$iso_path"
      loopback loop ($stick)"$iso_path"
      root=loop
      configfile /boot/grub/loopback.cfg

      """, to: "\(directory)/grub.cfg")
    try DamagedImage.run([
      "grub-mkstandalone", "-O", "x86_64-efi", "-o", "\(directory)/BOOTX64.EFI", "--locales=", "--fonts=", "--themes=",
      "--install-modules=loopback iso9660 fat part_gpt part_msdos search search_fs_file normal configfile linux echo test",
      "--modules=loopback iso9660 fat part_gpt part_msdos search search_fs_file normal configfile linux echo test",
      "boot/grub/grub.cfg=\(directory)/grub.cfg",
    ])
    try FileDescriptor(opening: stick, [.readWrite, .create]).truncate(to: (mebibytes + 2) << 20)
    try DamagedImage.run([
      "sh", "-c", "printf 'label: dos\\nstart=2048, size=%s, type=ef, bootable\\n' \"$1\" | sfdisk --quiet \"$2\"",
      "sh",
      "\(mebibytes << 11)", stick,
    ])
    let place = "\(stick)@@1M"
    for arguments in [
      ["mformat", "-i", place, "-F", "-T", "\(mebibytes << 11)", "-h", "64", "-s", "32", "::"],
      ["mmd", "-i", place, "::/EFI", "::/EFI/BOOT", "::/images"],
      ["mcopy", "-i", place, "\(directory)/BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.EFI"],
      ["mcopy", "-i", place, try Environment.image(), "::/images/my lab.iso"],
    ] { try DamagedImage.run(arguments) }
    return stick
  }

  @Test("Out of a file on a stick, by another GRUB and loopback.cfg; and without being told which file")
  func file() throws {
    let direct = try Direct()
    defer { try? Files.removeTree(direct.directory) }
    let firmware = try #require(
      ["/usr/share/ovmf/OVMF.fd", "/usr/share/qemu/OVMF.fd"].first { Files.exists($0) }, "this machine has no OVMF")
    let stick = try makeStick(direct.directory)
    try EmulatorPanic.startingOver { attempt in
      let machine = try Appliance.start(
        Appliance.Options(stick: stick, firmware: firmware), log: "loopback-\(attempt)")
      try watching(machine) {
        try follow(machine, ["found it as images/my lab.iso on /dev/", Self.isWhole, Self.screen])
      }
    }
    // As a boot loader does that reads kernel and initramfs out of the file and says nothing of it.
    try EmulatorPanic.startingOver { attempt in
      var options = direct.options(direct.commandLine)
      options.target = stick
      let machine = try Appliance.start(options, log: "loopback-untold-\(attempt)")
      try watching(machine) { try follow(machine, ["found it as images/my lab.iso on /dev/", Self.isWhole]) }
    }
  }

  @Test("Over HTTP, checked by the image's digest")
  func network() throws {
    let direct = try Direct()
    defer { try? Files.removeTree(direct.directory) }
    let image = try Environment.image()
    let served = "\(direct.directory)/served"
    try Files.makeDirectories(served)
    try Files.link("\(served)/lab.iso", to: try Files.resolve(image))
    let port = 20_000 + Int(ProcessEnvironment.processID) % 20_000
    let server = try Machine(
      ["busybox", "httpd", "-f", "-p", "127.0.0.1:\(port)", "-h", served], log: "image-server")
    defer { server.cutPower() }
    let address = "http://10.0.2.2:\(port)/lab.iso"
    let digest = try FileDigest.plain(image)
    try EmulatorPanic.startingOver { attempt in
      var options = direct.options("\(direct.commandLine) roost.medium=\(address) roost.image=sha256:\(digest)")
      options.network = true
      let machine = try Appliance.start(options, log: "http-\(attempt)")
      try watching(machine) { try follow(machine, ["fetching the image from \(address)", Self.isWhole, Self.screen]) }
    }
    // Another digest, and nothing of the image is started.
    try EmulatorPanic.startingOver { attempt in
      var options = direct.options(
        "\(direct.commandLine) roost.medium=\(address) roost.image=sha256:\(String(repeating: "0", count: 64))")
      options.network = true
      let machine = try Appliance.start(options, log: "http-wrong-\(attempt)")
      try watching(machine) {
        try follow(machine, ["Roost cannot start: what was fetched is not the image that was asked for."])
      }
    }
  }

  @Test("To RAM: the disc is read once and not needed any more")
  func memory() throws {
    let direct = try Direct()
    defer { try? Files.removeTree(direct.directory) }
    try EmulatorPanic.startingOver { attempt in
      var options = direct.options("\(direct.commandLine) roost.toram roost.live")
      options.iso = try Environment.image()
      let machine = try Appliance.start(options, log: "to-ram-\(attempt)")
      try watching(machine) { try follow(machine, ["it can be taken out", Self.isWhole, Self.screen]) }
    }
    // With too little of it the machine says so.
    try EmulatorPanic.startingOver { attempt in
      var options = direct.options("\(direct.commandLine) roost.toram")
      options.iso = try Environment.image()
      options.memory = 512
      let machine = try Appliance.start(options, log: "to-ram-small-\(attempt)")
      try watching(machine) {
        try follow(machine, ["Roost cannot start: the machine has too little memory for the medium's copy."])
      }
    }
  }

  @Test("Persistent: guests do not begin in memory where the disk that is their home is not there")
  func persistent() throws {
    let direct = try Direct()
    defer { try? Files.removeTree(direct.directory) }
    try EmulatorPanic.startingOver { attempt in
      var options = direct.options("\(direct.commandLine) roost.persistent")
      options.iso = try Environment.image()
      let machine = try Appliance.start(options, log: "persistent-\(attempt)")
      try watching(machine) {
        try follow(machine, [Self.isWhole, Self.screen])
        try machine.type("x")
        try machine.wait(for: "#", seconds: 60)
        try machine.type("roost storage status\r")
        try machine.wait(for: "is the home of this medium's guests", seconds: 60)
        // The guest without a disk needs none.
        try machine.type("roost events --domain hatchling --until ready; roost list\r")
        try machine.wait(for: "hatchling", seconds: 120)
        try machine.type("echo running: $(roost list | grep -cE '^(debian|bookworm) .* (starting|running|ready) ')\r")
        try machine.wait(for: "running: 0", seconds: 60)
      }
    }
  }

  @Test("The memory test starts from the menu by UEFI and by BIOS")
  func memoryTest() throws {
    let firmware = try #require(
      ["/usr/share/ovmf/OVMF.fd", "/usr/share/qemu/OVMF.fd"].first { Files.exists($0) }, "this machine has no OVMF")
    for firmware in [nil, firmware] {
      var options = Appliance.Options(iso: try Environment.image(), memory: 256)
      options.firmware = firmware
      let machine = try Appliance.start(options, log: "memtest-\(firmware == nil ? "bios" : "uefi")")
      try machine.wait(for: "Memory test", seconds: 180)
      // The last entry of the menu.
      for _ in 0..<8 {
        try machine.type("\u{1B}[B")
        MonotonicClock.sleep(milliseconds: 100)
      }
      try machine.type("\r")
      try machine.wait(for: "Memtest86+", seconds: 120)
      machine.cutPower()
    }
  }
}
