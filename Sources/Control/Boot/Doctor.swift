internal import Platform

/// Looks at what this machine lacks for building and booting images.
public struct Doctor: Sendable {
  /// One line of the diagnosis.
  public struct Finding: Hashable, Sendable {
    /// What a finding means.
    public enum Verdict: String, Hashable, Sendable {
      case ok
      /// Building or booting fails without it.
      case missing
      /// It goes without, but worse, or only for some.
      case note
    }

    /// What was looked at.
    public let subject: String
    /// What for, or what was found.
    public let detail: String
    /// Whether it is there.
    public let verdict: Verdict
    /// The Debian package that has it, if it is missing and one has.
    public let package: String?

    /// As a line of the report.
    public var description: String {
      let mark = verdict.rawValue + String(repeating: " ", count: max(0, 8 - verdict.rawValue.count))
      let hint = package.map { "  [\($0)]" } ?? ""
      return "\(mark) \(subject): \(detail)\(hint)"
    }
  }

  /// All that was looked at, in groups: building, booting.
  public let findings: [Finding]

  /// Debian packages that would bring all that is needed and missing; sorted, each once.
  public var missingPackages: [String] {
    Set(findings.filter { $0.verdict == .missing }.compactMap(\.package)).sorted()
  }

  /// True when everything that is needed is there.
  public var isHealthy: Bool { !findings.contains { $0.verdict == .missing } }

  /// The one command that installs what is missing; nil when no package is.
  public func installCommand(isSuperuser: Bool) -> String? {
    let packages = missingPackages
    return packages.isEmpty
      ? nil : "\(isSuperuser ? "" : "sudo ")apt-get install --no-install-recommends \(packages.joined(separator: " "))"
  }

  /// Examines this machine. `root` is put before every path; tests give a directory of their own. `directory` is
  /// where images are to be written.
  public init(root: String = "", directory: String = ".", isSuperuser: Bool) {
    var examination = Examination(root: root)
    examination.build()
    if !isSuperuser { examination.userNamespaces() }
    examination.disk(directory)
    examination.boot()
    findings = examination.findings
  }
}

/// The looking itself.
private struct Examination {
  /// Free bytes that a build of the quickstart needs at its peak, with its caches.
  static let wantedSpace = 4 << 30

  let root: String
  let programs: ProgramSearch
  var findings: [Doctor.Finding] = []

  init(root: String) {
    self.root = root
    programs = ProgramSearch(root: root)
  }

  mutating func build() {
    need(["mmdebstrap"], for: "makes Debian root file systems", package: "mmdebstrap")
    needFile(
      ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"],
      subject: "Debian's archive keys", for: "verify what is downloaded", package: "debian-archive-keyring")
    need(["mksquashfs", "sqfstar"], for: "compress the medium's file systems", package: "squashfs-tools")
    need(["mke2fs", "debugfs", "dumpe2fs"], for: "make the guests' disks", package: "e2fsprogs")
    need(["tar"], for: "moves root file systems", package: "tar")
    need(["zstd"], for: "compresses", package: "zstd")
    need(["strip"], for: "makes the appliance's programs small", package: "binutils")
    need(["grub-mkimage"], for: "makes the boot loader", package: "grub-common")
    needFile(
      ["/usr/lib/grub/i386-pc/moddep.lst"], subject: "GRUB's modules for BIOS", for: "make the boot loader",
      package: "grub-pc-bin")
    needFile(
      ["/usr/lib/grub/x86_64-efi/moddep.lst"], subject: "GRUB's modules for UEFI", for: "make the boot loader",
      package: "grub-efi-amd64-bin")
    need(["mformat", "mcopy", "mmd"], for: "fill the EFI system partition", package: "mtools")
    linker()
  }

