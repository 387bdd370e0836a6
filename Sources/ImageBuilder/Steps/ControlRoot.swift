internal import Binary
internal import Manifest
internal import Platform
internal import Recipe

/// The control domain's root: Debian's packages and Roost's programs, as a squashfs.
struct ControlRoot: Sendable {
  let hostname: String
  /// The step that made the root.
  let root: String
  /// Whether the HTTP interface is served.
  let hasGateway: Bool
  let modules: ControlModules
  let userland: Userland
  let compression: Squashfs
  /// What the recipe adds.
  let changes: SystemChanges

  static let stepName = "control domain: squashfs"
  static let file = "root.squashfs"
  /// The digests of its blocks (`Verity`), and the digest of all of them, as text.
  static let tree = "root.verity"
  static let rootDigest = "root.digest"

  /// The names of packages of which nothing is in it, a line each.
  static let absentPackages = "absent-packages"

  /// Leftovers of packaging that a read-only system has no use for; kernel modules come as `modules` has them.
  private static let omitted = [
    "boot/", "var/lib/apt/", "var/cache/apt/", "var/cache/debconf/", "var/lib/dpkg/info/", "usr/share/zoneinfo/",
    "usr/share/debconf/", "usr/share/perl5/", "usr/share/gcc/", "usr/lib/x86_64-linux-gnu/perl-base/", "usr/bin/perl",
    // Perl's, and that of a module of PAM's which keeps passwords in a file of its own.
    "usr/lib/x86_64-linux-gnu/libdb-5.3.so", "usr/lib/x86_64-linux-gnu/security/pam_userdb.so", "usr/lib/systemd/",
    "\(ControlModules.directory)/",
    "etc/systemd/",
    "usr/lib/udev/hwdb.d/",
    // What firmware starts is beside the root.
    "usr/lib/shim/", "usr/lib/grub/",
    // Keys that the package made while it was installed: they would be everybody's. Each start makes its own.
    "etc/ssh/ssh_host_",
  ]

  /// Character sets that file names and recipes may be in; the C library has Unicode's by itself, and the rest is for text
  /// that nobody converts here.
  private static let characterSets = [
    "gconv-modules", "ISO8859-1.so", "ISO8859-15.so", "IBM437.so", "IBM850.so", "CP1252.so",
  ]
  private static let converters = "usr/lib/x86_64-linux-gnu/gconv/"

  /// Whether a file of the system's stays out.
  static func omits(_ path: String) -> Bool {
    if path.hasPrefix(converters) { return !characterSets.contains { path.hasPrefix(converters + $0) } }
    return omitted.contains { path.hasPrefix($0) }
  }

  /// What bash completes `roost` with, where the package bash-completion looks for it as well.
  private static let completions = "usr/share/bash-completion/completions/roost"

  private var entries: [TreeEntry] {
    var entries: [TreeEntry] = ["dev", "proc", "sys", "run", "tmp", "mnt", "var/log/roost", "etc/roost"].map {
      .directory($0, permissions: $0 == "tmp" ? 0o1777 : 0o755)
    }
    entries += [
      .text("etc/hostname", "\(hostname)\n"),
      .text("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 \(hostname)\n::1 localhost ip6-localhost ip6-loopback\n"),
      .text("etc/fstab", ""),
      .text("etc/machine-id", ""),
      .text("etc/motd", ""),
      // The lease of the control domain's own network decides.
      .text("etc/resolv.conf", ""),
      .text(
        "root/.bashrc",
        """
        # Commands that come by SSH get their own output and nothing else.
        case $- in *i*) ;; *) return ;; esac
        PS1='\\u@\\h:\\w\\$ '
        alias ll='ls -l'
        . /\(Self.completions)
        [ -z "${ROOST_WELCOMED:-}" ] && export ROOST_WELCOMED=1 && echo "'roost list' shows the domains, 'roost help' the rest."

        """),
    ]
    entries += Programs.links.map { .link("usr/sbin/\($0)", to: Programs.appliance) }
    return entries
  }

