import Platform
import Testing

@testable import Storage

@Suite("Images that a domain's disk begins as")
struct ImageFileTests {
  private let directory: Directory

  private final class Directory {
    let path: String
    init() throws { path = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-image-") }
    deinit { try? Files.removeTree(path) }
  }

  /// Three mebibytes and a little, most of them zero.
  private let bytes: [UInt8]

  init() throws {
    directory = try Directory()
    var bytes = [UInt8](repeating: 0, count: (3 << 20) + 1024)
    for index in 0..<70_000 { bytes[(1 << 20) - 500 + index] = UInt8(truncatingIfNeeded: index * 31 >> 3) | 1 }
    bytes[bytes.count - 1] = 7
    self.bytes = bytes
    try Files.write(bytes, to: "\(directory.path)/disk")
  }

  private func shell(_ script: String) throws {
    let child = try ChildProcess.start(ChildRequest(["/bin/sh", "-c", "cd '\(directory.path)' && \(script)"]))
    try #require(try child.wait().isSuccess, "\(script)")
  }

  private func image(_ name: String, program: String = "qemu-img") throws(StorageError) -> ImageFile {
    try ImageFile("\(directory.path)/\(name)", program: program)
  }

  /// What a disk of zeros holds after the image was written to it, and how far it was said to be.
  private func written(_ image: ImageFile) throws -> (bytes: [UInt8], told: [Int]) {
    let target = "\(directory.path)/target"
    try Files.write([UInt8](), to: target)
    try FileDescriptor(opening: target, .readWrite).truncate(to: image.size)
    var told: [Int] = []
    try image.write(to: target) { told.append($0) }
    return (try Files.read(target), told)
  }

  private func problem(_ name: String, program: String = "qemu-img", room: Int = .max) -> String {
    do throws(StorageError) {
      try image(name, program: program).check(room: room)
      return "none"
    } catch {
      return error.message
    }
  }

  @Test("Whatever packed it, the disk is what was packed, and progress goes from nothing to all")
  func packed() throws {
    try shell("gzip -k disk && xz -k disk && zstd -q disk && bzip2 -k disk")
    for name in ["disk", "disk.gz", "disk.xz", "disk.zst", "disk.bz2"] {
      let image = try image(name)
      #expect(image.size == bytes.count, "\(name)")
      let found = try written(image)
      #expect(found.bytes == bytes, "\(name)")
      #expect(found.told.first == 0 && found.told.last == 100 && found.told == found.told.sorted(), "\(found.told)")
    }
  }

  @Test("A qcow2 is read without a program, and one with a backing file is refused")
  func qcow2() throws {
    guard Files.exists("/usr/bin/qemu-img") else {
      print("skipped: qemu-img is not on this machine (apt-get install qemu-utils)")
      return
    }
    try shell("qemu-img convert -f raw -O qcow2 -c disk disk.qcow2")
    let image = try image("disk.qcow2", program: "/nonexistent/qemu-img")
    #expect(try written(image).bytes == bytes)
    #expect(try written(image).bytes == bytes)  // once more
    try shell("qemu-img create -q -f qcow2 -F raw -b disk over && gzip -k disk.qcow2")
    #expect(problem("over").contains("backing file") && problem("over").contains("qemu-img convert -O raw"))
    #expect(problem("disk.qcow2.gz").contains("has a qcow2 file in it"))
  }

  @Test("Other containers take qemu-img, and where it is not the package is named")
  func containers() throws {
    guard Files.exists("/usr/bin/qemu-img") else {
      print("skipped: qemu-img is not on this machine (apt-get install qemu-utils)")
      return
    }
    for format in ["vmdk", "vhdx"] {
      try shell("qemu-img convert -f raw -O \(format) disk disk.\(format)")
      let found = try written(try image("disk.\(format)"))
      #expect(Array(found.bytes.prefix(bytes.count)) == bytes, "\(format)")
      #expect(found.told.first == 0 && found.told.last == 100, "\(found.told)")
      let absent = problem("disk.\(format)", program: "/nonexistent/qemu-img")
      #expect(absent.contains("is a \(format) file") && absent.contains("packages: [qemu-utils]"), "\(absent)")
    }
    try shell("printf '# Disk DescriptorFile\\nRW 1 FLAT \"/etc/passwd\" 0' >words")
    #expect(problem("words").contains("in other files"))
  }

  @Test("What does not fit is refused with both sizes, and what is zero takes no room")
  func room() throws {
    // 64 KiB pieces: the data touches three, and the last byte one.
    let needed = 4 * ImageFile.granule
    try shell("xz -k disk")
    for name in ["disk", "disk.xz"] {
      #expect(problem(name, room: needed) == "none")
      let words = problem(name, room: needed - 1)
      #expect(words.contains("is a disk of 4 MiB with 1 MiB on it") && words.contains("room for 0 MiB"), "\(words)")
    }
    #expect(ImageFile.roomProblem("i", size: 9 << 20, data: 5 << 20, free: 5 << 20) == nil)
    let words = ImageFile.roomProblem("i", size: (9 << 20) + 1, data: 6 << 20, free: 5 << 20)?.message
    #expect(words?.contains("10 MiB with 6 MiB on it") == true && words?.contains("room for 5 MiB") == true)
  }

  @Test("Data is counted in the pieces that the pool gives, each once")
  func counting() {
    var count = ImageFile.DataCount()
    let piece = ImageFile.granule
    count.take([1], at: 0)
    count.take([1], at: piece - 1)
    #expect(count.bytes == piece)
    count.take([0, 0, 1, 1], at: 2 * piece - 3)
    #expect(count.bytes == 3 * piece)
    count.take([UInt8](repeating: 0, count: 3 * piece), at: 4 * piece)
    #expect(count.bytes == 3 * piece)
    #expect(ImageFile.filled([1, 0, 0, 1], at: piece - 2) == [0..<2, 2..<4])
    #expect(ImageFile.filled([1, 0, 0, 0], at: piece - 2) == [0..<2])
  }

  @Test("What is no image, or damaged, says so")
  func damage() throws {
    try shell(": >empty && xz -k disk && head -c 300 disk.xz >cut.xz")
    #expect(problem("empty").contains("is empty"))
    #expect(problem("cut.xz").contains("cannot be unpacked"))
    #expect(problem("absent").contains("cannot read the disk image"))
  }
}
