import Platform
import Testing

@testable import Hypervisor

/// A report in TAP version 13.
private struct TAPReport {
  struct Line {
    var isOK: Bool
    var name: String
    var skip: String?
  }

  var lines: [Line] = []
  var planned: Int?
  var bailedOut = false

  init(_ text: String) {
    for line in text.split(whereSeparator: \.isNewline) {
      if line.hasPrefix("1..") { planned = Int(line.dropFirst(3)) }
      if line.hasPrefix("Bail out!") { bailedOut = true }
      guard line.hasPrefix("ok ") || line.hasPrefix("not ok ") else { continue }
      let isOK = line.hasPrefix("ok ")
      let rest = line.drop { $0 != "-" }.dropFirst(2)
      let parts = rest.split(separator: " # SKIP ", maxSplits: 1)
      lines.append(
        Line(isOK: isOK, name: parts.first.map(String.init) ?? "", skip: parts.count > 1 ? String(parts[1]) : nil))
    }
  }
}

/// Our machine, probed from inside by a bare-metal guest (`Sources/Conformance`).
@Suite("Conformance", .enabled(if: Host.hasKVM, "there is no usable /dev/kvm on this machine"), .serialized)
struct ConformanceTests {
  /// Sectors that begin with a mark and their number: the probe writes only to such a disk.
  private func makeDisk(_ path: String, sectors: Int) throws {
    var bytes: [UInt8] = []
    for sector in 0..<sectors {
      bytes += Array("ROOSTPRB".utf8) + [UInt8(sector), 0, 0, 0] + [UInt8](repeating: UInt8(sector), count: 500)
    }
    try Files.write(bytes, to: path)
  }

  @Test("the probe finds nothing wrong with the machine")
  func probe() throws {
    guard let path = ProcessEnvironment.value("ROOST_CONFORMANCE") else {
      // `make conformance` builds it, `make unit` sets the variable.
      print("skipped: ROOST_CONFORMANCE names no conformance.elf (make unit sets it)")
      return
    }
    let directory = "/tmp/roost-test-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    try makeDisk("\(directory)/disk", sectors: 64)
    try makeDisk("\(directory)/old", sectors: 64)
    try Files.write([UInt8](repeating: 0, count: 64 << 10), to: "\(directory)/cdrom")
    var configuration = MachineConfiguration(name: "probe", memory: 32 << 20, kernel: path)
    configuration.disks = [
      MachineConfiguration.Disk(path: "\(directory)/disk"),
      MachineConfiguration.Disk(path: "\(directory)/old", bus: .ide),
    ]
    configuration.cdroms = ["\(directory)/cdrom"]
    configuration.hasDisplay = true
    if Host.hasTaps {
      configuration.networks = [
        MachineConfiguration.Network(tap: "roost-probe", mac: [0x52, 0x54, 0, 0, 0, 1], model: .e1000)
      ]
    }
    configuration.console = MachineConfiguration.Console.none
    configuration.serial = .socket(path: "\(directory)/serial", log: "\(directory)/log")
    let outcome = try Machine(configuration).run()
    let output = try Files.readText("\(directory)/log")
    let report = TAPReport(output)
    #expect(outcome == .poweredOff, "\(output)")
    #expect(!report.bailedOut && report.planned == report.lines.count, "\(output)")
    for line in report.lines { #expect(line.isOK, "\(line.name)\n\(output)") }
    // What this machine has must not be skipped, or the probe is blind.
    for area in [
      "cpuid", "block", "hostile", "event index", "msi-x", "entropy", "i8042", "pm timer", "00:03.0 virtio:", "ata",
      "vga",
    ] + (Host.hasTaps ? ["e1000"] : []) {
      let lines = report.lines.filter { $0.name.hasPrefix(area) }
      #expect(!lines.isEmpty && lines.allSatisfy { $0.skip == nil }, "\(area)\n\(output)")
    }
    // The last sector was written to, the first was not.
    let disk = try Files.read("\(directory)/disk")
    #expect(disk.prefix(8) == Array("ROOSTPRB".utf8)[...])
    #expect(disk[(63 * 512)..<(63 * 512 + 4)] == [0x5A, 0x5A, 0x5A, 0x5A])
  }
}
