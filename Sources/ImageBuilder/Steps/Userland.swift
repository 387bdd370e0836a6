internal import Binary
internal import Platform
internal import Recipe

/// Which of its Debian's programs and libraries the control domain has: those that somebody may call there, and what these
/// are linked with.
struct Userland: Sendable, Hashable {
  let kind: Recipe.ControlDomain.Userland
  /// The recipe's own packages may load libraries that no program is linked with, and its files are not looked into: then all
  /// libraries stay.
  let keepsLibraries: Bool

  init(_ system: Recipe.ControlDomain) {
    kind = system.userland
    keepsLibraries =
      !system.packages.isEmpty
      || system.customization.files.contains { if case .file = $0.content { true } else { false } }
  }

  var settings: [String] {
    ["userland", kind.rawValue, "\(keepsLibraries)"] + packages + programs
      + Self.plugIns.flatMap { [$0.folder, $0.library] }
  }

  /// Packages that are left out but for their copyright files: those that manage packages, of whose files nothing else is
  /// there either; and what busybox does instead.
  var packages: [String] {
    let common = ["debconf", "dpkg", "init-system-helpers"]
    guard kind == .busybox else { return common }
    return common + [
      "bash", "bsdutils", "coreutils", "dash", "debianutils", "diffutils", "findutils", "grep", "gzip", "hostname",
      "less", "libcap2-bin", "login", "mawk", "mount", "ncurses-base", "ncurses-bin", "passwd", "procps", "sed",
      "sysvinit-utils", "tar", "util-linux",
    ] + (keepsLibraries ? [] : ["libpam-modules-bin", "libpam-runtime"])
  }

  /// Files of other packages that nobody calls: the linker's and character sets' tools, hardware and protocols that are none
  /// of an appliance's.
  private var programs: [String] {
    [
      "usr/bin/iconv", "usr/bin/localedef", "usr/bin/rdma", "usr/bin/zdump", "usr/sbin/arpd", "usr/sbin/dcb",
      "usr/sbin/devlink", "usr/sbin/iconvconfig", "usr/sbin/ldconfig", "usr/sbin/tipc", "usr/sbin/update-passwd",
      "usr/sbin/vdpa", "usr/sbin/zic",
    ] + (kind == .gnu ? [] : ["usr/bin/ss"])
  }

  /// Folders of what a library loads by itself.
  private static let plugIns = [
    (folder: "usr/lib/x86_64-linux-gnu/security/", library: "libpam.so.0"),
    (folder: "usr/lib/x86_64-linux-gnu/ossl-modules/", library: "libcrypto.so.3"),
    (folder: "usr/lib/x86_64-linux-gnu/engines-3/", library: "libcrypto.so.3"),
    (folder: "usr/lib/x86_64-linux-gnu/krb5/", library: "libkrb5.so.3"),
  ]

  private static let libraries = "usr/lib/x86_64-linux-gnu/"
  private static let lists = "var/lib/dpkg/info/"
  private static let status = "var/lib/dpkg/status"
  private static let folders = ["usr/bin/", "usr/sbin/"]
  static let busybox = "usr/bin/busybox"

  /// Applets for other packages and another init than are here.
  private static let unwantedApplets: Set<String> = [
    "busybox", "dpkg", "dpkg-deb", "halt", "init", "linuxrc", "poweroff", "reboot", "rpm", "rpm2cpio",
  ]

  /// What a root has of it.
  struct Choice: Sendable {
    /// Paths of the system's that stay out.
    var omitted: Set<String> = []
    /// Names in `usr/bin` that lead to busybox.
    var applets: [String] = []
    /// Packages of which nothing is left but documentation.
    var absent: [String] = []
    /// dpkg's status(5) without them.
    var status: TreeEntry?
  }