  mutating func boot() {
    let host = BootHost.probe(root: root)
    need(["qemu-system-x86_64"], for: "boots images here", package: "qemu-system-x86")
    let firmware = host.firmware?.code ?? "boots images by UEFI here"
    add("UEFI firmware", firmware, host.firmware == nil ? .missing : .ok, package: "ovmf")
    let accelerator = Accelerator(host)
    var verdict = Doctor.Finding.Verdict.note
    if case .nestedKVM = accelerator { verdict = .ok }
    add("acceleration", accelerator.summary, verdict)
    let wanted = BootOptions(iso: "").memory
    let memory = BootPlan.mebibytes(host.availableMemory)
    add(
      "memory", "\(memory) available; 'roost boot' takes \(BootPlan.mebibytes(wanted)) unless told otherwise",
      host.availableMemory > wanted ? .ok : .note)
  }

  /// What an ordinary user needs so that files of a root file system can belong to their owners (user_namespaces(7)).
  mutating func userNamespaces() {
    need(["newuidmap", "newgidmap"], for: "give a build its user ids", package: "uidmap")
    need(["unshare"], for: "runs steps of a build in a user namespace", package: "util-linux")
    let clone = number("/proc/sys/kernel/unprivileged_userns_clone") ?? 1
    let most = number("/proc/sys/user/max_user_namespaces") ?? 0
    guard clone > 0, most > 0 else {
      let remedy = clone > 0 ? "sysctl user.max_user_namespaces=1000" : "sysctl kernel.unprivileged_userns_clone=1"
      add("user namespaces", "this kernel refuses them: 'sudo \(remedy)', or build as root", .missing)
      return
    }
    add("user namespaces", "allowed", .ok)
    let name = ProcessEnvironment.value("USER") ?? ProcessEnvironment.value("LOGNAME") ?? ""
    let entries = ((try? Files.readText("\(root)/etc/subuid")) ?? "").split(separator: "\n")
    if !name.isEmpty, !entries.contains(where: { $0.hasPrefix("\(name):") }) {
      add(
        "subordinate user ids",
        "\(name) has none: 'sudo usermod --add-subuids 100000-165535 --add-subgids"
          + " 100000-165535 \(name)', or build as root", .missing)
    }
  }

  mutating func disk(_ directory: String) {
    guard let free = try? Files.freeSpace(at: directory) else {
      add("free disk", "cannot be found for \(directory)", .note)
      return
    }
    let enough = free >= Self.wantedSpace
    let wish = enough ? "" : "; a build needs \(BootPlan.mebibytes(Self.wantedSpace)): make room, or work elsewhere"
    add("free disk", "\(free >> 30) GiB here\(wish)", enough ? .ok : .missing)
  }

  /// The linker comes with the Swift toolchain; only who builds the bare-metal guest anew needs it.
  private mutating func linker() {
    let beside = programs.find("swiftc").flatMap { try? Files.resolve($0) }.map { path in
      path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/ld.lld"
    }
    let found = programs.find("ld.lld") ?? beside.flatMap { Files.exists($0) ? $0 : nil }
    add(
      "ld.lld", found ?? "links the bare-metal guest; it comes with the Swift toolchain", found == nil ? .note : .ok,
      package: "lld")
  }

  private mutating func need(_ names: [String], for purpose: String, package: String) {
    let absent = names.filter { programs.find($0) == nil }
    add(
      absent.isEmpty ? names.joined(separator: ", ") : absent.joined(separator: ", "), purpose,
      absent.isEmpty ? .ok : .missing, package: package)
  }

  private mutating func needFile(_ paths: [String], subject: String, for purpose: String, package: String) {
    add(subject, purpose, paths.contains { Files.exists(root + $0) } ? .ok : .missing, package: package)
  }

  private mutating func add(
    _ subject: String, _ detail: String, _ verdict: Doctor.Finding.Verdict, package: String? = nil
  ) {
    findings.append(
      Doctor.Finding(
        subject: subject, detail: detail, verdict: verdict, package: verdict == .ok ? nil : package))
  }

  private func number(_ path: String) -> Int? {
    guard let text = try? Files.readText(root + path) else { return nil }
    return Int(text.split(whereSeparator: \.isWhitespace).first ?? "")
  }
}
