import Platform
import Testing

@testable import ImageBuilder

/// Debian's own lvm2 judges what we write. It needs no device-mapper for that, but block devices.
@Suite(
  .enabled(if: LVMTools.areUsable, "needs the package lvm2 and the right to attach loop devices"), .serialized)
struct LVMToolsTests {
  @Test func medium() throws {
    try LVMTools.withGroup { tools, result in
      let check = try tools.run("pvck", "--dump", "headers", tools.medium.path)
      #expect(check.contains("label_header.crc") && !check.contains("should be"), "\(check)")
      #expect(check.contains("pv_header.pv_uuid \(result.mediumUUID.filter { $0 != "-" })"), "\(check)")
      let fields = try tools.run("pvs", "--noheadings", "-o", "pv_uuid,pv_mda_count,pe_start", tools.medium.path)
      // The medium alone is a volume in use whose group is nowhere: LVM warns of that first.
      let last = try #require(fields.split(separator: "\n").last)
      #expect(last.split(separator: " ").map(String.init) == [result.mediumUUID, "0", "1.00m"])
    }
  }

  @Test func groupOutOfTheTemplate() throws {
    try LVMTools.withGroup { tools, result in
      try tools.run("pvcreate", "-y", "--uuid", result.ramUUID, "--restorefile", tools.template, tools.ram.path)
      try tools.run("vgcfgrestore", "-f", tools.template, "roost")
      let volumes = try tools.run(
        "lvs", "--noheadings", "-o", "lv_name,lv_size,lv_permissions", "--units", "m", "roost")
      #expect(
        volumes.split(separator: "\n").map { $0.split(separator: " ").map(String.init) } == [
          ["image-first", "12.00m", "read-only"], ["image-second", "8.00m", "read-only"],
        ], "\(volumes)")
      #expect(try tools.run("vgck", "roost") == "")
    }
  }
}

/// The tools, with two loop devices and a configuration that shows them nothing else.
struct LVMTools {
  let directory: String
  let medium: LoopDevice
  let ram: LoopDevice
  var template: String { "\(directory)/volume-group.conf" }

  static let areUsable =
    Files.exists("/sbin/lvm") && (try? FileDescriptor(opening: "/dev/loop-control", .readWrite)) != nil

  static func withGroup(_ body: (LVMTools, VolumeGroupImage.Result) throws -> Void) throws {
    try VolumeGroupImageTests.inDirectory { directory in
      let result = try VolumeGroupImage.write(
        images: VolumeGroupImageTests.makeImages(in: directory), volumeGroup: "roost", ramBytes: 64 << 20,
        seed: VolumeGroupImageTests.seed, to: "\(directory)/images.pv")
      do {
        try FileDescriptor(opening: "\(directory)/ram", [.readWrite, .create]).truncate(to: 64 << 20)
      }
      try Files.write(result.metadataTemplate, to: "\(directory)/volume-group.conf")
      let medium = try LoopDevice.attach("\(directory)/images.pv", readOnly: true)
      defer { try? medium.detach() }
      let ram = try LoopDevice.attach("\(directory)/ram", readOnly: false)
      defer { try? ram.detach() }
      let tools = LVMTools(directory: directory, medium: medium, ram: ram)
      try Files.write(
        """
        devices {
          use_devicesfile = 0
          obtain_device_list_from_udev = 0
          global_filter = [ "a|^\(medium.path)$|", "a|^\(ram.path)$|", "r|.*|" ]
        }
        global { locking_dir = "\(directory)" activation = 0 event_activation = 0 use_lvmpolld = 0 }
        activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
        backup { backup = 0 archive = 0 }
        """, to: "\(directory)/lvm.conf")
      try body(tools, result)
    }
  }

  /// What the command prints on both streams; a failing command is a failed expectation.
  @discardableResult
  func run(_ arguments: String...) throws -> String {
    let pipe = try Pipe()
    var request = ChildRequest(["/sbin/lvm"] + arguments)
    request.environment = ["PATH=/sbin:/bin", "LVM_SYSTEM_DIR=\(directory)", "LC_ALL=C"]
    request.descriptors = [-1, pipe.writer.rawValue, pipe.writer.rawValue]
    let child = try ChildProcess.start(request)
    let output = try Self.drain(pipe)
    let status = try child.wait()
    #expect(status.isSuccess, "lvm \(arguments.joined(separator: " ")): \(status)\n\(output)")
    // With global/activation=0 that much is always said.
    return output.split(separator: "\n").filter { !$0.contains("Activation disabled") }.joined(separator: "\n")
  }

  private static func drain(_ pipe: consuming Pipe) throws -> String {
    let reader = try pipe.reader.duplicate()
    _ = consume pipe
    return String(decoding: try reader.readToEnd(), as: UTF8.self)
  }
}
