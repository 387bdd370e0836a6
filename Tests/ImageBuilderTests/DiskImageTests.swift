import Platform
import Testing

@testable import ImageBuilder

@Suite("Images of disks in the forms they come in")
struct DiskImageTests {
  private func prepare(_ file: String, in directory: TemporaryDirectory, isDisk: Bool = true) throws -> [UInt8] {
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let path = "\(directory.path)/\(file)"
    let step = Step(
      name: "image", kind: "image", version: 1, settings: [], inputs: [], outputs: ["out"], isForced: true
    ) { context throws(BuildError) in
      try DiskImage.prepare(
        path, isDisk: isDisk, called: "the disk", to: "\(context.output)/out", context)
    }
    let executor = Executor(cache: cache, epoch: 0, jobs: 1, cancellation: Cancellation())
    let result = try #require(try executor.run([step]) { _ in }["image"])
    return try Files.read("\(result.directory)/out")
  }

  private func run(_ arguments: [String], in directory: TemporaryDirectory) throws {
    let outcome = try Command(arguments, directory: directory.path).run(cancellation: Cancellation())
    try #require(outcome.status.isSuccess, "\(outcome.text)")
  }

  @Test("A disk of an odd size is filled up to whole sectors with zeros; a CD is left as it is")
  func oddSize() throws {
    let directory = try TemporaryDirectory()
    try Files.write([UInt8](repeating: 5, count: 1000), to: "\(directory.path)/odd")
    let disk = try prepare("odd", in: directory)
    #expect(disk.count == 1024)
    #expect(disk[999] == 5 && disk[1000...].allSatisfy { $0 == 0 })
    #expect(try prepare("odd", in: directory, isDisk: false).count == 1000)
    try Files.write([UInt8](), to: "\(directory.path)/empty")
    let error = #expect(throws: BuildError.self) { try prepare("empty", in: directory) }
    #expect(error?.message == "the disk is empty")
  }

  @Test("Packed images are unpacked, holes and all, whatever packed them")
  func packed() throws {
    let directory = try TemporaryDirectory()
    var bytes = [UInt8](repeating: 0, count: 3 << 20)
    for index in stride(from: 0, to: 5000, by: 1) { bytes[1_000_000 + index] = UInt8(truncatingIfNeeded: index) }
    try Files.write(bytes, to: "\(directory.path)/disk")
    for tool in ["gzip", "xz", "zstd"] {
      try run(["sh", "-c", "\(tool) -c disk >packed"], in: directory)
      #expect(try prepare("packed", in: directory) == bytes, "\(tool)")
    }
  }

  @Test("A qcow2 becomes a plain disk; one with a backing file is refused before anything of that is read")
  func containers() throws {
    guard Command.find("qemu-img") != nil else {
      print("skipped: qemu-img is not on this machine (apt-get install qemu-utils)")
      return
    }
    let directory = try TemporaryDirectory()
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    bytes[4096] = 1
    try Files.write(bytes, to: "\(directory.path)/disk")
    for format in ["qcow2", "vmdk", "vhdx"] {
      try run(["qemu-img", "convert", "-O", format, "disk", "container"], in: directory)
      try run(["sh", "-c", "gzip -c container >packed"], in: directory)
      let found = try prepare("packed", in: directory)
      #expect(Array(found.prefix(bytes.count)) == bytes, "\(format)")
      #expect(found.dropFirst(bytes.count).allSatisfy { $0 == 0 })
    }
    try run(["qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "\(directory.path)/disk", "over"], in: directory)
    try run(
      ["qemu-img", "create", "-f", "qcow2", "-o", "data_file=\(directory.path)/data,data_file_raw=on", "out", "1M"],
      in: directory)
    for file in ["over", "out"] {
      let error = #expect(throws: BuildError.self) { try prepare(file, in: directory) }
      #expect(error?.code == .badFile)
      #expect(error?.message.contains("another file") == true, "\(error?.message ?? "")")
    }
  }
}
