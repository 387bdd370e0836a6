import Platform
import Testing

@testable import Init

@Suite("What is on its way when a medium is found")
struct USBSettlingTests {
  private func withSystem(_ body: (_ sys: String) throws -> Void) throws {
    let sys = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-usb-")
    defer { try? Files.removeTree(sys) }
    try Files.makeDirectories("\(sys)/class/block")
    try body(sys)
  }

  private func isOver(_ settling: inout USBSettling, after milliseconds: UInt64, _ sys: String) -> Bool {
    settling.isOver(now: 1 + milliseconds * 1_000_000, sys: sys)
  }

  @Test("Without USB it is the partitions' moment")
  func withoutUSB() throws {
    try withSystem { sys in
      var settling = USBSettling()
      #expect(!isOver(&settling, after: 0, sys))
      #expect(!isOver(&settling, after: 400, sys))
      #expect(isOver(&settling, after: 500, sys))
    }
  }

  @Test("A hub has its time, and a stick until it is a disk, but not for ever")
  func stick() throws {
    try withSystem { sys in
      let interface = "\(sys)/devices/usb1/1-1/1-1:1.0"
      try Files.makeDirectories("\(sys)/bus/usb/devices/usb1")
      var settling = USBSettling()
      #expect(!isOver(&settling, after: 0, sys))
      #expect(!isOver(&settling, after: 1000, sys))
      #expect(isOver(&settling, after: 1500, sys))
      try Files.makeDirectories("\(sys)/bus/usb/devices/1-1:1.0")
      try Files.write("03\n", to: "\(sys)/bus/usb/devices/1-1:1.0/bInterfaceClass")
      #expect(isOver(&settling, after: 1500, sys))
      try Files.write("08\n", to: "\(sys)/bus/usb/devices/1-1:1.0/bInterfaceClass")
      #expect(!isOver(&settling, after: 9000, sys))
      #expect(isOver(&settling, after: 10_000, sys))
      let disk = "\(interface)/host0/target0:0:0/0:0:0:0/block/sda"
      try Files.makeDirectories(disk)
      try Files.link("\(sys)/class/block/sda", to: disk)
      #expect(isOver(&settling, after: 2000, sys))
    }
  }
}
