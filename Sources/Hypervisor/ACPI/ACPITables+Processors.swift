internal import Devices

extension ACPIDescription {
  /// Where `ProcessorHotplug` is: in none of PCI's port windows that are given out.
  static let processorPorts: UInt16 = 0xAE00

  /// What the DSDT says where processors come and go: each as a device (8.4) that looks at its port, and the event that has
  /// all of them looked at. Nothing for other machines: their processors are in the MADT alone.
  var processorTerms: [AML] {
    guard let maximumCPUs else { return [] }
    let all = 0..<maximumCPUs
    let region: [AML] = [
      .region("CPUR", .io, at: UInt64(Self.processorPorts), count: ProcessorHotplugPort.count),
      .byteFields("CPUR", all.map { "P\(Self.suffix($0))" }),
    ]
    return [
      .scope("\\_SB", region + all.map(Self.processor)),
      .scope("\\_GPE", [.method("_E02", arguments: 0, isSerialized: true, all.flatMap(Self.look))]),
    ]
  }

  /// Three digits, so that names have four characters.
  private static func suffix(_ cpu: Int) -> String {
    let digits = String(cpu, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 3 - digits.utf8.count)) + digits
  }

  private static func processor(_ cpu: Int) -> AML {
    let port = AML.path("P\(suffix(cpu))")
    let present = AML.and(port, bits(.present))
    var terms: [AML] = [
      .name("_HID", .string("ACPI0007")), .name("_UID", .integer(UInt64(cpu))),
      // There and working, or not there at all (6.3.7).
      .method("_STA", arguments: 0, [.when(present, [.result(.integer(0x0F))]), .result(.integer(0))]),
      .name("_MAT", .buffer(ACPILayout.localAPIC(cpu, isEnabled: true))),
    ]
    // The first one starts the system, and stays.
    if cpu > 0 { terms.append(.method("_EJ0", arguments: 1, [.store(bits(.ejected), port)])) }
    return .device("C\(suffix(cpu))", terms)
  }

  /// Tells what is new of a processor: a device check (1), or a request to eject it (3).
  private static func look(_ cpu: Int) -> [AML] {
    guard cpu > 0 else { return [] }
    let port = AML.path("\\_SB.P\(suffix(cpu))")
    let device = "\\_SB.C\(suffix(cpu))"
    func news(_ kind: ProcessorHotplugPort, _ what: UInt64) -> AML {
      .when(.and(port, bits(kind)), [.store(bits(kind), port), .notify(device, what)])
    }
    return [news(.arrives, 1), news(.leaves, 3)]
  }

  private static func bits(_ bits: ProcessorHotplugPort) -> AML { .integer(UInt64(bits.rawValue)) }
}
