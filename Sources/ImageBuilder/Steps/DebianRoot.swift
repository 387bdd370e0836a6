internal import Platform

/// A Debian root file system as a tar file, made by mmdebstrap out of the release's own packages.
///
/// The kernel's package is unpacked, not installed: its image leaves the tree for the medium, its modules stay, and
/// no initramfs generator comes along. So are programs whose packages want more than they need (`unpacked`).
struct DebianRoot: Sendable {
  /// What the system is for.
  enum Role: String, Sendable, Hashable {
    /// Owns the hardware: all drivers a real machine needs, no systemd and no udev.
    case control
    /// Runs in a domain: the cloud kernel, systemd, apt.
    case guest
  }

  let role: Role
  /// Debian release, such as `trixie`.
  let suite: String
  /// Packages beside those that the role needs.
  let packages: [String]
  /// URL of the packages' archive; nil leaves the choice to mmdebstrap.
  let mirror: String?
  /// The domain that errors name.
  let owner: String
  /// What UEFI starts of the release's own.
  var bootPrograms: [SignedProgram] = []
  /// The versions to take; nil for the newest.
  var locked: RecipeLock.Root?

  static let archive = "root.tar"
  static let kernel = "vmlinuz"
  static let busybox = "busybox"
  /// The memory test for BIOS and for UEFI.
  static let memoryTests = ["memtest.bin", "memtest.efi"]

  /// What the control domain runs of Debian's, and what Roost's own programs link.
  private static let controlPackages = [
    "bash", "busybox-static", "dmsetup", "dnsmasq-base", "iproute2", "iputils-ping", "kmod", "less", "libarchive13",
    "libblkid1", "libgcc-s1", "libisns0", "libisofs6", "liblvm2cmd2.03", "libmount1", "libopeniscsiusr", "libstdc++6",
    "libsystemd0", "liburing2", "mount", "nftables", "procps", "thin-provisioning-tools", "util-linux",
  ]

  /// Programs that come without the rest of their packages: open-iscsi's wants udev, drbd-utils has its programs for three
  /// versions of DRBD and for cluster managers, and of memtest86+ the medium has two files.
  private static let unpacked: [(package: String, files: [String])] = [
    ("drbd-utils", ["./*sbin/drbdmeta", "./*lib/drbd/drbdsetup-84"]),
    ("memtest86+", ["./boot/memtest86+x64.bin", "./boot/memtest86+x64.efi"]),
    ("open-iscsi", ["./*sbin/iscsid", "./*sbin/iscsiadm", "./etc/iscsi/iscsid.conf"]),
  ]

  /// What a guest needs to boot, be logged into, reach its neighbours, and power off when asked to.
  private static let guestPackages = [
    "acpid", "iproute2", "iputils-ping", "kmod", "login", "mount", "passwd", "systemd-sysv", "udev",
  ]

  /// Documentation and translations: nobody reads them in an appliance. Copyright files stay.
  private static let excludedPaths = [
    "/usr/share/doc/*/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
    "/usr/share/bug/*",
  ]
  private static let keptPaths = ["/usr/share/doc/*/copyright"]

  /// Tells dpkg in the root of these. mmdebstrap would filter each of the essential packages as well, by a program that
  /// takes longer than their installation; of those the finishing script removes it.
  private static let exclusion =
    "mkdir -p \"$1/etc/dpkg/dpkg.cfg.d\"; printf '%s\\n' "
    + (excludedPaths.map { "'path-exclude=\($0)'" } + keptPaths.map { "'path-include=\($0)'" }).joined(separator: " ")
    + " >\"$1/etc/dpkg/dpkg.cfg.d/99roost\""

  /// Modules that a machine without a desktop never loads.
  private static let excludedModules = [
    "sound", "drivers/media", "drivers/gpu", "drivers/staging", "drivers/net/wireless", "drivers/iio",
    "drivers/infiniband", "drivers/comedi", "drivers/video", "drivers/bluetooth", "drivers/isdn", "drivers/accel",
    "drivers/hwmon", "drivers/leds", "drivers/net/can", "drivers/net/hamradio", "drivers/mtd", "drivers/parport",
    "drivers/pcmcia", "drivers/power", "drivers/w1", "drivers/rapidio", "drivers/target", "drivers/soundwire",
    "drivers/nfc", "drivers/gnss", "drivers/firewire", "net/bluetooth", "net/wireless", "net/mac80211", "net/nfc",
    "net/can", "net/ax25", "net/sctp", "net/dccp", "net/appletalk", "net/batman-adv", "net/tipc", "net/rxrpc",
    "fs/ocfs2", "fs/gfs2", "fs/ceph", "fs/coda", "fs/afs", "fs/orangefs", "fs/bcachefs", "fs/nilfs2", "fs/jfs",
    "fs/reiserfs", "fs/ubifs", "fs/jffs2",
  ]

