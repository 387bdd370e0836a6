internal import Devices
internal import Platform

/// A file to boot from, read piecewise: kernels and RAM disks go straight into guest RAM, never through the heap.
protocol ImageSource {
  /// Length in bytes.
  var count: Int { get }
  /// The `count` bytes at `offset`; throws when the file has not that many.
  func bytes(at offset: Int, count: Int) throws(HypervisorError) -> [UInt8]
  /// Copies `count` bytes from `offset` to `address` in the guest; throws when there are not that many, or no RAM.
  func load(at offset: Int, count: Int, to address: UInt64, in memory: GuestRAM) throws(HypervisorError)
}

extension ImageSource {
  /// A little-endian integer at `offset`.
  func little<T: FixedWidthInteger>(_: T.Type = T.self, at offset: Int) throws(HypervisorError) -> T {
    var value: T = 0
    for byte in try bytes(at: offset, count: T.bitWidth / 8).reversed() {
      value = (T.bitWidth > 8 ? value << 8 : 0) | T(truncatingIfNeeded: byte)
    }
    return value
  }

  /// Whether each of the byte strings is somewhere in the first `limit` bytes of the file.
  func contains(_ texts: [String], within limit: Int = 16 << 20) throws(HypervisorError) -> Bool {
    let patterns = texts.map { Array($0.utf8) }
    var missing = Set(patterns.indices)
    let overlap = (patterns.map(\.count).max() ?? 1) - 1
    let end = min(limit, count)
    var at = 0
    while at < end, !missing.isEmpty {
      let chunk = try bytes(at: at, count: min(1 << 20, end - at))
      missing = missing.filter { !Self.find(patterns[$0], in: chunk) }
      guard at + chunk.count < end, chunk.count > overlap else { break }
      at += chunk.count - overlap
    }
    return missing.isEmpty
  }

  private static func find(_ pattern: [UInt8], in bytes: [UInt8]) -> Bool {
    guard let first = pattern.first else { return true }
    var at = 0
    while at + pattern.count <= bytes.count {
      if bytes[at] == first, bytes[at..<(at + pattern.count)].elementsEqual(pattern) { return true }
      at += 1
    }
    return false
  }

  /// Throws unless the range is in the file.
  func check(_ offset: Int, _ count: Int) throws(HypervisorError) {
    guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else {
      throw HypervisorError(
        .image, "the file is cut short: \(count) bytes are needed, and it has \(self.count) in all", offset: offset)
    }
  }

  /// Throws unless the range is RAM; the offset in the mapping.
  func place(_ address: UInt64, _ count: Int, in memory: GuestRAM) throws(HypervisorError) -> Int {
    guard let offset = memory.offset(of: address, count: count) else {
      throw HypervisorError(
        .image,
        "\(count) bytes at address \(hex(address)) do not fit into \(memory.count >> 20) MiB of memory;"
          + " give the domain more memory")
    }
    return offset
  }
}

/// A file that a kernel is handed besides itself, with the command line that goes with it.
struct BootModule<Image: ImageSource> {
  let image: Image
  let commandLine: String

  init(_ image: Image, commandLine: String = "") {
    self.image = image
    self.commandLine = commandLine
  }
}

/// An image in memory: parts that were read, text that is made up, tests.
struct BytesImage: ImageSource {
  let contents: [UInt8]

  var count: Int { contents.count }

  init(_ contents: [UInt8]) {
    self.contents = contents
  }

  func bytes(at offset: Int, count: Int) throws(HypervisorError) -> [UInt8] {
    try check(offset, count)
    return Array(contents[offset..<(offset + count)])
  }

  func load(at offset: Int, count: Int, to address: UInt64, in memory: GuestRAM) throws(HypervisorError) {
    let place = try place(address, count, in: memory)
    let copy = try bytes(at: offset, count: count)
    memory.mapping.write(at: place, from: copy.span)
  }
}

/// An image in a file, open.
final class FileImage: ImageSource {
  let count: Int
  private let file: FileDescriptor

  /// Opens `path`, which must be a regular file.
  init(_ path: String) throws(HypervisorError) {
    let file = try refusal(.image, "a file to boot from cannot be read; check the path") { () throws(SystemError) in
      guard let status = try Files.status(path, followingLinks: true) else {
        throw SystemError("open", path: path, errno: .noSuchFile)
      }
      guard status.kind == .regular else { throw SystemError("open", path: path, errno: .invalidArgument) }
      return try FileDescriptor(opening: path)
    }
    count = try refusal(.image, "the length of \(path) cannot be found") { () throws(SystemError) in try file.length() }
    self.file = file
  }

  func bytes(at offset: Int, count: Int) throws(HypervisorError) -> [UInt8] {
    try check(offset, count)
    let bytes = try refusal(.image, "the file cannot be read") { () throws(SystemError) in
      try file.read(upTo: count, at: offset)
    }
    guard bytes.count == count else {
      throw HypervisorError(.image, "the file became shorter while it was read", offset: offset)
    }
    return bytes
  }

  func load(at offset: Int, count: Int, to address: UInt64, in memory: GuestRAM) throws(HypervisorError) {
    try check(offset, count)
    let place = try place(address, count, in: memory)
    var done = 0
    while done < count {
      let run = MappedRun(offset: place + done, count: min(count - done, 64 << 20))
      let got = try refusal(.image, "the file cannot be read") { () throws(SystemError) in
        try file.read(into: memory.mapping, [run], at: offset + done)
      }
      guard got > 0 else {
        throw HypervisorError(.image, "the file became shorter while it was read", offset: offset + done)
      }
      done += got
    }
  }
}
