import Machine

/// Why a test did not pass.
enum Verdict: Error {
  case skip(StaticString)
  case failed(StaticString)
  case differs(StaticString, found: UInt64, wanted: UInt64)
}

/// Fails the test unless `condition` holds; `what` says what must be.
func require(_ condition: Bool, _ what: StaticString) throws(Verdict) {
  if !condition { throw .failed(what) }
}

/// Fails the test unless both are equal.
func require<T: FixedWidthInteger>(_ found: T, equals wanted: T, _ what: StaticString) throws(Verdict) {
  if found != wanted {
    throw .differs(what, found: UInt64(truncatingIfNeeded: found), wanted: UInt64(truncatingIfNeeded: wanted))
  }
}

/// Hands each of the values to `body`.
func each<let count: Int, Value>(
  _ values: InlineArray<count, Value>, _ body: (Value) throws(Verdict) -> Void
) throws(Verdict) {
  for index in values.indices { try body(values[index]) }
}

/// The report, in TAP version 13 (testanything.org), and what tests draw on: memory and interrupt vectors, each given
/// out once only, so that a device that is late spoils nothing.
struct Probe: ~Copyable {
  let startInfo: StartInfo
  let acpi: ACPI?
  private var console = Console()
  private var number: UInt64 = 0
  private var failures: UInt64 = 0
  private var nextFree: UInt32
  /// Where the memory ends that `nextFree` is in; noted before any test touches the machine.
  private let limit: UInt32
  private var nextVector: UInt8 = 0x40

  init(startInfo: StartInfo, acpi: ACPI?) {
    self.startInfo = startInfo
    self.acpi = acpi
    let first = (machine_image_limit() &+ 0x1_0000) & ~0xFFF
    var limit = first
    for index in 0..<startInfo.memoryMapCount {
      let region = startInfo.memoryRegion(index)
      guard region.type == MemoryRegion.usable, region.start <= UInt64(first) else { continue }
      limit = max(limit, UInt32(truncatingIfNeeded: min(region.end, 0xC000_0000)))
    }
    nextFree = first
    self.limit = limit
    console.write("\nTAP version 13\n")
  }

  /// Runs one test and reports it, as that of `function` where there is one.
  mutating func test(
    _ name: StaticString, of function: PCI.Function? = nil, _ body: (inout Probe) throws(Verdict) -> Void
  ) {
    number += 1
    do throws(Verdict) {
      try body(&self)
      begin("ok ", name, function)
      console.write("\n")
    } catch {
      switch error {
      case .skip(let why):
        begin("ok ", name, function)
        console.write(" # SKIP ")
        console.write(line: why)
      case .failed(let what):
        failures += 1
        begin("not ok ", name, function)
        console.write("\n# not so: ")
        console.write(line: what)
      case .differs(let what, let found, let wanted):
        failures += 1
        begin("not ok ", name, function)
        console.write("\n# ")
        console.write(what)
        console.write(": found 0x")
        console.write(hex: found, digits: 16)
        console.write(", wanted 0x")
        console.write(hex: wanted, digits: 16)
        console.write("\n")
      }
    }
  }

  private mutating func begin(_ word: StaticString, _ name: StaticString, _ function: PCI.Function?) {
    console.write(word)
    console.write(decimal: number)
    console.write(" - ")
    if let function {
      console.write("00:")
      console.write(hex: UInt64(function.device), digits: 2)
      console.write(".")
      console.write(hex: UInt64(function.function), digits: 1)
      console.write(" ")
    }
    console.write(name)
  }

  /// Lets everything that was written leave the serial port.
  mutating func drainConsole() { console.drain() }

  /// Writes the plan; true when every test passed or was skipped.
  mutating func finish() -> Bool {
    console.write("1..")
    console.write(decimal: number)
    console.write("\n")
    console.drain()
    return failures == 0
  }

  /// `count` bytes of memory, which nobody else has or had; `alignment` is a power of two.
  mutating func reserve(_ count: UInt32, alignment: UInt32 = 16) throws(Verdict) -> UInt32 {
    let start = (nextFree &+ alignment &- 1) & ~(alignment &- 1)
    let end = start &+ count
    guard start < end, end <= limit else { throw .failed("there is memory left for the test") }
    nextFree = end
    return start
  }

  /// As `reserve`, and all zero. For rings: an emulated processor takes its time over larger ones.
  mutating func allocate(_ count: UInt32) throws(Verdict) -> UInt32 {
    let start = try reserve((count &+ 3) & ~3)
    var address = start
    while address < start &+ count {
      machine_store32(UInt(address), 0)
      address &+= 4
    }
    return start
  }

  /// An interrupt vector that was never used. Interrupts stay off, so a vector once requested stays so.
  mutating func takeVector() throws(Verdict) -> UInt8 {
    guard nextVector < 0xF0 else { throw .failed("there is an interrupt vector left for the test") }
    nextVector += 1
    return nextVector &- 1
  }
}
