import Platform
import Testing

/// Loop devices need the kernel's module and its permission.
private let canAttach = (try? FileDescriptor(opening: "/dev/loop-control", .readWrite)) != nil

@Suite(.enabled(if: canAttach, "needs /dev/loop-control and the right to open it"), .serialized)
struct LoopDeviceTests {
  private static func withFile(_ bytes: [UInt8], _ body: (String) throws -> Void) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-loop-")
    defer { try? Files.removeTree(directory) }
    let path = "\(directory)/file"
    try Files.write(bytes, to: path)
    try body(path)
  }

  @Test func showsTheFileAndItsWrites() throws {
    try Self.withFile([UInt8](repeating: 7, count: 8192)) { path in
      let loop = try LoopDevice.attach(path, readOnly: false)
      defer { try? loop.detach() }
      #expect(try LoopDevice.attached().contains { $0.device == loop && $0.file == path })
      do {
        let device = try FileDescriptor(opening: loop.path, .readWrite)
        #expect(try device.length() == 8192)
        #expect(try device.read(upTo: 4, at: 512) == [7, 7, 7, 7])
        try device.writeAll([1, 2, 3], at: 1024)
        try device.synchronize()
      }
      #expect(try Array(Files.read(path)[1023...1027]) == [7, 1, 2, 3, 7])
    }
  }

  @Test func readOnlyRefusesWrites() throws {
    try Self.withFile([UInt8](repeating: 7, count: 4096)) { path in
      let loop = try LoopDevice.attach(path, readOnly: true)
      defer { try? loop.detach() }
      #expect(throws: SystemError.self) {
        let device = try FileDescriptor(opening: loop.path, .readWrite)
        try device.writeAll([1], at: 0)
        try device.synchronize()
      }
      #expect(try Files.read(path).allSatisfy { $0 == 7 })
    }
  }

  @Test func detachedIsGone() throws {
    try Self.withFile([UInt8](repeating: 7, count: 4096)) { path in
      let loop = try LoopDevice.attach(path, readOnly: true)
      try loop.detach()
      // A child that another test starts at this moment holds the device open until it has closed what it was not given.
      for _ in 0..<6000 {
        guard try LoopDevice.attached().contains(where: { $0.file == path }) else { return }
        MonotonicClock.sleep(milliseconds: 10)
      }
      Issue.record("\(path) is still attached")
    }
  }

  @Test func missingFileNamesItself() {
    #expect {
      _ = try LoopDevice.attach("/nonexistent/file", readOnly: true)
    } throws: { error in
      "\(error)".contains("/nonexistent/file")
    }
  }
}
