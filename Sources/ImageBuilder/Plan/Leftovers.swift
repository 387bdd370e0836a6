internal import Platform

/// What a build leaves that was killed: its scratch, mounts and programs, and half an image. The next build clears it.
enum Leftovers {
  /// The variable by which programs of a build are known, with the folder of its scratch.
  static let variable = "ROOST_SCRATCH"

  /// The name of this process's scratch: its number, and when it started, as numbers come again.
  static var ownName: String {
    let pid = ProcessEnvironment.processID
    return start(of: "\(pid)").map { "\(pid)-\($0)" } ?? "\(pid)"
  }

  /// Whether the build still runs whose scratch has that name.
  static func isRunning(_ name: String) -> Bool {
    let parts = name.split(separator: "-").map(String.init)
    guard let pid = parts.first, let started = start(of: pid) else { return false }
    return parts.count < 2 || parts[1] == started
  }

  /// When a process started, in the kernel's ticks since it did itself (field 22 of proc_pid_stat(5)).
  private static func start(of pid: String) -> String? {
    guard let text = try? Files.readText("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    // A process that has ended and whose parent does not know runs no build.
    guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
    return String(fields[19])
  }

  /// Whether a name is one that `ownName` makes.
  private static func isName(_ name: String) -> Bool {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count)
      && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }
  }

  /// Clears the scratch of all builds that run no longer. What has another name is not a build's, and stays.
  ///
  /// - Parameter scratch: the folder in which builds have theirs, with no link in its path: programs are known by it.
  static func sweep(_ scratch: String) throws(SystemError) {
    for name in try Files.list(scratch) where isName(name) && !isRunning(name) { try remove("\(scratch)/\(name)") }
  }

  /// Removes a build's scratch, after the programs that may be writing there and what is mounted there: nothing behind a
  /// mount is touched.
  private static func remove(_ path: String) throws(SystemError) {
    // A link leads to what is not ours.
    guard try Files.status(path)?.kind == .directory else { return try Files.remove(path) }
    endPrograms(of: path)
    for mount in try Mount.all().reversed() where mount.target.hasPrefix("\(path)/") {
      try Mount.unmount(mount.target, lazily: true)
    }
    try ResultCache.removeTree(path)
  }

  /// How often programs are looked for that others of them may have started meanwhile.
  private static let rounds = 100

  /// Kills the programs that a build started, and what they started.
  private static func endPrograms(of scratch: String) {
    let word = "\(variable)=\(scratch)"
    for _ in 0..<rounds {
      let found = ((try? Files.list("/proc")) ?? []).compactMap(Int32.init).filter { pid in
        guard let bytes = try? Files.read("/proc/\(pid)/environ") else { return false }
        return bytes.split(separator: 0).contains { $0.elementsEqual(word.utf8) }
      }
      if found.isEmpty { return }
      for pid in found { try? ChildProcess(pid: pid).signal(Signal.kill) }
      MonotonicClock.sleep(milliseconds: 10)
    }
  }

  private static let partMark = ".roost-"
  private static let partSuffix = ".partial"

  /// What the file at `path` is called until this process has written all of it: nobody else gives a file that name.
  static func part(of path: String) -> String { path + partMark + ownName + partSuffix }

  /// Removes what builds of the file at `path` wrote of it that were killed.
  static func sweepParts(of path: String) {
    let parts = path.split(separator: "/")
    let folder = (path.hasPrefix("/") ? "/" : "./") + parts.dropLast().joined(separator: "/")
    let start = "\(parts.last ?? "")\(partMark)"
    for file in (try? Files.list(folder)) ?? [] where file.hasPrefix(start) && file.hasSuffix(partSuffix) {
      let build = String(file.dropFirst(start.count).dropLast(partSuffix.count))
      guard isName(build), !isRunning(build), (try? Files.status("\(folder)/\(file)"))?.kind == .regular else {
        continue
      }
      try? Files.remove("\(folder)/\(file)")
    }
  }
}