  func step(epoch: Int, versions: [String: String]) -> Step {
    let entries = entries
    let programs = [Programs.appliance, Programs.monitor] + (hasGateway ? [Programs.gateway] : [])
    return Step(
      name: Self.stepName, kind: "control-root", version: 7,
      settings: [
        "\(epoch)", versions["squashfs-tools"] ?? "", versions["cryptsetup-bin"] ?? "", versions["kmod"] ?? "",
        hostname,
      ] + compression.options + modules.settings + userland.settings + Self.omitted + Self.characterSets
        + entries.map { "\($0.path) \($0.permissions) \($0.content)" } + changes.settings
        + (hasGateway ? ["user \(GatewayAccount.name) \(GatewayAccount.id)"] : []),
      inputs: [.init(step: root, file: DebianRoot.archive)]
        + (userland.kind == .busybox ? [.init(step: root, file: DebianRoot.busybox)] : [])
        + (["roost"] + programs).map { .init(step: Programs.stepName, file: $0) },
      outputs: [Self.file, Self.tree, Self.rootDigest, Self.absentPackages], memory: BuildMemory.Estimate.compression
    ) { context throws(BuildError) in
      var all = entries
      for name in programs {
        all.append(.file("usr/sbin/\(name)", from: try context.input(Programs.stepName, name), permissions: 0o755))
      }
      let completions = "\(context.scratch)/completions"
      try context.run(
        [
          "sh", "-c", "exec \"$1\" --generate-completion-script bash > \"$2\"", "sh",
          try context.input(Programs.stepName, "roost"), completions,
        ], doing: "cannot make the completions of roost")
      all.append(.file(Self.completions, from: completions))
      let system = try context.input(root, DebianRoot.archive)
      context.progress("modules")
      all += try modules.entries(system, context)
      context.progress("programs and libraries")
      let choice = try userland.choose(
        system, isOmitted: Self.omits,
        programs: programs.map { name throws(BuildError) in try context.input(Programs.stepName, name) },
        applets: try applets(context), cancellation: context.cancellation)
      if let status = choice.status { all.append(status) }
      try attempt("cannot write the list of what is left out") { () throws(SystemError) in
        try Files.write(
          choice.absent.map { "\($0)\n" }.joined(), to: "\(context.output)/\(Self.absentPackages)")
      }
      all += choice.applets.map { .link("usr/bin/\($0)", to: "busybox") }
      let index = try TreeIndex(system, cancellation: context.cancellation, keeping: SystemChanges.keeps)
      var accounts = Accounts(index)
      if userland.kind == .busybox { accounts.useShell("/bin/sh") }
      if hasGateway { accounts.addService(GatewayAccount.name, id: GatewayAccount.id) }
      let own = try changes.entries(
        index, accounts: hasGateway || userland.kind == .busybox ? accounts : nil, spool: "\(context.scratch)/files",
        epoch: context.epoch)
      let replaced = Set(own.map(\.path))
      all =
        all.filter { !replaced.contains($0.path) } + own
        + StartCommands(commands: changes.customization.startCommands).entries
      let tar = "\(context.scratch)/tree.tar"
      context.progress("assembling")
      try Tree.merge(
        system,
        omitting: { Self.omits($0) || choice.omitted.contains($0) }, adding: all, epoch: context.epoch, to: tar,
        cancellation: context.cancellation)
      context.progress("compressing")
      try context.run(
        [
          "sh", "-c",
          "output=$1; tree=$2; shift 2; exec mksquashfs - \"$output\" -tar \"$@\" <\"$tree\"", "sh",
          "\(context.output)/\(Self.file)", tar,
        ] + compression.arguments, doing: "cannot compress the control domain's root")
      context.progress("digests of its blocks")
      try Self.makeTree(context)
    }
  }

  /// What the root's busybox can be.
  private func applets(_ context: borrowing StepContext) throws(BuildError) -> [String] {
    guard userland.kind == .busybox else { return [] }
    let (program, list) = ("\(context.scratch)/busybox", "\(context.scratch)/applets")
    let input = try context.input(root, DebianRoot.busybox)
    try attempt("cannot copy busybox") { () throws(SystemError) in
      try Files.write(try Files.read(input), to: program, permissions: 0o755)
    }
    try context.run(
      ["sh", "-c", "exec \"$1\" --list > \"$2\"", "sh", program, list], doing: "cannot list what busybox can be")
    let text = try attempt("cannot read what busybox can be") { () throws(SystemError) in try Files.readText(list) }
    return text.split(separator: "\n").map(String.init)
  }

  /// Digests as the kernel's dm-verity reads them. Without a salt the same content gives the same tree.
  static func makeTree(_ context: borrowing StepContext) throws(BuildError) {
    let root = "\(context.output)/\(rootDigest)"
    try context.run(
      [
        "veritysetup", "format", "--no-superblock", "--hash=sha256", "--salt=-",
        "--data-block-size=\(Verity.blockBytes)",
        "--hash-block-size=\(Verity.blockBytes)", "--root-hash-file=\(root)", "\(context.output)/\(file)",
        "\(context.output)/\(tree)",
      ], doing: "cannot make the digests of the control domain's root")
    _ = try digest(at: root)
  }

  /// The digest in a result `rootDigest`.
  static func digest(at path: String) throws(BuildError) -> SHA256.Digest {
    let text = try attempt("cannot read a digest") { () throws(SystemError) in try Files.readText(path) }
    guard let digest = SHA256.Digest(hex: text.filter { !$0.isWhitespace }) else {
      throw BuildError(.content, "\(path) has no digest: '\(text.prefix(80))'")
    }
    return digest
  }
}
