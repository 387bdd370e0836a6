internal import Recipe

/// What makes a Debian root the system of one domain: its name, its network, its console, and no more services than
/// a small guest needs.
struct GuestSystem: Sendable, CustomStringConvertible {
  let hostname: String
  let nameServer: String?
  /// Where the root is: a device, or `UUID=` and the file system's identifier.
  var root = "/dev/vda"
  /// Whether there is a screen to log in at, beside the serial line.
  var hasScreen = false
  /// Whether it has a network card.
  var hasNetwork = false
  /// Whether memory may come while it runs, and go again.
  var growsMemory = false
  /// What the recipe says of services, and for the first start.
  var customization = Customization()
  /// What GRUB starts in the root; nil where the monitor enters the kernel.
  var loader: GuestLoader?

  /// The kernel's command line.
  var commandLine: String {
    // The last console is the one that init talks to.
    "root=\(root) rw rootfstype=ext4 \(hasScreen ? "console=tty0 " : "")console=ttyS0,115200 quiet TERM=dumb "
      + "net.ifnames=0 fsck.mode=skip audit=0 lsm=yama" + (growsMemory ? Self.growth : "")
  }

  /// Not every release's kernel uses memory that comes by itself; and where the kernel's own data may lie in it, it does not
  /// all go again.
  private static let growth = " memhp_default_state=online memory_hotplug.online_policy=auto-movable"

  /// Units that have nothing to do in a domain that lives on a virtual disk and a serial line.
  private static let masked = [
    "apt-daily.service", "apt-daily.timer", "apt-daily-upgrade.service", "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "man-db.timer",
    "systemd-tmpfiles-clean.timer", "getty-static.service", "autovt@.service",
    "systemd-logind.service", "systemd-pstore.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount",
    "systemd-hwdb-update.service", "systemd-journal-catalog-update.service", "systemd-update-done.service",
    "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-machine-id-commit.service",
    "systemd-firstboot.service", "systemd-sysusers.service", "ldconfig.service", "kmod-static-nodes.service",
    "systemd-ask-password-wall.path", "systemd-ask-password-console.path", "systemd-hibernate-clear.service",
    "systemd-pcrmachine.service", "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service",
    "systemd-tpm2-setup.service", "systemd-tpm2-setup-early.service", "systemd-pcrextend.socket",
    "systemd-pcrlock.socket", "systemd-creds.socket", "systemd-sysext.socket", "systemd-hostnamed.socket",
    "systemd-networkd-wait-online.service", "systemd-network-generator.service",
    "systemd-networkd-persistent-storage.service", "dev-hugepages.mount", "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
    "modprobe@fuse.service", "modprobe@dm_mod.service", "modprobe@loop.service", "systemd-modules-load.service",
    "systemd-udev-load-credentials.service", "systemd-tmpfiles-setup-dev-early.service",
    "systemd-journal-flush.service", "systemd-rfkill.socket", "systemd-boot-random-seed.service",
    "systemd-remount-fs.service", "systemd-random-seed.service",
  ]

  /// Generators whose findings are known beforehand: each would be a process before the first unit starts.
  private static let maskedGenerators = [
    "systemd-bless-boot-generator", "systemd-cryptsetup-generator", "systemd-debug-generator",
    "systemd-getty-generator", "systemd-gpt-auto-generator", "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator", "systemd-rc-local-generator", "systemd-run-generator",
    "systemd-ssh-generator", "systemd-system-update-generator", "systemd-sysv-generator", "systemd-tpm2-generator",
    "systemd-veritysetup-generator",
  ]

  /// Devices that are there before the first process and for which no rule does anything in a domain.
  private static let quietSubsystems = [
    "bdi", "clockevents", "clocksource", "container", "cpu", "event_source", "machinecheck", "memory", "platform",
    "pnp", "tty", "vc", "vtconsole", "workqueue", "misc", "node", "edac", "mem", "msr", "cpuid", "graphics", "thermal",
  ]

  private static let enabled = [
    "multi-user.target.wants/systemd-networkd.service", "sockets.target.wants/systemd-networkd.socket",
  ]

  /// A login on the serial line that waits neither for a device manager to announce it nor for the network.
  private static let console = """
    [Unit]
    Description=Login on the console
    ConditionPathExists=/dev/ttyS0
    IgnoreOnIsolate=yes

    [Service]
    ExecStart=-/sbin/agetty --keep-baud 115200,57600,38400,9600 - $TERM
    Environment=TERM=vt220
    Type=simple
    Restart=always
    UtmpIdentifier=ttyS0
    StandardInput=tty
    StandardOutput=tty
    TTYPath=/dev/ttyS0
    IgnoreSIGPIPE=no
    SendSIGHUP=yes

    """

  private static let network = """
    [Match]
    Type=ether

    [Network]
    DHCP=ipv4
    IPv6AcceptRA=no

    [DHCPv4]
    ClientIdentifier=mac
    SendHostname=yes
    UseHostname=no

    """