  private var kernelPackage: String {
    role == .control ? "linux-image-amd64" : "linux-image-cloud-amd64"
  }

  private var allPackages: [String] {
    Set((role == .control ? Self.controlPackages : Self.guestPackages) + packages).sorted()
  }

  /// Packages that are only unpacked, the kernel's first.
  private var unpackedPackages: [String] {
    [kernelPackage] + (role == .control ? Self.unpacked.map(\.package) : []) + bootPrograms.map(\.package)
  }

  /// What the lock's packages are for.
  var want: RecipeLock.Want {
    .init(role: role.rawValue, suite: suite, packages: Set(allPackages + unpackedPackages).sorted())
  }

  /// Who finds out today's versions for a lock.
  var resolver: PackageResolver {
    PackageResolver(
      want: want, installed: allPackages, archive: .init(suite: suite, mirror: mirror, owner: owner))
  }

  /// The step's name: equal systems of two domains are one step.
  var name: String {
    let extra = packages.isEmpty ? "" : " with \(packages.joined(separator: ", "))"
    return role == .control ? "control domain: Debian \(suite)\(extra)" : "guests: Debian \(suite)\(extra)"
  }

  var outputs: [String] {
    [Self.archive, Self.kernel, PackageInventory.file] + (role == .control ? [Self.busybox] + Self.memoryTests : [])
      + bootPrograms.map(\.rawValue)
  }

