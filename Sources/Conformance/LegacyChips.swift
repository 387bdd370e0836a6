import Machine

extension Probe {
  /// The chips of the PC's board, as firmware and old systems find them.
  mutating func testLegacyChips() {
    testInterruptControllers()
    testClock()
    testKeyboardController()
    testSerialPort()
    testPowerManagement()
    testFirmwareConfiguration()
  }

  private mutating func testInterruptControllers() {
    test("8259: initialisation clears the mask, and the mask is kept (8259A, ICW1 and OCW1)") { (_) throws(Verdict) in
      let chips: InlineArray<2, (UInt16, UInt8, UInt8)> = [(0x20, 0x20, 0x04), (0xA0, 0x28, 0x02)]
      try each(chips) { (command, vectors, wiring) throws(Verdict) in
        machine_out8(command, 0x11)
        machine_out8(command &+ 1, vectors)
        machine_out8(command &+ 1, wiring)
        machine_out8(command &+ 1, 0x01)
        try require(machine_in8(command &+ 1), equals: 0, "mask after ICW1")
        machine_out8(command &+ 1, 0xA5)
        try require(machine_in8(command &+ 1), equals: 0xA5, "mask")
        machine_out8(command &+ 1, 0xFF)
        machine_out8(command, 0x0B)  // OCW3: read the in-service register
        try require(machine_in8(command), equals: 0, "in-service register")
      }
    }
  }

  private mutating func testClock() {
    test("cmos: memory sizes agree with the memory map") { (probe) throws(Verdict) in
      try require(Self.cmos16(0x15), equals: 640, "base memory in KiB")
      // What is above 1 MiB and in one piece; firmware leaves some of it out of the map for its tables.
      var top: UInt64 = 0
      for index in 0..<probe.startInfo.memoryMapCount {
        let region = probe.startInfo.memoryRegion(index)
        if region.start < 1 << 32, region.type == MemoryRegion.usable { top = max(top, region.end) }
      }
      let extended = UInt64(Self.cmos16(0x30))
      try require(Self.cmos16(0x17), equals: Self.cmos16(0x30), "extended memory in both places")
      let kibibytes = (top &- 1 << 20) >> 10
      try require(extended >= min(kibibytes, 0xFFFF), "extended memory holds the map's")
      try require(extended &- min(kibibytes, 0xFFFF) <= 1024, "extended memory is what the map has")
      let beyond = UInt64(Self.cmos16(0x34)) << 16
      try require(top <= max(16 << 20, (16 << 20) &+ beyond), "memory above 16 MiB holds the map's")
    }
    test("rtc: a valid date, 24 hours, and RAM that keeps (MC146818A)") { (_) throws(Verdict) in
      try require(Self.cmos(0x0D) & 0x80, equals: 0x80, "valid RAM and time")
      try require(Self.cmos(0x0B) & 0x06, equals: 0x02, "24 hours, BCD")
      try require(Self.decimal(Self.cmos(0x08), in: 1...12), "a month from 1 to 12")
      try require(Self.decimal(Self.cmos(0x07), in: 1...31), "a day from 1 to 31")
      try require(Self.decimal(Self.cmos(0x04), in: 0...23), "an hour from 0 to 23")
      try require(Self.decimal(Self.cmos(0x00), in: 0...59), "a second from 0 to 59")
      let before = Self.cmos(0x3F)
      machine_out8(0x70, 0x3F)
      machine_out8(0x71, ~before)
      try require(Self.cmos(0x3F), equals: ~before, "byte 0x3F")
      machine_out8(0x71, before)
    }
  }

  private static func cmos(_ index: UInt8) -> UInt8 {
    machine_out8(0x70, index)
    return machine_in8(0x71)
  }

  private static func cmos16(_ index: UInt8) -> UInt16 { UInt16(cmos(index)) | UInt16(cmos(index + 1)) << 8 }

  /// Whether `value` is packed decimal and in the range.
  private static func decimal(_ value: UInt8, in range: ClosedRange<UInt8>) -> Bool {
    value & 0x0F < 10 && value >> 4 < 10 && range.contains((value >> 4) &* 10 &+ (value & 0x0F))
  }

  private mutating func testKeyboardController() {
    test("i8042: self test, interface test, command byte (8042 commands 0xAA, 0xAB, 0x20)") { (_) throws(Verdict) in
      guard machine_in8(0x64) != 0xFF else { throw .skip("no keyboard controller") }
      for _ in 0..<32 where machine_in8(0x64) & 1 != 0 { _ = machine_in8(0x60) }
      machine_out8(0x64, 0xAD)  // no keys in between
      try require(try Self.ask(0xAA), equals: 0x55, "self test")
      try require(try Self.ask(0xAB), equals: 0x00, "test of the keyboard's interface")
      machine_out8(0x64, 0xAE)
      let commandByte = try Self.ask(0x20)
      try require(commandByte & 0x10, equals: 0, "the keyboard is enabled in the command byte")
      try require(machine_in8(0x64) & 1, equals: 0, "nothing is left to read")
    }
  }

