internal import Platform

/// How much memory a build's steps may take together.
enum BuildMemory {
  /// Bytes that there are for it: three quarters of what the machine has available, or of what this process's control
  /// group and those around it let it have.
  static var available: Int {
    let machine = (try? Files.readText("/proc/meminfo")).flatMap(machine(_:)) ?? .max
    let groups = groups((try? Files.readText("/proc/self/cgroup")) ?? "")
    let limits = groups.compactMap { path in
      (try? Files.readText(path)).flatMap { Int($0.filter { !$0.isWhitespace }) }
    }
    return min(machine, limits.min() ?? .max) / 4 * 3
  }

  /// The files that may have the limit of a process's memory, from what /proc/self/cgroup says (cgroups(7)): of its control
  /// group, and of all that this is in.
  static func groups(_ text: String) -> [String] {
    var files: [String] = []
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      guard fields[1].isEmpty || controllers.contains("memory") else { continue }
      let (base, name) =
        fields[1].isEmpty ? ("/sys/fs/cgroup", "memory.max") : ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
      var parts = fields[2].split(separator: "/")
      while true {
        files.append(([base] + parts.map(String.init) + [name]).joined(separator: "/"))
        if parts.popLast() == nil { break }
      }
    }
    return files
  }

  /// `MemAvailable` of proc_meminfo(5), in bytes.
  static func machine(_ text: String) -> Int? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("MemAvailable:") }) else { return nil }
    return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
  }

  /// What steps take with the programs that they run, in bytes; measured with Debian 12's and 13's.
  enum Estimate {
    /// What reads and writes files piece by piece.
    static let plain = 64 << 20
    /// apt's index of the archive, the packages' scripts, and the list of what there is.
    static let packages = 384 << 20
    /// mksquashfs: its caches, and for each processor a compressor and blocks that wait for it.
    static var compression: Int { (Squashfs.cacheMebibytes + 64 + Processors.online * 16) << 20 }
    /// An archive of modules in memory, and zstd's window.
    static let initramfs = 192 << 20
  }
}