  func step(epoch: Int, versions: [String: String], isForced: Bool) -> Step {
    Step(
      name: name, kind: "debian-root", version: 4,
      settings: [role.rawValue, suite, "\(epoch)", versions["mmdebstrap"] ?? "", Self.exclusion, hook]
        + (locked.map { $0.archives + $0.packages.map(\.line) } ?? [mirror ?? "default"]) + allPackages,
      inputs: [], outputs: outputs, memory: BuildMemory.Estimate.packages, isForced: isForced
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let downloaded = "\(context.scratch)/packages"
    let kept = "\(context.cache)/packages/\(suite)"
    let hookPath = "\(context.scratch)/finish"
    let hook = hook
    try attempt("cannot prepare the packages' cache") { () throws(SystemError) in
      for directory in [downloaded, kept] { try Files.makeDirectories(directory) }
      try Files.write(hook, to: hookPath, permissions: 0o755)
    }
    let packageHooks = try packageHooks(kept: kept, context)
    let tar = "\(context.output)/\(Self.archive)"
    var arguments = [
      "mmdebstrap", "--mode=\(ProcessEnvironment.isSuperuser ? "root" : "unshare")", "--format=tar",
      "--variant=\(role == .control ? "essential" : "apt")", "--components=main",
      "--include=\(allPackages.joined(separator: ","))", "--aptopt=APT::Install-Recommends \"false\"",
      "--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io",
      "--skip=download/empty,essential/unlink,output/dev,output/mknod",
      // apt drops to the user _apt only where that may read the new root, and the owners of two directories would tell.
      "--setup-hook=echo 'APT::Sandbox::User \"root\";' >>\"$MMDEBSTRAP_APT_CONFIG\"",
    ]
    arguments += ([Self.exclusion] + packageHooks).map { "--setup-hook=\($0)" }
    arguments += [
      "--extract-hook=\(hookPath) start \"$1\"", "--customize-hook=\(hookPath) finish \"$1\"",
      "--customize-hook=sync-out /var/cache/apt/archives \(downloaded)",
    ]
    arguments += [suite, tar]
    if let mirror, locked == nil { arguments.append(mirror) }

    context.progress("packages' index")
    let command = Command(arguments, environment: context.environment, epoch: context.epoch)
    let report = context.report
    let outcome = try command.run(cancellation: context.cancellation, log: context.log) { line in
      if let text = Self.progress(of: line) { report(text) }
    }
    guard outcome.status.isSuccess else {
      throw DebianFailure(text: outcome.text, owner: owner, suite: suite, mirror: mirror, log: context.log).error
    }
    context.progress("list of packages")
    let inventory = try PackageInventory(
      suite: suite, tree: tar, downloads: downloaded, cancellation: context.cancellation
    ).encoded()
    let list = "\(context.output)/\(PackageInventory.file)"
    try attempt("cannot write the list of packages") { () throws(SystemError) in try Files.write(inventory, to: list) }
    // Each becomes visible whole: another build may be reading the directory.
    try attempt("cannot keep the downloaded packages") { () throws(SystemError) in
      for file in try Files.list(downloaded) where file.hasSuffix(".deb") {
        let target = "\(kept)/\(file)"
        if !Files.exists(target) { try Files.rename("\(downloaded)/\(file)", to: target) }
        // They were used now.
        try? Files.touch(target)
      }
    }
    context.progress("kernel")
    try takeOut(tar, context)
  }

  /// Hooks that give apt the packages that are there already: all that the cache has, or those of the lock and no others.
  private func packageHooks(kept: String, _ context: borrowing StepContext) throws(BuildError) -> [String] {
    guard let locked else {
      // What the archive has today cannot be known.
      try context.refuseOffline("\(owner): a Debian \(suite) that no lock says the versions of is")
      return ["mkdir -p \"$1/var/cache/apt/archives\"", "sync-in \(kept) /var/cache/apt/archives"]
    }
    let packages = LockedPackages(
      root: locked, archive: .init(suite: suite, mirror: mirror, owner: owner), kept: kept)
    let (directory, index) = ("\(context.scratch)/locked", "\(context.scratch)/index")
    let place = context.archivePlace
    context.progress("checking the lock's packages")
    try packages.gather(into: directory, in: place, progress: context.report)
    try packages.writeIndex(of: directory, into: index, in: place)
    return packages.setupHooks(directory: directory, index: index)
  }

  /// The lines of a script that find the newest file of a package among those of apt, and name it `$newest`.
  private func fetching(_ package: String) -> [String] {
    if let found = locked?.packages.first(where: { $0.name == package }) { return ["newest=\(found.archiveName)"] }
    return ["apt-get -q download \(package) >&2", "for file in \(package)_*.deb; do newest=$file; done"]
  }

  /// The same of the kernel's package, whose name is `$image`.
  private var fetchingKernel: [String] {
    if let found = locked?.packages.first(where: { $0.name.hasPrefix("linux-image-") && $0.name != kernelPackage }) {
      return ["image=\(found.name)", "newest=\(found.archiveName)"]
    }
    return [
      "image=$(apt-cache depends --important \(kernelPackage) \\",
      "  | sed -n 's/^ *Depends: \\(linux-image-[0-9].*\\)$/\\1/p' | head -n 1)",
      "[ -n \"$image\" ] || { echo \"E: Unable to locate package \(kernelPackage)\" >&2; exit 1; }",
      "apt-get -q download \"$image\" >&2", "for package in \"$image\"_*.deb; do newest=$package; done",
    ]
  }

  /// Brings the kernel, the memory test, the static busybox and UEFI's programs out of the tree.
  private func takeOut(_ tar: String, _ context: borrowing StepContext) throws(BuildError) {
    let programs = Dictionary(uniqueKeysWithValues: bootPrograms.map { ($0.path, $0.rawValue) })
    let found = try Tree.extract(tar, cancellation: context.cancellation) { path in
      path.hasPrefix("boot/vmlinuz-") || path.hasPrefix("boot/memtest86+") || path == "usr/bin/busybox"
        || path == "bin/busybox" || programs[path] != nil
    }
    for (path, bytes) in found {
      let name =
        if let program = programs[path] {
          program
        } else if path.hasPrefix("boot/memtest86+") {
          Self.memoryTests[path.hasSuffix(".efi") ? 1 : 0]
        } else {
          path.hasPrefix("boot/") ? Self.kernel : Self.busybox
        }
      if name == Self.kernel { try KernelFile.checkLinux(bytes, path: "\(kernelPackage) of \(suite)") }
      let target = "\(context.output)/\(name)"
      try attempt("cannot write \(name)") { () throws(SystemError) in try Files.write(bytes, to: target) }
    }
  }

  private static func progress(of line: String) -> String? {
    let phases = [
      "running apt-get update": "packages' index", "downloading packages": "downloading",
      "extracting archives": "extracting", "installing essential": "installing essential packages",
      "installing remaining": "installing packages", "running --customize-hook": "kernel and modules",
      "cleaning package lists": "cleaning", "creating tarball": "packing",
    ]
    return phases.first { line.contains($0.key) }?.value
  }
}

extension DebianRoot {
  /// Copyright files in a package's archive.
  private static let copyrights = "./usr/share/doc/*/copyright"