  /// Looks through a root's tar file.
  ///
  /// - Parameters:
  ///   - isOmitted: what is left out anyway.
  ///   - programs: files beside those of the tar file, which need libraries as well.
  ///   - applets: what busybox can be.
  func choose(
    _ tar: String, isOmitted: (String) -> Bool, programs: [String], applets: [String], cancellation: Cancellation
  ) throws(BuildError) -> Choice {
    var index = try TreeIndex(tar, cancellation: cancellation) { path in
      path.hasPrefix(Self.lists) && path.hasSuffix(".list") || path == Self.status
    }
    var owned: [String: [String]] = [:]
    for (path, bytes) in index.contents where path != Self.status {
      let package = path.dropFirst(Self.lists.count).dropLast(".list".count).prefix { $0 != ":" }
      owned[String(package), default: []] += Self.files(bytes).filter { path in
        guard let kind = index.entries[path]?.kind, kind != .directory else { return false }
        return !path.hasPrefix("usr/share/doc/")
      }
    }
    var choice = Choice(omitted: Set(self.programs))
    for package in packages { choice.omitted.formUnion(owned[package] ?? []) }
    // What the C library loads as it likes.
    let system = Set(owned["libc6"] ?? []).subtracting([Self.libraries + "libmvec.so.1"])
    let early = choice.omitted
    index.forget { isOmitted($0) || early.contains($0) }
    if !keepsLibraries {
      let unneeded = try unneededLibraries(tar, index, system, programs, cancellation)
      choice.omitted.formUnion(unneeded)
      index.forget { unneeded.contains($0) }
    }
    // Links of what is gone, such as those that alternatives make.
    for (path, entry) in index.entries where Self.folders.contains(where: path.hasPrefix) {
      guard case .symbolicLink = entry.kind, !index.hasFile(path) else { continue }
      choice.omitted.insert(path)
    }
    let left = choice.omitted
    index.forget { left.contains($0) }
    choice.absent = owned.filter { package, files in
      !files.isEmpty && files.allSatisfy { index.entries[$0] == nil }
    }.map(\.key).sorted()
    if !choice.absent.isEmpty, let status = index.contents[Self.status] {
      choice.status = .text(Self.status, ControlFile.text(status, without: Set(choice.absent)))
    }
    if kind == .busybox {
      guard index.hasFile(Self.busybox) else { throw BuildError(.content, "\(tar) has no \(Self.busybox)") }
      choice.applets = Set(applets).subtracting(Self.unwantedApplets).filter { name in
        !Self.folders.contains { index.entries[$0 + name] != nil }
      }.sorted()
    }
    return choice
  }

  /// The paths that a package's list has, where they are since `/bin`, `/sbin` and `/lib` are links to those in `/usr`.
  private static func files(_ list: [UInt8]) -> [String] {
    String(decoding: list, as: UTF8.self).split(separator: "\n").map { line in
      let path = String(line.drop { $0 == "/" })
      return ["bin/", "sbin/", "lib/", "lib64/"].contains(where: path.hasPrefix) ? "usr/\(path)" : path
    }
  }

  /// Libraries that no program is linked with, nor a library that is needed.
  private func unneededLibraries(
    _ tar: String, _ index: TreeIndex, _ system: Set<String>, _ programs: [String], _ cancellation: Cancellation
  ) throws(BuildError) -> Set<String> {
    /// What each file of the tree is linked with.
    var needs: [String: [String]] = [:]
    let reader = try ArchiveReader(tar)
    while let entry = try reader.next() {
      try cancellation.check()
      guard entry.kind == .file, index.entries[entry.path] != nil,
        !entry.path.hasPrefix("\(ControlModules.directory)/"),
        entry.permissions & 0o111 != 0 || entry.path.hasPrefix(Self.libraries)
      else { continue }
      needs[entry.path] = try Self.needed(try reader.readAll(), entry.path)
    }
    func isLibrary(_ path: String) -> Bool {
      path.hasPrefix(Self.libraries) && !path.dropFirst(Self.libraries.count).contains("/") && path.contains(".so")
        && !system.contains(path)
    }
    func plugIn(_ path: String) -> (folder: String, library: String)? {
      Self.plugIns.first { path.hasPrefix($0.folder) }
    }
    var kept: Set<String> = []
    var waiting = needs.filter { !isLibrary($0.key) && plugIn($0.key) == nil }.flatMap(\.value)
    for program in programs {
      let bytes = try attempt("cannot read \(program)") { () throws(SystemError) in try Files.read(program) }
      waiting += try Self.needed(bytes, program)
    }
    while let name = waiting.popLast() {
      let path = Self.libraries + name
      guard kept.insert(path).inserted else { continue }
      waiting += needs[path] ?? []
      if case .symbolicLink(let target)? = index.entries[path]?.kind { waiting.append(target) }
      for plugIn in Self.plugIns where plugIn.library == name {
        waiting += needs.filter { $0.key.hasPrefix(plugIn.folder) }.flatMap(\.value)
      }
    }
    return Set(
      index.entries.lazy.filter { $0.value.kind != .directory }.map(\.key).filter { path in
        if let plugIn = plugIn(path) { return !kept.contains(Self.libraries + plugIn.library) }
        return isLibrary(path) && !kept.contains(path)
      })
  }

  private static func needed(_ bytes: [UInt8], _ path: String) throws(BuildError) -> [String] {
    do throws(TruncatedInput) {
      return try SharedObject.needed(bytes)
    } catch {
      throw BuildError(.content, "\(path) is a damaged ELF file: \(error)")
    }
  }
}
