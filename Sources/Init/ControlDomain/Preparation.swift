internal import Platform

/// What the control domain needs before its services: file systems, a name, modules.
enum Preparation {
  /// Modules that no device asks for.
  static let modules = [
    "loop", "dm_mod", "dm_thin_pool", "tun", "bridge", "vhost_net", "virtio_console", "nf_tables", "nft_chain_nat",
    "nft_masq", "nft_redir",
  ]

  /// Mounts what is not mounted yet; the initramfs brought most of it along.
  static func mountFileSystems() {
    let wanted: [(type: String, target: String, flags: MountFlags, options: String)] = [
      ("proc", "/proc", [.noSetUserID, .noDevices, .noExecution], ""),
      ("sysfs", "/sys", [.noSetUserID, .noDevices, .noExecution], ""),
      ("devtmpfs", "/dev", [.noSetUserID], "mode=755"),
      ("tmpfs", "/run", [.noSetUserID, .noDevices], "mode=755"),
      ("devpts", "/dev/pts", [.noSetUserID, .noExecution], "gid=5,mode=620,ptmxmode=666"),
      ("tmpfs", "/dev/shm", [.noSetUserID, .noDevices], ""),
      ("tmpfs", "/tmp", [.noSetUserID, .noDevices], ""),
      ("cgroup2", "/sys/fs/cgroup", [.noSetUserID, .noDevices, .noExecution], ""),
    ]
    for entry in wanted {
      do throws(SystemError) {
        if Files.exists("/proc/self/mountinfo"), try Mount.find(at: entry.target) != nil { continue }
        try Files.makeDirectories(entry.target)
        try Mount.mount(entry.type, at: entry.target, type: entry.type, entry.flags, options: entry.options)
      } catch {
        Log.write("\(error)")
      }
    }
    for directory in ["/run/roost", "/var/log/roost", Supervisor.logs, "/run/lock", SecureShell.privilegeDirectory] {
      attempt { () throws(SystemError) in try Files.makeDirectories(directory) }
    }
    attempt { () throws(SystemError) in try Files.makeDirectories(SecureShell.keyDirectory, permissions: 0o700) }
    let links = [
      ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2"),
    ]
    for (path, target) in links where !Files.exists(path) {
      attempt { () throws(SystemError) in try Files.link(path, to: target) }
    }
    attempt { () throws(SystemError) in try Files.setPermissions("/tmp", 0o1777) }
    attempt { () throws(SystemError) in try Files.setPermissions("/dev/shm", 0o1777) }
  }

  /// The stick's identity, host name from /etc/hostname, the loopback interface, settings from /etc/sysctl.d.
  static func configure() {
    StickIdentity.apply()
    attempt { () throws(SystemError) in
      let name = try Files.readText("/etc/hostname").prefix { !$0.isWhitespace }
      if !name.isEmpty { try RunningSystem.setHostName(String(name)) }
    }
    attempt { () throws(SystemError) in try RunningSystem.raiseInterface("lo") }
    // Guests' memory is memory files; with huge pages a guest that grows into it exits once per 2 MiB, not per 4 KiB.
    let hugePages = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
    if Files.exists(hugePages) { attempt { () throws(SystemError) in try Files.write("advise", to: hugePages) } }
    for file in (try? Files.list("/etc/sysctl.d")) ?? [] where file.hasSuffix(".conf") {
      guard let text = try? Files.readText("/etc/sysctl.d/\(file)") else { continue }
      for setting in sysctl(text) {
        do throws(SystemError) {
          try Files.write(setting.value, to: "/proc/sys/\(setting.path)")
        } catch {
          if !setting.isOptional { Log.write("/etc/sysctl.d/\(file): \(error)") }
        }
      }
    }
  }

  /// Settings of a sysctl.d(5) file. A dot separates path components, unless the first separator is a slash.
  static func sysctl(_ text: String) -> [(path: String, value: String, isOptional: Bool)] {
    text.split(separator: "\n").compactMap { line in
      let bare = trimmed(line)
      guard let first = bare.first, first != "#", first != ";" else { return nil }
      guard let equals = bare.firstIndex(of: "=") else { return nil }
      var key = trimmed(bare[..<equals])
      let isOptional = key.first == "-"
      if isOptional { key = key.dropFirst() }
      let separator = key.first { $0 == "." || $0 == "/" }
      let path = separator == "/" ? String(key) : String(key.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 })
      guard !path.isEmpty, !path.hasPrefix("/"), !path.split(separator: "/").contains("..") else { return nil }
      return (path, String(trimmed(bare[bare.index(after: equals)...])), isOptional)
    }
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }

  /// Does what the machine can do without: a failure is logged.
  private static func attempt(_ body: () throws(SystemError) -> Void) {
    do throws(SystemError) {
      try body()
    } catch {
      Log.write("\(error)")
    }
  }
}
