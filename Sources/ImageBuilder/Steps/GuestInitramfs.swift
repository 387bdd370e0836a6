internal import Manifest

internal import Recipe

/// A Linux guest's initramfs: busybox, the few modules that lead to its disk, and a script that mounts it.
///
/// Debian's own brings a device manager and takes several times as long to do the same; here the builder knows the disk.
struct GuestInitramfs: Sendable {
  /// The domain's name.
  let domain: String
  /// The step that made the guest's root.
  let root: String
  /// The step that made the control domain's root, for its busybox.
  let control: String
  /// What the disk is attached to; nil where it may be anything.
  let bus: DiskBus?
  /// How a root is run that has no device manager, and perhaps no init; nil for Debian's.
  var launch: LaunchInit?

  static let file = "initrd"

  var name: String { "\(domain): initramfs" }

  private var modules: [String] {
    let drivers =
      switch bus {
      case .virtio?: ["virtio_pci", "virtio_blk"]
      case .scsi?: ["virtio_pci", "virtio_scsi", "sd_mod"]
      case .ide?: ["ata_piix", "sd_mod"]
      case nil: ["virtio_pci", "virtio_blk", "virtio_scsi", "ata_piix", "ahci", "sd_mod"]
      }
    return drivers + ["ext4", "crc32c_generic", "libcrc32c"] + (launch == nil ? [] : LaunchInit.modules)
  }

  /// Mounts the root, and hands over to its init.
  private static let script =
    mounting + """
      $bb mount --move /dev /root/dev
      $bb umount /sys
      $bb umount /proc
      exec $bb switch_root /root "$init"

      """

  /// Kernel parameters `root=`, `rootflags=`, `ro`, `rw` and `init=` are honoured, as the kernel's documentation has them.
  private static let mounting = """
    #!/bin/busybox sh
    bb=/bin/busybox
    $bb mount -t devtmpfs dev /dev
    $bb mount -t proc proc /proc
    $bb mount -t sysfs sys /sys
    for module in $($bb cat /modules); do $bb insmod /$module; done
    root=/dev/vda init=/sbin/init mode=rw flags=
    for word in $($bb cat /proc/cmdline); do
      case $word in
        root=*) root=${word#root=} ;;
        rootflags=*) flags=,${word#rootflags=} ;;
        init=*) init=${word#init=} ;;
        ro|rw) mode=$word ;;
      esac
    done
    waited=0
    while
      device=$root
      case $root in UUID=*) device=$($bb findfs "$root" 2>/dev/null) ;; esac
      [ ! -b "$device" ]
    do
      [ $waited -lt 600 ] || { echo "no disk $root after 60 seconds"; exec $bb sh; }
      waited=$((waited + 1))
      $bb usleep 100000
    done
    $bb mount -t ext4 -o "$mode$flags" "$device" /root || { echo "cannot mount $root"; exec $bb sh; }

    """

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "guest-initramfs", version: 1,
      settings: ["\(epoch)", versions["zstd"] ?? "", Self.script] + modules + (launch?.settings ?? []),
      inputs: [
        .init(step: root, file: DebianRoot.archive), .init(step: control, file: DebianRoot.busybox),
      ] + (launch.map { [$0.program] } ?? []),
      outputs: [Self.file], memory: BuildMemory.Estimate.initramfs
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let set = try ModuleSet(
      tar: try context.input(root, DebianRoot.archive), names: modules, cancellation: context.cancellation)
    var entries: [TreeEntry] = ["bin", "dev", "proc", "root", "sys"].map { .directory($0) }
    entries.append(TreeEntry(path: "dev/console", content: .device(major: 5, minor: 1), permissions: 0o600))
    entries.append(.file("bin/busybox", from: try context.input(control, DebianRoot.busybox), permissions: 0o755))
    entries.append(.link("bin/sh", to: "busybox"))
    if let launch {
      let program = try LaunchProgram(file: try context.input(launch.program.step, launch.program.file))
      entries.append(.text("init", Self.mounting + launch.start(program), permissions: 0o755))
      entries += launch.entries(program)
    } else {
      entries.append(.text("init", Self.script, permissions: 0o755))
    }
    entries.append(.text("modules", set.modules.map { "lib/\($0.name).ko\n" }.joined()))
    entries += set.modules.map { .bytes("lib/\($0.name).ko", $0.content) }
    let cpio = "\(context.scratch)/initrd.cpio"
    try Initramfs.write(entries, to: cpio, context)
    try Initramfs.compress(cpio, to: "\(context.output)/\(Self.file)", context)
  }
}
