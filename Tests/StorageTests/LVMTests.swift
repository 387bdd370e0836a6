import Platform
import Testing

@testable import Storage

@Suite struct LVMCommandTests {
  @Test func wordsAreQuotedForTheLibrary() throws {
    #expect(try LVM.commandLine(["lvs", "-o", "lv_name"]) == "lvs -o lv_name")
    #expect(try LVM.commandLine(["lvs", "a b"]) == "lvs 'a b'")
    for bad in ["a'b", "a\"b", "a\nb", ""] {
      #expect(throws: StorageError.self) { _ = try LVM.commandLine(["lvs", bad]) }
    }
  }

  @Test func reportIsReadAmongWarnings() throws {
    let rows = try LVMReport.rows(
      [
        "WARNING: something", "  {", "      \"report\": [", "          {", "              \"lv\": [",
        "                  {\"lv_name\":\"a\", \"lv_size\":\"4194304\"},", "  WARNING: in between",
        "                  {\"lv_name\":\"b\", \"lv_size\":\"\"}", "              ]", "          }", "      ]", "  }",
      ], command: "lvs")
    #expect(rows == [["lv_name": "a", "lv_size": "4194304"], ["lv_name": "b", "lv_size": ""]])
  }

  @Test func brokenReportIsAnError() {
    #expect {
      _ = try LVMReport.rows(["  {", "garbage"], command: "lvs")
    } throws: {
      "\($0)".contains("lvs") && "\($0)".contains("garbage")
    }
  }
}

/// Runs liblvm2cmd. Its state is the process's, so there is one library for all tests and one test at a time.
@Suite(
  .enabled(
    if: (try? FileDescriptor(opening: "/dev/loop-control", .readWrite)) != nil,
    "needs the right to attach loop devices"),
  .serialized)
struct LVMLibraryTests {
  /// A loop device over 64 MiB of zeros, and LVM that sees only it.
  private static func withDevice(_ body: (LVM, LoopDevice) throws -> Void) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-storage-")
    defer { try? Files.removeTree(directory) }
    do { try FileDescriptor(opening: "\(directory)/disk", [.readWrite, .create]).truncate(to: 64 << 20) }
    let loop = try LoopDevice.attach("\(directory)/disk", readOnly: false)
    defer { try? loop.detach() }
    let configuration = LVMConfiguration(directory: directory, devices: [loop.path])
    try configuration.write()
    try body(try LVM(configuration: directory), loop)
  }

  @Test func physicalVolumeIsMadeAndReported() throws {
    try Self.withDevice { lvm, loop in
      #expect(try lvm.report("pvs", columns: ["pv_name", "pv_uuid"]) == [])
      #expect(try Probe(loop.path).type == nil)
      try lvm.run(["pvcreate", "--yes", loop.path])
      let rows = try lvm.report("pvs", columns: ["pv_name", "pv_uuid", "pv_size"])
      #expect(rows.map { $0["pv_name"] } == [loop.path])
      #expect(rows.first?["pv_size"] == "\(64 << 20)")
      let found = try Probe(loop.path)
      #expect(found.type == "LVM2_member")
      #expect(found.uuid == rows.first?["pv_uuid"])
    }
  }

  @Test func failureCarriesTheLog() throws {
    try Self.withDevice { lvm, _ in
      let error = #expect(throws: StorageError.self) { try lvm.run(["pvremove", "/dev/none"]) }
      #expect(error?.code == .lvm)
      #expect(error?.message.contains("pvremove /dev/none") == true)
      #expect(error?.log.contains { $0.contains("/dev/none") } == true, "\(error?.log ?? [])")
    }
  }

  @Test func unknownCommandIsNamed() throws {
    try Self.withDevice { lvm, _ in
      let error = #expect(throws: StorageError.self) { try lvm.run(["nonsense"]) }
      #expect(error?.message == "LVM has no such command: nonsense")
    }
  }
}
