import Binary
import Manifest
import Platform
import Synchronization

@testable import ImageBuilder

/// An appliance's image, small and bootable by GRUB, in a directory of its own.
final class StickImage: Sendable {
  static let manifest = ApplianceManifest(
    name: "lab", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
    storage: .init(ramBytes: 1, extentBytes: 1, mediumUUID: "m", ramUUID: "r"), network: .init(address: "10.77.0.1/24"),
    domains: [
      .init(
        name: "debian", os: "x", cpus: 1, memoryBytes: 64 << 20,
        boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""), disk: nil,
        network: .init(mac: "52:54:00:00:00:01", address: "10.77.0.10"), autostart: true,
        ready: .init(consoleText: "l", timeoutSeconds: 1), onReboot: .restart, onCrash: .preserve)
    ])

  private let test: TestImage
  var path: String { test.path }

  /// One for all tests, which only read it: some chunks long, and no whole number of them.
  static let shared = Result { try StickImage() }

  private init() throws {
    test = try TestImage()
    var image = try test.bootable()
    image.add(ApplianceManifest.path, .bytes(try Self.manifest.encoded()))
    var filling: [UInt8] = []
    while filling.count < 9_000_000 {
      filling += [UInt8](repeating: UInt8(truncatingIfNeeded: filling.count >> 13), count: 8191)
    }
    image.add("/roost/filling", .bytes(filling))
    try image.write(to: test.path)
  }
}

/// A stick in memory, or one that does something wrong.
final class TestStick: StickStore {
  enum Fault: Sendable {
    case none
    /// This byte is not what was written when it is read.
    case flippedByte(Int)
    /// Writes that reach this offset fail.
    case writesFail(from: Int, Errno)
    /// This is called when a write reaches the offset.
    case atOffset(Int, @Sendable () -> Void)
  }

  let size: Int
  let unit = 512
  private let fault: Fault
  private let content: Mutex<[UInt8]>
  private let writes = Mutex<[Range<Int>]>([])

  init(_ content: [UInt8], _ fault: Fault = .none) {
    size = content.count
    self.fault = fault
    self.content = Mutex(content)
  }

  var bytes: [UInt8] { content.withLock { $0 } }

  /// Where was written, in order.
  var places: [Range<Int>] { writes.withLock { $0 } }

  func write(_ bytes: Span<UInt8>, at offset: Int) throws(SystemError) {
    let range = offset..<(offset + bytes.count)
    switch fault {
    case .writesFail(let start, let errno) where range.upperBound > start: throw SystemError("write", errno: errno)
    case .atOffset(let place, let body) where range.contains(place): body()
    default: break
    }
    // SAFETY: the buffer is copied while the span is borrowed.
    let copy = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    content.withLock { $0.replaceSubrange(range, with: copy) }
    writes.withLock { $0.append(range) }
  }

  func read(into bytes: inout MutableSpan<UInt8>, at offset: Int) throws(SystemError) -> Int {
    var part = content.withLock { Array($0[offset..<min(size, offset + bytes.count)]) }
    if case .flippedByte(let place) = fault, part.indices.contains(place - offset) { part[place - offset] ^= 0x10 }
    // SAFETY: the part is no longer than the span, which is borrowed for the call.
    unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      for index in part.indices { unsafe buffer[index] = part[index] }
    }
    return part.count
  }

  func flush() throws(SystemError) {}

  func announceTable() -> String? { nil }
}

/// Files and links that look like /sys, /proc and /dev.
final class TestMachineTree {
  let root: String

  init() throws {
    root = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-system-")
    try Files.makeDirectories("\(root)/sys/class/block")
    try Files.makeDirectories("\(root)/dev")
  }

  deinit {
    try? Files.removeTree(root)
  }

  func write(_ path: String, _ text: String) throws {
    let full = "\(root)/\(path)"
    try Files.makeDirectories(String(full[..<(full.lastIndex(of: "/") ?? full.endIndex)]))
    try Files.write(text, to: full)
  }

  /// A device at a place below /sys/devices.
  func device(_ name: String, _ number: String, below place: String, _ files: [String: String] = [:]) throws {
    let path = "devices/\(place)/\(name)"
    try write("sys/\(path)/dev", "\(number)\n")
    try write("sys/\(path)/size", "31457280\n")
    try write("sys/\(path)/ro", "0\n")
    for (file, text) in files { try write("sys/\(path)/\(file)", text) }
    try Files.link("\(root)/sys/class/block/\(name)", to: "../../\(path)")
    try write("dev/\(name)", "")
  }

  func mounts(_ lines: [String]) throws {
    try write("proc/self/mountinfo", lines.map { "\($0)\n" }.joined())
  }

  var view: SystemView { SystemView(root: root) }
}
