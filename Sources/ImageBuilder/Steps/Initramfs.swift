internal import Platform
internal import Recipe

/// The control domain's initramfs: `roost-init`, busybox for its rescue shell, and the modules that lead to the medium.
struct Initramfs: Sendable {
  /// The step that made the control domain's root.
  let root: String
  /// The stripped programs.
  let programs: String
  /// How it is packed: as the file systems are.
  let compression: Recipe.ImageSettings.Compression

  static let file = "initrd.img"

  /// Modules for every way to the medium, and for a keyboard in the rescue shell.
  private static let modules = [
    "loop", "squashfs", "overlay", "isofs", "udf", "vfat", "nls_iso8859_1", "nls_cp437", "nls_utf8", "nls_ascii",
    "sr_mod", "cdrom", "sd_mod", "sg", "ahci", "ata_piix", "ata_generic", "pata_acpi", "libata", "nvme",
    "usb_storage", "uas", "xhci_pci", "xhci_hcd", "ehci_pci", "ehci_hcd", "uhci_hcd", "ohci_pci", "ohci_hcd",
    "usbhid", "hid", "hid_generic", "hid_apple", "hid_logitech_dj", "i8042", "atkbd", "virtio_pci", "virtio_blk",
    "virtio_scsi", "virtio_mmio", "virtio_console", "virtio_rng", "mmc_block", "sdhci_pci", "sdhci_acpi", "rtsx_pci",
    "rtsx_pci_sdmmc", "megaraid_sas", "mpt3sas", "vmw_pvscsi", "hv_storvsc", "hv_vmbus", "xen_blkfront",
    "crc32c_generic", "crc32c_intel", "libcrc32c", "dm_mod", "dm_multipath", "dm_round_robin", "dm_verity",
    // What sticks with many images are formatted with.
    "exfat", "ntfs3", "ext4",
    // Network cards that images are fetched over.
    "virtio_net", "e1000", "e1000e", "igb", "igc", "ixgbe", "i40e", "r8169", "realtek", "tg3", "bnx2", "atlantic",
    "alx", "atl1c", "sky2", "forcedeth", "8139cp", "8139too", "pcnet32", "r8152", "ax88179_178a", "cdc_ether",
    "vmxnet3", "hv_netvsc", "xen_netfront",
  ]

  /// What busybox's DHCP client runs with what the server said.
  private static let networkScript = """
    #!/bin/sh
    case $1 in
    bound | renew)
      ip address flush dev "$interface"
      ip address add "$ip/${mask:-24}" dev "$interface"
      for gateway in $router; do ip route add default via "$gateway" dev "$interface" && break; done
      : >/etc/resolv.conf
      for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
      ;;
    esac

    """

  /// Names by which the rescue shell and `roost-init` call busybox.
  private static let applets = [
    "sh", "ash", "ls", "cat", "cp", "mv", "rm", "mkdir", "ln", "mount", "umount", "dmesg", "less", "vi", "grep", "sed",
    "awk", "find", "ps", "kill", "top", "free", "df", "du", "blkid", "lsmod", "insmod", "modprobe", "rmmod", "lsusb",
    "lspci", "losetup", "hexdump", "sha256sum", "dd", "echo", "sleep", "sync", "reboot", "poweroff", "halt", "clear",
    "reset", "stty", "head", "tail", "wc", "uname", "hostname", "ip", "chroot", "switch_root", "setsid", "cttyhack",
    "env", "id", "date", "test", "true", "false", "tee", "sort", "xargs", "cut", "tr", "readlink", "stat", "depmod",
    "wget", "udhcpc", "ping",
  ]

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: "initramfs", kind: "initramfs", version: 1,
      settings: ["\(epoch)", versions[compression == .xz ? "xz-utils" : "zstd"] ?? ""]
        + (compression == .xz ? ["xz"] : []) + Self.modules + Self.applets + [Self.networkScript],
      inputs: [
        .init(step: root, file: DebianRoot.archive), .init(step: root, file: DebianRoot.busybox),
        .init(step: programs, file: "roost-init"),
      ],
      outputs: [Self.file], memory: BuildMemory.Estimate.initramfs
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    context.progress("modules")
    let set = try ModuleSet(
      tar: try context.input(root, DebianRoot.archive), names: Self.modules, cancellation: context.cancellation)
    var entries: [TreeEntry] = ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "mnt", "sbin", "lib", "usr"].map {
      .directory($0)
    }
    // The kernel opens the console before anything is mounted.
    entries.append(
      TreeEntry(path: "dev/console", content: .device(major: 5, minor: 1), permissions: 0o600))
    entries.append(.file("init", from: try context.input(programs, "roost-init"), permissions: 0o755))
    entries.append(.file("bin/busybox", from: try context.input(root, DebianRoot.busybox), permissions: 0o755))
    entries += Self.applets.map { .link("bin/\($0)", to: "busybox") }
    entries += ["modprobe", "insmod", "rmmod", "depmod"].map { .link("sbin/\($0)", to: "../bin/busybox") }
    entries.append(.text("etc/passwd", "root:x:0:0:root:/:/bin/sh\n"))
    entries.append(.text("etc/udhcpc.script", Self.networkScript, permissions: 0o755))
    entries += Self.moduleTree(set)
    let cpio = "\(context.scratch)/initramfs.cpio"
    try Self.write(entries, to: cpio, context)
    context.progress("compressing")
    try Self.compress(cpio, to: "\(context.output)/\(Self.file)", by: compression, context)
  }

  /// `lib/modules/<version>` with modprobe's lists.
  private static func moduleTree(_ set: ModuleSet) -> [TreeEntry] {
    let base = "lib/modules/\(set.version)"
    var entries: [TreeEntry] = [
      .text("\(base)/modules.dep", set.dependencies), .text("\(base)/modules.alias", set.aliases),
      .text("\(base)/modules.softdep", set.softDependencies), .text("\(base)/modules.symbols", ""),
    ]
    entries += set.unchanged.sorted { $0.key < $1.key }.map { .bytes("\(base)/\($0.key)", $0.value) }
    entries += set.modules.sorted { $0.path < $1.path }.map { .bytes("\(base)/\($0.path)", $0.content) }
    return entries
  }

  /// Writes a cpio with the directories that its members need, sorted so that each comes before what is in it.
  static func write(_ entries: [TreeEntry], to path: String, _ context: borrowing StepContext) throws(BuildError) {
    let writer = try ArchiveWriter(path, .newc, epoch: context.epoch)
    var directories: Set<String> = []
    for entry in entries {
      try context.cancellation.check()
      var above = ""
      for part in entry.path.split(separator: "/").dropLast() {
        above += (above.isEmpty ? "" : "/") + part
        if directories.insert(above).inserted { try writer.add(.directory(above)) }
      }
      if case .directory = entry.content, !directories.insert(entry.path).inserted { continue }
      try writer.add(entry)
    }
    try writer.finish()
  }

  /// Compresses as the kernel's decompressors take it: zstd with a window of at most 128 MiB, or xz with CRC-32.
  static func compress(
    _ path: String, to output: String, by compression: Recipe.ImageSettings.Compression = .zstd,
    _ context: borrowing StepContext
  ) throws(BuildError) {
    let words =
      switch compression {
      case .zstd: ["zstd", "-q", "-12", "-T1", "--no-progress", "-f", path, "-o", output]
      case .xz:
        [
          "sh", "-c", "exec xz -T1 --check=crc32 --x86 --lzma2=preset=6 -c \"$1\" >\"$2\"", "sh", path, output,
        ]
      }
    try context.run(words, doing: "cannot compress the initramfs")
  }
}
