/// What makes a FreeBSD release's files the system of one domain, and which of them a small guest does without.
struct FreeBSDSystem: Sendable, CustomStringConvertible {
  let hostname: String

  /// What the kernel is told when it is entered directly; the monitor adds what a serial console needs.
  static let commandLine = "vfs.root.mountfrom=ufs:/dev/gpt/rootfs"

  /// Compilers, what only they read, and documentation.
  private static let omittedFolders = [
    "usr/include", "usr/lib/clang", "usr/lib/debug", "usr/share/doc", "usr/share/examples", "usr/share/info",
    "usr/share/man", "usr/share/openssl/man", "usr/tests", "usr/obj", "usr/src",
  ]
  private static let omittedBeginnings = [
    "usr/bin/clang", "usr/bin/lld", "usr/bin/llvm-", "usr/lib/libprivateclang", "usr/lib/libprivatelld",
    "usr/lib/libprivatellvm",
  ]
  private static let omittedFiles: Set<String> = [
    "usr/bin/c++", "usr/bin/cc", "usr/bin/CC", "usr/bin/cpp", "usr/bin/c89", "usr/bin/c99", "usr/bin/ld",
    "usr/bin/ld.lld",
  ]

  /// What must be in the release's archives for a disk that boots.
  static let required = [
    "boot/kernel/kernel", "boot/pmbr", "boot/gptboot", "boot/loader", "boot/loader.efi", "sbin/init", "etc/ttys",
  ]

  static func omits(_ path: String) -> Bool {
    omittedFiles.contains(path) || omittedBeginnings.contains { path.hasPrefix($0) }
      || omittedFolders.contains { path == $0 || path.hasPrefix("\($0)/") }
      || path.hasPrefix("usr/lib/") && path.hasSuffix(".a")
  }

  /// The release's table of terminals with a login on the first serial line, whether it is the console or not.
  static func terminals(_ table: String) -> String {
    table.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      guard line.hasPrefix("ttyu0") else { return String(line) }
      return "ttyu0\t\"/usr/libexec/getty 3wire\"\tvt100\ton secure"
    }.joined(separator: "\n")
  }

  /// What is added to the release. Root has no password, as the release has it: nobody but the owner of the machine
  /// reaches a domain's console.
  var entries: [TreeEntry] {
    [
      .text("etc/fstab", "/dev/gpt/rootfs\t/\tufs\trw,noatime\t1\t1\n"),
      .text(
        "etc/rc.conf",
        """
        hostname="\(hostname)"
        ifconfig_DEFAULT="DHCP"
        sshd_enable="NO"
        sendmail_enable="NONE"
        syslogd_flags="-ss"
        cron_enable="NO"
        newsyslog_enable="NO"
        savecore_enable="NO"
        dumpdev="NO"
        update_motd="NO"
        virecover_enable="NO"
        moused_nondefault_enable="NO"
        fsck_y_enable="YES"

        """),
      .text(
        "boot/loader.conf",
        """
        autoboot_delay="0"
        beastie_disable="YES"
        loader_logo="none"
        loader_brand="none"
        hostuuid_load="NO"
        entropy_cache_load="NO"
        console="comconsole"
        comconsole_speed="115200"
        boot_serial="YES"
        boot_multicons="NO"
        vfs.root.mountfrom="ufs:/dev/gpt/rootfs"

        """),
      // gptboot's own.
      .text("boot.config", "-h -S115200\n"),
    ]
  }

  /// All of it as text: what decides the result.
  var description: String {
    entries.map { entry in
      guard case .bytes(let bytes) = entry.content else { return entry.path }
      return "\(entry.path) \(String(decoding: bytes, as: UTF8.self))"
    }.joined(separator: "\n")
      + (Self.omittedFolders + Self.omittedBeginnings + Self.omittedFiles.sorted()).joined(separator: " ")
  }
}
