import Platform
import Testing

@testable import Hypervisor

/// Debian's SeaBIOS on the machine's /dev/kvm, with a boot sector of a few instructions on every kind of disk.
@Suite("SeaBIOS", .enabled(if: Host.hasKVM, "there is no usable /dev/kvm on this machine"), .serialized)
struct FirmwareBootTests {
  private static let isMissing = !Files.exists(Firmware.bios)

  /// 16-bit code: reads the second sector of the disk it was booted from by the BIOS, prints its first five bytes on the
  /// serial port, and powers off where SeaBIOS has put ACPI's ports.
  private var bootSector: [UInt8] {
    var code: [UInt8] = [
      0xB8, 0x01, 0x02,  // mov $0x0201, %ax: read one sector
      0xBB, 0x00, 0x7E,  // mov $0x7E00, %bx
      0xB9, 0x02, 0x00,  // mov $0x0002, %cx: cylinder 0, sector 2
      0xB6, 0x00,  // mov $0, %dh
      0xCD, 0x13,  // int $0x13
      0xBA, 0xF8, 0x03,  // mov $0x3F8, %dx
    ]
    for index in 0..<5 as Range<UInt8> {
      code += [0xA0, index, 0x7E, 0xEE]  // mov 0x7E00+index, %al; out %al, %dx
    }
    code += [0xBA, 0x04, 0x06, 0xB8, 0x00, 0x34, 0xEF, 0xFA, 0xF4]  // out $0x3400, 0x604; cli; hlt
    return code + [UInt8](repeating: 0, count: 510 - code.count) + [0x55, 0xAA]
  }

  private func run(
    sectors: Int, _ change: (inout MachineConfiguration, String) -> Void
  ) throws -> (outcome: MachineOutcome, output: String) {
    let directory = "/tmp/roost-test-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    let second = Array("hello".utf8) + [UInt8](repeating: 0, count: 507)
    try Files.write(
      bootSector + second + [UInt8](repeating: 0, count: (sectors - 2) * 512), to: "\(directory)/disk")
    var configuration = MachineConfiguration(name: "bios", memory: 16 << 20, bootMethod: .bios)
    configuration.hasDisplay = true
    configuration.serial = .socket(path: "\(directory)/serial", log: "\(directory)/log")
    change(&configuration, "\(directory)/disk")
    let outcome = try Machine(configuration).run()
    return (outcome, try Files.readText("\(directory)/log"))
  }

  @Test(
    "boots a disk's first sector, which reads the second, and powers off",
    .enabled(if: !isMissing, "skipped: there is no \(Firmware.bios) (package seabios)"),
    arguments: MachineConfiguration.DiskBus.allCases)
  func disks(bus: MachineConfiguration.DiskBus) throws {
    let (outcome, output) = try run(sectors: 4096) { configuration, path in
      configuration.disks = [MachineConfiguration.Disk(path: path, bus: bus)]
    }
    #expect(outcome == .poweredOff && output == "hello", "\(output)")
  }

  @Test("what is no firmware, and no floppy disk, is refused with its path")
  func refusals() throws {
    #expect(throws: HypervisorError.self) {
      try run(sectors: 2880) { configuration, path in
        configuration.disks = [MachineConfiguration.Disk(path: path)]
        configuration.firmware = "/etc/passwd"
      }
    }
    #expect(throws: HypervisorError.self) { try run(sectors: 1000) { $0.floppy = $1 } }
  }
}