  /// The controller's answer to a command.
  private static func ask(_ command: UInt8) throws(Verdict) -> UInt8 {
    machine_out8(0x64, command)
    let answers = wait { machine_in8(0x64) & 1 != 0 }
    try require(answers, "the controller answers")
    return machine_in8(0x60)
  }

  private mutating func testSerialPort() {
    test("uart: scratch register, FIFO identification, divisor latch (16550A)") { (_) throws(Verdict) in
      let port: UInt16 = 0x3F8
      machine_out8(port + 7, 0x5A)
      try require(machine_in8(port + 7), equals: 0x5A, "scratch register")
      machine_out8(port + 2, 0x00)
      try require(machine_in8(port + 2) & 0xC0, equals: 0, "identification with the FIFOs off")
      machine_out8(port + 2, 0x07)
      try require(machine_in8(port + 2) & 0xC0, equals: 0xC0, "identification with the FIFOs on")
      machine_out8(port + 3, 0x83)
      let divisor = machine_in8(port)
      machine_out8(port + 3, 0x03)
      try require(divisor, equals: 1, "divisor latch")
      try require(machine_in8(port + 5) & 0x60, equals: 0x60, "transmitter empty")
    }
    test("uart: loopback leads the modem's outputs to its inputs (16550A, modem control bit 4)") {
      (probe) throws(Verdict) in
      let port: UInt16 = 0x3F8
      probe.drainConsole()
      let lines: InlineArray<5, (UInt8, UInt8)> = [
        (0x10, 0x00), (0x11, 0x20), (0x12, 0x10), (0x14, 0x40), (0x18, 0x80),
      ]
      try each(lines) { (outputs, inputs) throws(Verdict) in
        machine_out8(port + 4, outputs)
        let seen = machine_in8(port + 6) & 0xF0
        if seen != inputs { machine_out8(port + 4, 0x0B) }
        try require(seen, equals: inputs, "modem status")
      }
      machine_out8(port, 0x5A)
      let arrives = wait { machine_in8(port + 5) & 1 != 0 }
      let byte = arrives ? machine_in8(port) : 0
      machine_out8(port + 4, 0x0B)
      try require(byte, equals: 0x5A, "the byte that was sent to itself")
    }
  }

  private mutating func testPowerManagement() {
    test("acpi: fixed hardware: enable bits are kept, SCI is on, nothing is pending") { (probe) throws(Verdict) in
      guard let acpi = probe.acpi, !acpi.isReducedHardware,
        let event = UInt16(exactly: PhysicalMemory.word32(acpi.fixedTable &+ 56)), event != 0
      else { throw .skip("no fixed hardware") }
      guard let control = acpi.controlPort else { throw .failed("there is a PM1a control register") }
      if machine_in16(control) & 1 == 0, let enable = acpi.enableCommand {
        machine_out8(enable.port, enable.value)
        wait { machine_in16(control) & 1 != 0 }
      }
      try require(machine_in16(control) & 1, equals: 1, "SCI_EN")
      let enabled = machine_in16(event &+ 2)
      machine_out16(event &+ 2, 0x0100)
      try require(machine_in16(event &+ 2), equals: 0x0100, "PM1 enable")
      machine_out16(event &+ 2, enabled)
      try require(machine_in16(event) & 0x0100, equals: 0, "the power button's status")
    }
  }

  private mutating func testFirmwareConfiguration() {
    test("fw_cfg: signature and features (QEMU, docs/specs/fw_cfg)") { (_) throws(Verdict) in
      machine_out16(0x510, 0x0000)
      var signature: UInt32 = 0
      for _ in 0..<4 { signature = signature << 8 | UInt32(machine_in8(0x511)) }
      guard signature != 0xFFFF_FFFF else { throw .skip("no fw_cfg") }
      try require(signature, equals: 0x5145_4D55, "signature QEMU")
      try require(machine_in8(0x511), equals: 0, "what is behind an item's end")
      machine_out16(0x510, 0x0001)
      try require(machine_in8(0x511) & 1, equals: 1, "the traditional interface")
      machine_out16(0x510, 0x0019)
      var files: UInt32 = 0
      for _ in 0..<4 { files = files << 8 | UInt32(machine_in8(0x511)) }
      try require(files > 0 && files < 4096, "there is a plausible number of files")
    }
  }
}
