internal import Binary

extension ACPILayout {
  /// DSDT: the PCI root with its windows and interrupts, the ISA devices, and how to power off.
  static func dsdt(_ machine: ACPIDescription) -> [UInt8] {
    let off = AML.integer(UInt64(machine.powerOffType))
    let terms: [AML] = [
      .name("\\_S5", .package([off, off, .integer(0), .integer(0)])),
      // Which interrupt controllers the system drives: 0 the 8259 pair, 1 the I/O APIC (5.8.1).
      .name("\\PICM", .integer(0)),
      .method("\\_PIC", arguments: 1, [.store(.argument(0), .path("PICM"))]),
      .scope("\\_SB", [.device("PCI0", root(machine))] + (0..<4).map { link($0, machine) }),
    ]
    return table("DSDT", revision: 2, AML.list(terms + machine.processorTerms).bytes)
  }

  private static func root(_ machine: ACPIDescription) -> [AML] {
    let window =
      UInt32(
        truncatingIfNeeded: machine.memoryWindow.lowerBound)...UInt32(
        truncatingIfNeeded: machine.memoryWindow.upperBound - 1)
    var resources: [Resource] = [
      .buses(0...0), .ports(0xCF8, count: 8), .portWindow(0...0xCF7), .portWindow(0xD00...0xFFFF),
      // The old video memory, which a VGA decodes.
      .memoryWindow32(0xA_0000...0xB_FFFF), .memoryWindow32(window),
    ]
    if let high = machine.highMemoryWindow {
      resources.append(.memoryWindow64(high.lowerBound...(high.upperBound - 1)))
    }
    return [
      .name("_HID", .eisaID("PNP0A03")), .name("_UID", .integer(0)),
      .name("_BBN", .integer(0)),
      .name("_CRS", .resources(resources)),
      // The wires lead to the same pins of both controllers. A system that drives the I/O APIC takes them as they
      // are, one that drives the 8259 pair asks the link devices.
      .name("PRTP", .package(routes(machine) { [.path("\\_SB.LNK\(letter($0))"), .integer(0)] })),
      .name("PRTA", .package(routes(machine) { [.integer(0), .integer(UInt64(machine.pciInterrupts[$0]))] })),
      .method(
        "_PRT", arguments: 0,
        [.when(.path("PICM"), [.result(.path("PRTA"))]), .result(.path("PRTP"))]),
      .device("ISA", isa(machine)),
    ]
  }

  /// A package for each pin of each device (6.2.13): address, pin, and where its wire (0...3) leads.
  private static func routes(_ machine: ACPIDescription, _ source: (Int) -> [AML]) -> [AML] {
    machine.devices.flatMap { device in
      (1...4 as ClosedRange<UInt8>).map { pin in
        .package(
          [.integer(UInt64(device) << 16 | 0xFFFF), .integer(UInt64(pin - 1))]
            + source(machine.wire(device, pin) & 3))
      }
    }
  }

  private static func letter(_ wire: Int) -> Character { Character(Unicode.Scalar(UInt8(0x41 + wire))) }

  /// The link device of a wire: it reads and writes the ISA bridge's PIRQ route register, of which bit 7 means that
  /// the wire is not routed. It offers the one interrupt that the wire is fixed to.
  private static func link(_ wire: Int, _ machine: ACPIDescription) -> AML {
    let register = AML.path("\\_SB.PCI0.ISA.PRQ\(letter(wire))")
    let choice = AML.resources([.sharedInterrupt(UInt32(machine.pciInterrupts[wire]))])
    return .device(
      "LNK\(letter(wire))",
      [
        .name("_HID", .eisaID("PNP0C0F")), .name("_UID", .integer(UInt64(wire + 1))),
        .name("_PRS", choice),
        .method(
          "_STA", arguments: 0,
          [.when(.and(register, .integer(0x80)), [.result(.integer(0x09))]), .result(.integer(0x0B))]),
        .method("_DIS", arguments: 0, [.or(register, .integer(0x80), to: register)]),
        .method(
          "_CRS", arguments: 0, isSerialized: true,
          [
            .name("BUF", .resources([.sharedInterrupt(0)])),
            // The interrupt's number lies behind tag, length, flags and count.
            .doubleWordField("IRQ", in: .path("BUF"), at: 5),
            .when(
              .not(.and(register, .integer(0x80))),
              [.and(register, .integer(0x0F), to: .path("IRQ"))]),
            .result(.path("BUF")),
          ]),
        .method(
          "_SRS", arguments: 1,
          [.doubleWordField("IRQ", in: .argument(0), at: 5), .and(.path("IRQ"), .integer(0x0F), to: register)]),
      ])
  }

  private static func isa(_ machine: ACPIDescription) -> [AML] {
    var devices: [AML] = [
      .name("_ADR", .integer(0x1_0000)),
      .region("PIRQ", .pciConfiguration, at: 0x60, count: 4),
      .byteFields("PIRQ", (0..<4).map { "PRQ\(letter($0))" }),
    ]
    func device(_ name: String, _ id: String, unit: UInt64? = nil, _ resources: [Resource]) {
      let number: [AML] = if let unit { [.name("_UID", .integer(unit))] } else { [] }
      devices.append(
        .device(name, [.name("_HID", .eisaID(id))] + number + [.name("_CRS", .resources(resources))]))
    }
    if machine.hasSerial { device("COM1", "PNP0501", unit: 1, [.ports(0x3F8, count: 8), .interrupt(4)]) }
    if machine.hasSecondSerial { device("COM2", "PNP0501", unit: 2, [.ports(0x2F8, count: 8), .interrupt(3)]) }
    if machine.hasClock { device("RTC", "PNP0B00", [.ports(0x70, count: 8), .interrupt(8)]) }
    if machine.hasKeyboard {
      device("KBD", "PNP0303", [.ports(0x60, count: 1), .ports(0x64, count: 1), .interrupt(1)])
    }
    if machine.hasMouse { device("MOU", "PNP0F13", [.interrupt(12)]) }
    device("TMR", "PNP0100", [.ports(0x40, count: 4), .interrupt(0)])
    // What lies in PCI's port windows and is not PCI's to give away.
    var reserved: [Resource] = [.ports(machine.powerManagement, count: 64), .ports(0x4D0, count: 2)]
    if machine.maximumCPUs != nil {
      let first = ACPIDescription.processorPorts
      reserved += [.ports(first, count: 128), .ports(first + 128, count: 128)]
    }
    device("RES", "PNP0C02", reserved)
    if machine.hasFirmwareConfiguration {
      devices.append(
        .device(
          "FWCF",
          [
            .name("_HID", .string("QEMU0002")), .name("_STA", .integer(0x0B)),
            .name("_CRS", .resources([.ports(0x510, count: 12)])),
          ]))
    }
    return devices
  }
}
