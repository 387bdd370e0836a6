/// The kernel environment and the boot flags that a command line means.
///
/// Words (see `BootWords`) are `name=value`, or flags as FreeBSD's loader takes them: `-s` single user, `-v` verbose,
/// `-a` ask for the root, `-C` root on a CD, `-d` debugger, `-D` two consoles, `-g` remote debugger, `-h` serial
/// console, `-m` mute, `-p` pause, `-r` the compiled-in root; `-sv` is both. `boot_single=YES` and its like mean the
/// same, as in the loader. Without words the console is the first serial port and the root the first virtio disk.
struct FreeBSDEnvironment: Hashable {
  /// RB_ flags. FreeBSD, sys/sys/reboot.h.
  private(set) var howTo: UInt32 = 0
  /// In order, each name once.
  private(set) var variables: [(name: String, value: String)] = []

  static func == (left: Self, right: Self) -> Bool { left.howTo == right.howTo && left.bytes == right.bytes }

  func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

  private static let serial: UInt32 = 0x1000
  private static let multiple: UInt32 = 0x2000_0000
  private static let room = 1 << 16
  /// Letter, variable and RB_ flag.
  private static let flags: [(letter: Character, name: String, value: UInt32)] = [
    ("a", "boot_askname", 0x1), ("s", "boot_single", 0x2), ("r", "boot_dfltroot", 0x20), ("d", "boot_ddb", 0x40),
    ("v", "boot_verbose", 0x800), ("h", "boot_serial", serial), ("C", "boot_cdrom", 0x2000),
    ("g", "boot_gdb", 0x8000), ("m", "boot_mute", 0x1_0000), ("p", "boot_pause", 0x10_0000),
    ("D", "boot_multicons", multiple),
  ]

  /// Reads the words of `commandLine`; `rsdp` is the address of ACPI's root pointer, 0 without.
  init(_ commandLine: String, rsdp: UInt64, hasMemoryDisk: Bool) throws(HypervisorError) {
    for word in try BootWords.split(commandLine) {
      if let mark = word.firstIndex(of: "="), mark != word.startIndex {
        set(String(word[..<mark]), String(word[word.index(after: mark)...]))
      } else if word.first == "-", word.count > 1 {
        for letter in word.dropFirst() {
          guard let flag = Self.flags.first(where: { $0.letter == letter }) else {
            throw HypervisorError(
              .configuration, "the command line's \(word) is no flag of FreeBSD's; such are -s and -v")
          }
          howTo |= flag.value
        }
      } else {
        throw HypervisorError(
          .configuration,
          "the command line's word \(word) is neither name=value nor a flag such as -s; quote values that have blanks")
      }
    }
    for flag in Self.flags {
      if let value = value(of: flag.name), value.lowercased() != "no" { howTo |= flag.value }
    }
    setDefault("kernelname", "/boot/kernel/kernel")
    setDefault("console", "comconsole")
    setDefault("hint.uart.0.at", "isa")
    setDefault("hint.uart.0.port", "0x3F8")
    setDefault("hint.uart.0.flags", "0x10")
    setDefault("hint.uart.0.irq", "4")
    setDefault("vfs.root.mountfrom", hasMemoryDisk ? "ufs:/dev/md0" : "ufs:/dev/vtbd0")
    if rsdp != 0 {
      setDefault("acpi.rsdp", hex(rsdp))
      // Until FreeBSD 10 the hint was what the kernel read.
      setDefault("hint.acpi.0.rsdp", hex(rsdp))
    }
    let consoles = (value(of: "console") ?? "").split { $0 == "," || $0 == " " }
    if consoles.contains("comconsole") { howTo |= Self.serial }
    if consoles.count > 1 { howTo |= Self.multiple }
    guard bytes.count <= Self.room, !variables.contains(where: { "\($0.name)\($0.value)".utf8.contains(0) }) else {
      throw HypervisorError(
        .configuration, "the command line has more than \(Self.room) bytes, or a NUL among them")
    }
  }

  /// `name=value` strings, each with its NUL, and an empty one.
  var bytes: [UInt8] {
    variables.flatMap { Array("\($0.name)=\($0.value)".utf8) + [0] } + [0]
  }

  /// The value of a variable.
  func value(of name: String) -> String? {
    variables.first { $0.name == name }?.value
  }

  private mutating func set(_ name: String, _ value: String) {
    variables.removeAll { $0.name == name }
    variables.append((name, value))
  }

  private mutating func setDefault(_ name: String, _ value: String) {
    if self.value(of: name) == nil { variables.append((name, value)) }
  }
}
