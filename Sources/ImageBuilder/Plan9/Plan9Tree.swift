internal import Binary

/// A file or folder of a Plan 9 root.
struct Plan9Entry: Sendable, Hashable {
  /// Without a leading slash.
  let path: String
  /// Its bytes; nil for a folder.
  let content: [UInt8]?
  /// The nine permission bits.
  let permissions: UInt32

  /// User and group: the only ones that such a root needs.
  var owner: String { path == "usr/glenda" || path.hasPrefix("usr/glenda/") ? "glenda" : "sys" }
}

/// What goes into a small Plan 9 system out of the whole distribution's tree: what the boot scripts run, and a person
/// at the prompt.
struct Plan9Tree: Sendable {
  /// `386` or `amd64`.
  let processor: String

  /// Programs without which there is no prompt.
  private static let vital = ["bind", "cat", "ls", "mntgen", "ndb/cs", "ip/ipconfig", "ps", "rc", "rm", "test"]

  private static let programs =
    vital
      + """
      date echo ns awk cal chgrp chmod cleanname cmp con cp cpu dd dc diff du ed exportfs file freq grep gunzip gzip hget \
      hoc import iostats join kill lock md5sum mkdir mount mtime mv netstat news nm p pwd ramfs read seconds sed seq \
      sha1sum size sleep sort split srv srvfs ratrace strings sum swap syscall tail tar tee telnet time touch tr uniq \
      unmount wc xd primes factor basename ip/ping ip/traceroute ip/hogports ip/rexexec ip/telnetd ndb/dns ndb/dnsquery \
      ndb/csquery ndb/query ndb/ipquery aux/listen1 aux/listen aux/timesync aux/usage aux/getflags aux/reboot aux/write \
      aux/isvmware aux/lines aux/data2s auth/factotum auth/none auth/newns disk/prep disk/fdisk disk/mbr disk/format \
      disk/mkfs disk/mkext disk/partfs dossrv 9660srv fossil/flfmt fossil/flchk fossil/conf fossil/fossil fossil/last
      """.split(separator: " ").map(String.init)

  private static let shared = [
    "lib/namespace", "lib/ndb/common", "lib/ndb/local", "lib/units", "lib/constitution", "adm/timezone/GMT",
    "adm/timezone/local", "NOTICE", "LICENSE",
  ]

  private static let sharedFolders = ["rc/bin", "rc/lib", "cfg", "usr/glenda/bin/rc"]

  /// Places where others are mounted, and such that programs expect.
  private static let folders = [
    "386", "amd64", "adm", "bin", "boot", "cfg", "dev", "env", "fd", "lib", "mail", "mail/box", "mail/tmp", "mnt",
    "mnt/acme", "mnt/apm", "mnt/cd", "mnt/cons", "mnt/exportfs", "mnt/factotum", "mnt/plumb", "mnt/temp", "mnt/term",
    "mnt/web", "mnt/wsys", "n", "net", "net.alt", "proc", "rc", "root", "srv", "sys", "sys/log", "sys/lib", "tmp",
    "usr", "usr/glenda", "usr/glenda/tmp", "usr/glenda/lib", "usr/glenda/bin",
  ]

  /// The distribution's own would look for a display first.
  private static let profile = """
    prompt=('term% ' '\t')
    fn term%{ $* }
    exec rc -i

    """

  /// What is taken out of the repository beside `kernel`.
  func selection(kernel: String) -> TreeSelection {
    let own = { (names: [String]) in names.map { "\(processor)/bin/\($0)" } }
    return TreeSelection(
      title: "Plan 9 for \(processor), \(kernel)",
      required: [kernel, "\(processor)/init", "rc/lib/rcmain", "rc/bin/termrc", "lib/namespace"] + own(Self.vital),
      optional: own(Self.programs) + Self.shared, folders: Self.sharedFolders)
  }

  /// The root out of files of the repository, by their paths: every folder before what it holds.
  func entries(_ repository: [String: [UInt8]], adding more: [Plan9Entry] = []) -> [Plan9Entry] {
    var files: [String: Plan9Entry] = [:]
    func add(_ path: String, _ content: [UInt8], _ permissions: UInt32) {
      files[path] = Plan9Entry(path: path, content: content, permissions: permissions)
    }
    for (path, content) in repository {
      if path.hasPrefix("\(processor)/") {
        guard path == "\(processor)/init" || path.hasPrefix("\(processor)/bin/") else { continue }
        add(path, Self.strip(content), 0o775)
      } else {
        let isScript = path.hasPrefix("rc/bin/") || path.hasPrefix("usr/glenda/bin/")
        add(path, content, isScript ? 0o775 : 0o664)
      }
    }
    // init reads the local time zone; Greenwich's is there.
    if files["adm/timezone/local"] == nil, let zone = repository["adm/timezone/GMT"] {
      add("adm/timezone/local", zone, 0o664)
    }
    add("usr/glenda/lib/profile", Array(Self.profile.utf8), 0o664)
    for entry in more { files[entry.path] = entry }
    var folders = Set(Self.folders + ["usr/glenda/bin/\(processor)"])
    for path in files.keys {
      var above = ""
      for part in path.split(separator: "/").dropLast() {
        above += (above.isEmpty ? "" : "/") + part
        folders.insert(above)
      }
    }
    let byBytes = { (left: String, right: String) in left.utf8.lexicographicallyPrecedes(right.utf8) }
    return folders.sorted(by: byBytes).map { path in
      Plan9Entry(path: path, content: nil, permissions: path.hasSuffix("tmp") ? 0o777 : 0o775)
    } + files.sorted { byBytes($0.key, $1.key) }.map(\.value)
  }

  /// A program without the tables that only a debugger reads: header, text and data of a.out(6).
  static func strip(_ program: [UInt8]) -> [UInt8] {
    let reader = ByteReader(program)
    guard let magic = try? reader.big(UInt32.self, at: 0), magic == 0x1EB || magic == 0x8A97,
      let text = try? reader.big(UInt32.self, at: 4), let data = try? reader.big(UInt32.self, at: 8)
    else { return program }
    // 64-bit programs repeat the entry as a 64-bit number after the header.
    let length = (magic == 0x8A97 ? 40 : 32) + Int(text) + Int(data)
    guard length <= program.count else { return program }
    var stripped = Array(program.prefix(length))
    for field in [16, 24, 28] { stripped.replaceSubrange(field..<field + 4, with: [0, 0, 0, 0]) }
    return stripped
  }
}