  /// What is added to the root.
  var entries: [TreeEntry] {
    let system = "etc/systemd/system"
    // The initramfs moves its mounts there.
    var entries: [TreeEntry] = ["dev", "proc", "run", "sys"].map { .directory($0) }
    entries += [
      .text("etc/hostname", "\(hostname)\n"),
      .text("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 \(hostname)\n::1 localhost ip6-localhost ip6-loopback\n"),
      .text("etc/resolv.conf", nameServer.map { "nameserver \($0)\nsearch roost\n" } ?? ""),
      .text("etc/fstab", "\(root) / ext4 noatime,x-systemd.growfs 0 0\n"),
      .text("etc/machine-id", ""),
      .text("etc/systemd/network/20-domain.network", Self.network),
      .text("etc/systemd/journald.conf.d/volatile.conf", "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n"),
      // The kernel leaves processors that come while it runs to whoever wants them.
      .text(
        "etc/udev/rules.d/60-processors.rules",
        "SUBSYSTEM==\"cpu\", ACTION==\"add\", ATTR{online}==\"0\", ATTR{online}=\"1\"\n"),
      .text("etc/acpi/events/power", "event=button/power.*\naction=/usr/bin/systemctl poweroff\n"),
      .text(
        "\(system)/systemd-udev-trigger.service.d/domain.conf",
        "[Service]\nExecStart=\nExecStart=-udevadm trigger --type=devices --action=add"
          + Self.quietSubsystems.map { " --subsystem-nomatch=\($0)" }.joined() + "\n"),
      .text("\(system)/serial-getty@ttyS0.service", Self.console),
      .link("\(system)/getty.target.wants/serial-getty@ttyS0.service", to: "../serial-getty@ttyS0.service"),
      .link("\(system)/default.target", to: "/usr/lib/systemd/system/multi-user.target"),
    ]
    entries.append(
      hasScreen
        ? .link("\(system)/getty.target.wants/getty@tty1.service", to: "/usr/lib/systemd/system/getty@.service")
        : .link("\(system)/getty@tty1.service", to: "/dev/null"))
    entries += Self.masked.filter { !customization.enabledServices.contains($0) }
      .map { .link("\(system)/\($0)", to: "/dev/null") }
    entries += Self.maskedGenerators.map { .link("etc/systemd/system-generators/\($0)", to: "/dev/null") }
    entries += Self.enabled.map { wants in
      .link("\(system)/\(wants)", to: "/usr/lib/systemd/system/\(wants.split(separator: "/").last ?? "")")
    }
    entries += FirstBoot(commands: customization.firstBoot, hasNetwork: hasNetwork).entries
    if let loader { entries.append(.text(GuestLoader.menuPath, loader.menu(commandLine))) }
    return entries
  }

  /// OpenSSH's server, where it is in the root, makes the keys that it lacks.
  static func hostKeys(_ index: TreeIndex) -> [TreeEntry] {
    guard index.hasFile("usr/sbin/sshd") else { return [] }
    return [
      .text(
        "etc/systemd/system/ssh.service.d/host-keys.conf",
        "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n")
    ]
  }

  /// Lines of a shell script that switch services on and off in the tree at `$1`, by the systemctl of the root file system
  /// in the tar file `$4`: as Debian made it, for of what the recipe has put into the tree nothing may run here.
  var serviceScript: String {
    let masked = Set(Self.masked)
    let lines = [
      ("enable", customization.enabledServices),
      ("disable", customization.disabledServices.filter { !masked.contains($0) }),
    ].filter { !$0.1.isEmpty }.map { verb, names in
      "unshare --mount sh -euc '\(Self.switching)' sh \"$1\" \(verb) -- "
        + names.map { "'\($0)'" }.joined(separator: " ") + "\n"
    }
    guard !lines.isEmpty else { return "" }
    return "mkdir \"$1.base\"\ntar -x --numeric-owner -p -f \"$4\" -C \"$1.base\"\n" + lines.joined()
      + "rm -rf \"$1.base\"\n"
  }

  /// systemctl wants to see /proc. It is mounted where only this shell sees it, so that it is not there afterwards.
  private static let switching =
    "tree=$1; shift; mount --rbind /proc \"$tree.base/proc\"; mount --bind \"$tree\" \"$tree.base/mnt\"; "
    // Init scripts that a unit has beside it are nobody's: what switches them would have to run in the tree.
    + "SYSTEMD_OFFLINE=1 SYSTEMCTL_SKIP_SYSV=1 exec chroot \"$tree.base\" systemctl --root=/mnt --quiet \"$@\""

  /// All of it as text: what decides the result.
  var description: String { Self.describe(entries) }

  /// Entries as text.
  static func describe(_ entries: [TreeEntry]) -> String {
    entries.map { entry in
      switch entry.content {
      case .bytes(let bytes): "\(entry.path) \(entry.permissions) \(String(decoding: bytes, as: UTF8.self))"
      case .link(let target): "\(entry.path) -> \(target)"
      default: entry.path
      }
    }.joined(separator: "\n")
  }
}
