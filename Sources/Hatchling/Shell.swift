import Machine

/// The prompt: a line editor of two keys, and the commands.
struct Shell: ~Copyable {
  private static let longestLine = 78

  private var console: Console
  private var clock: Clock
  private let startInfo: StartInfo
  private let acpi: ACPI?
  private var line = InlineArray<78, UInt8>(repeating: 0)
  private var length = 0

  init(console: consuming Console, clock: Clock, startInfo: StartInfo, acpi: ACPI?) {
    self.console = console
    self.clock = clock
    self.startInfo = startInfo
    self.acpi = acpi
  }

  /// Reads and obeys, for ever.
  mutating func run() {
    while true {
      console.write("hatchling> ")
      readLine()
      obey()
    }
  }

  /// Obeys the words of a NUL-terminated text that are commands; a loader may add words of its own.
  mutating func obeyWords(at address: UInt64) {
    var at = address
    var ended = address == 0
    while !ended {
      length = 0
      var fits = true
      while true {
        let byte = PhysicalMemory.byte(at)
        at &+= 1
        ended = byte == 0 || at &- address > 4096
        if ended || byte == 0x20 { break }
        fits = fits && length < Self.longestLine
        if fits {
          line[length] = byte
          length += 1
        }
      }
      if fits, length > 0, command(named: 0..<length) != nil { obey() }
    }
  }

  private mutating func readLine() {
    length = 0
    while true {
      guard let byte = console.read() else {
        Interrupts.idle { console.hasInput }
        continue
      }
      switch byte {
      case 0x0D, 0x0A:
        console.write("\n")
        return
      case 0x08, 0x7F:
        guard length > 0 else { continue }
        length -= 1
        console.write("\u{8} \u{8}")
      case 0x03, 0x15:
        console.write("^C\n")
        length = 0
        return
      case 0x20...0x7E where length < Self.longestLine:
        line[length] = byte
        length += 1
        console.write(byte: byte)
      default: continue
      }
    }
  }

  private enum Command {
    case help, memory, uptime, pci, echo, selftest, off, reboot, crash
  }

  private func command(named word: Range<Int>) -> Command? {
    if matches("help", word) || matches("?", word) { return .help }
    if matches("mem", word) { return .memory }
    if matches("uptime", word) { return .uptime }
    if matches("pci", word) { return .pci }
    if matches("echo", word) { return .echo }
    if matches("selftest", word) { return .selftest }
    if matches("off", word) { return .off }
    if matches("reboot", word) { return .reboot }
    if matches("crash", word) { return .crash }
    return nil
  }

  private func matches(_ text: StaticString, _ word: Range<Int>) -> Bool {
    guard text.utf8CodeUnitCount == word.count else { return false }
    for index in 0..<word.count {
      if text[index] != line[word.lowerBound + index] { return false }
    }
    return true
  }

  private mutating func obey() {
    var first = 0
    while first < length && line[first] == 0x20 { first += 1 }
    var end = first
    while end < length && line[end] != 0x20 { end += 1 }
    guard end > first else { return }
    switch command(named: first..<end) {
    case .help: help()
    case .memory: console.writeMemoryMap(startInfo)
    case .uptime: uptime()
    case .pci: pci()
    case .echo: echo(from: end)
    case .selftest:
      var tests = SelfTest(startInfo: startInfo, acpi: acpi)
      tests.run(&console)
    case .off: off()
    case .reboot: reboot()
    case .crash: crash()
    case nil:
      console.write("no such command: ")
      for index in first..<end { console.write(byte: line[index]) }
      console.write(line: " (try help)")
    }
  }

  private mutating func help() {
    console.write(line: "help      this list")
    console.write(line: "mem       the memory map that the machine gave us")
    console.write(line: "uptime    time since the start")
    console.write(line: "pci       devices on PCI bus 0")
    console.write(line: "echo ...  say it back")
    console.write(line: "selftest  check the machine: lines of ok, skipped or failed")
    console.write(line: "off       switch the machine off")
    console.write(line: "reboot    start it anew")
    console.write(line: "crash     fault three times, on purpose")
  }

  private mutating func uptime() {
    clock.calibrate()
    if let milliseconds = clock.milliseconds {
      var rest: UInt32 = 0
      // SAFETY: the remainder is written to a local variable.
      let seconds = unsafe machine_divide(milliseconds, 1000, &rest)
      console.write("up ")
      console.write(decimal: seconds)
      console.write(".")
      if rest < 100 { console.write("0") }
      if rest < 10 { console.write("0") }
      console.write(decimal: UInt64(rest))
      console.write(" s (")
    } else {
      console.write("up ")
      console.write(decimal: clock.counts)
      console.write(" counts of the time stamp counter (")
    }
    console.write(clock.source.name)
    console.write(line: ")")
  }

  private mutating func pci() {
    guard PCI.isPresent else {
      console.write(line: "no PCI here: nothing answers at 0xcf8")
      return
    }
    PCI.forEachFunction { found in
      console.write("00:")
      console.write(hex: UInt64(found.device), digits: 2)
      console.write(".")
      console.write(hex: UInt64(found.function), digits: 1)
      console.write(" ")
      console.write(hex: UInt64(found.vendor), digits: 4)
      console.write(":")
      console.write(hex: UInt64(found.product), digits: 4)
      console.write(" class ")
      console.write(hex: UInt64(found.code), digits: 6)
      console.write(" ")
      console.write(line: found.kind)
    }
  }

  private mutating func echo(from end: Int) {
    for index in min(end + 1, length)..<length { console.write(byte: line[index]) }
    console.write("\n")
  }

  private mutating func off() {
    console.write(line: "switching off")
    console.drain()
    Power.off(acpi)
    console.write(line: "this machine has no ACPI power switch that works; resetting it instead")
    console.drain()
    Power.reset(acpi)
    console.write(line: "it does not reset either")
  }

  private mutating func reboot() {
    console.write(line: "rebooting")
    console.drain()
    Power.reset(acpi)
    console.write(line: "none of the known resets works on this machine")
  }

  private mutating func crash() {
    console.write(line: "crashing")
    console.drain()
    machine_triple_fault()
  }
}

extension Console {
  /// One line per region of the map, and the sum.
  mutating func writeMemoryMap(_ info: StartInfo) {
    guard info.memoryMapCount > 0 else {
      write(line: "the machine gave no memory map")
      return
    }
    for index in 0..<info.memoryMapCount {
      let region = info.memoryRegion(index)
      if region.length == 0 { continue }  // QEMU pads its map with some
      write("  0x")
      write(hex: region.start, digits: 10)
      write(" - 0x")
      write(hex: region.end &- 1, digits: 10)
      write(decimal: region.length >> 10, width: 10)
      write(" KiB ")
      write(line: region.name)
    }
    write("  ")
    write(decimal: info.usableMemory >> 20)
    write(line: " MiB usable")
  }
}