  /// Runs twice: when the essential packages are unpacked it begins to unpack the kernel's, which is the largest, beside what
  /// apt installs; when all packages are in place it waits for that, and clears what would differ between two builds.
  private var hook: String {
    var lines = [
      "#!/bin/sh", "set -eu", "phase=$1", "root=$2", "export APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\"",
      "archives=\"$root/var/cache/apt/archives\"", "job=\"$root/run/roost-kernel\"",
      "if [ \"$phase\" = start ]; then",
      "  mkdir -p \"$job\"",
      "  (",
      "    status=0",
      "    \"$0\" kernel \"$root\" || status=$?",
      "    echo \"$status\" >\"$job/ending\"",
      "    mv \"$job/ending\" \"$job/status\"",
      "  ) >\"$job/log\" 2>&1 </dev/null &",
      "  echo $! >\"$job/pid\"",
      "  exit 0",
      "fi",
      "if [ \"$phase\" = kernel ]; then",
      "  cd \"$job\"",
      "  for package in \"$archives\"/linux-image-*.deb; do [ ! -e \"$package\" ] || ln \"$package\" .; done",
    ]
    lines +=
      (fetchingKernel + [
        "dpkg-deb --fsys-tarfile \"$newest\" \\",
        "  | tar -x -C \"$root\" --wildcards './boot/vmlinuz-*' './*lib/modules' '\(Self.copyrights)'",
        "mkdir -p \"$root/\(PackageInventory.unpackedDirectory)\"",
        "dpkg-deb -f \"$newest\" >\"$root/\(PackageInventory.unpackedDirectory)/$image\"",
      ]).map { "  \($0)" }
    lines += [
      "  exit 0",
      "fi",
      "while [ ! -e \"$job/status\" ] && kill -0 \"$(cat \"$job/pid\")\" 2>/dev/null; do sleep 0.1; done",
      "if [ \"$(cat \"$job/status\" 2>/dev/null)\" != 0 ]; then cat \"$job/log\" >&2; exit 1; fi",
      "for package in \"$job\"/*.deb; do",
      "  [ -e \"$archives/${package##*/}\" ] || mv \"$package\" \"$archives\"",
      "done",
      "rm -rf \"$job\"",
      "cd \"$archives\"",
    ]
    if role == .control {
      let programs = bootPrograms.map { (package: $0.package, files: ["./\($0.path)"]) }
      for (package, files) in Self.unpacked + programs {
        lines += fetching(package)
        lines += [
          "dpkg-deb --fsys-tarfile \"$newest\" \\",
          "  | tar -x -C \"$root\" --wildcards \((files + [Self.copyrights]).map { "'\($0)'" }.joined(separator: " "))",
          "dpkg-deb -f \"$newest\" >\"$root/\(PackageInventory.unpackedDirectory)/\(package)\"",
        ]
      }
    }
    lines += [
      "cd /",
      "for modules in \"$root\"/usr/lib/modules/*; do",
    ]
    if role == .control {
      for directory in Self.excludedModules { lines.append("  rm -rf \"$modules/kernel/\(directory)\"") }
    }
    lines += [
      "  chroot \"$root\" depmod \"${modules##*/}\"", "done", "rm -f \"$root\"/etc/resolv.conf \"$root\"/etc/hostname",
      "rm -f \"$root\"/etc/*- \"$root\"/var/lib/dpkg/*-old \"$root\"/var/cache/debconf/*-old",
      "rm -f \"$root\"/var/cache/ldconfig/aux-cache \"$root\"/var/lib/systemd/random-seed",
      "rm -rf \"$root\"/usr/share/man \"$root\"/usr/share/info",
      // Alternatives that lead to manual pages.
      "find \"$root/etc/alternatives\" -lname '/usr/share/man/*' -delete",
      "rm -f \"$root\"/var/lib/dpkg/alternatives/*.[0-9].gz",
      "for directory in locale lintian bug; do rm -rf \"$root/usr/share/$directory\"/*; done",
      "find \"$root/usr/share/doc\" -mindepth 2 ! -type d ! -name copyright -delete",
      "find \"$root/usr/share/doc\" -mindepth 1 -type d -empty -delete",
      "find \"$root/var/log\" -type f -delete",
      // What was synchronised into it has the user's owner, where that is not the superuser.
      "chown 0:0 \"$root/var/cache/apt/archives\"; chmod 755 \"$root/var/cache/apt/archives\"",
    ]
    if let locked { lines += LockedPackages.finishing(locked) }
    if role == .guest {
      // Nobody but the owner of the machine reaches a domain's console: root needs no password there.
      lines.append("sed -i 's/^root:[^:]*:/root::/' \"$root/etc/shadow\"")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
