internal import Binary
internal import Platform

/// Reads single files of an ISO 9660 image or medium (ECMA-119, 4th edition) by the plain names of its primary tree.
/// The content may be hostile: every read is bounded.
struct ISOReader: ~Copyable {
  /// Bytes of the volume, from the first to the last that belongs to it (section 8.4.8, "Volume Space Size").
  let length: Int
  let descriptors: VolumeDescriptors
  private let file: FileDescriptor
  private let path: String
  private let root: Extent

  private static let block = 2048
  private static let directoryLimit = 1 << 20  // bytes

  /// Where a file or directory lies, in bytes.
  private struct Extent {
    let start: Int
    let length: Int
    let isDirectory: Bool
  }

  /// Opens the image at `path`, which may be a device.
  init(_ path: String) throws(BuildError) {
    let file = try attempt("cannot read the image") { () throws(SystemError) in try FileDescriptor(opening: path) }
    let blocks = try Self.read(
      file, path, at: VolumeDescriptors.first * Self.block, count: VolumeDescriptors.limit * Self.block)
    guard let descriptors = VolumeDescriptors(blocks) else {
      throw BuildError(
        .badFile, "\(path) is no ISO 9660 image", hint: "take an image that 'roost build' made")
    }
    let reader = ByteReader(descriptors.primary)
    guard let blocks = try? reader.little(UInt32.self, at: 80), let record = try? reader.slice(at: 156, length: 34),
      let root = Self.extent(Array(record)), root.isDirectory
    else {
      throw BuildError(.badFile, "\(path) has a damaged volume descriptor", hint: "fetch or build the image again")
    }
    self.descriptors = descriptors
    length = Int(blocks) * Self.block
    self.root = root
    self.path = path
    self.file = file
  }

  /// The bytes of the file of that absolute path; nil where there is none.
  ///
  /// - Throws: `badFile` when it is longer than `limit`, or the image is shorter than it says.
  func file(_ name: String, limit: Int) throws(BuildError) -> [UInt8]? {
    var place = root
    for component in name.split(separator: "/") {
      guard place.isDirectory, let next = try entry(String(component), of: place) else { return nil }
      place = next
    }
    guard !place.isDirectory else { return nil }
    guard place.length <= limit else {
      throw BuildError(.badFile, "\(name) in \(path) has \(place.length) bytes, more than it can have")
    }
    return try content(place)
  }

  private func content(_ place: Extent) throws(BuildError) -> [UInt8] {
    let bytes = try Self.read(file, path, at: place.start, count: place.length)
    guard bytes.count == place.length else {
      throw BuildError(.badFile, "\(path) is cut off", hint: "fetch or build the image again")
    }
    return bytes
  }

  private func entry(_ name: String, of directory: Extent) throws(BuildError) -> Extent? {
    guard directory.length <= Self.directoryLimit else {
      throw BuildError(.badFile, "\(path) has a directory of \(directory.length) bytes, more than it can have")
    }
    let bytes = try content(directory)
    var offset = 0
    while offset < bytes.count {
      let count = Int(bytes[offset])
      guard count > 0 else {
        // Records do not cross blocks (section 6.8.1.1).
        offset = (offset / Self.block + 1) * Self.block
        continue
      }
      guard count >= 34, offset + count <= bytes.count else { return nil }
      let record = Array(bytes[offset..<(offset + count)])
      if let found = Self.name(record), found == name.uppercased() { return Self.extent(record) }
      offset += count
    }
    return nil
  }

  /// A record's name without its version, such as `MANIFEST.JSON`.
  private static func name(_ record: [UInt8]) -> String? {
    let count = Int(record[32])
    guard count > 0, 33 + count <= record.count else { return nil }
    let text = String(decoding: record[33..<(33 + count)], as: UTF8.self)
    let bare = text.prefix { $0 != ";" }
    return String(bare.hasSuffix(".") ? bare.dropLast() : bare).uppercased()
  }

  /// A record's place (section 9.1); nil for one in pieces, which no file that is asked for is.
  private static func extent(_ record: [UInt8]) -> Extent? {
    let reader = ByteReader(record)
    guard let block = try? reader.little(UInt32.self, at: 2), let length = try? reader.little(UInt32.self, at: 10),
      let flags = try? reader.little(UInt8.self, at: 25), flags & 0x80 == 0
    else { return nil }
    return Extent(start: Int(block) * Self.block, length: Int(length), isDirectory: flags & 2 != 0)
  }

  private static func read(
    _ file: borrowing FileDescriptor, _ path: String, at offset: Int, count: Int
  ) throws(BuildError) -> [UInt8] {
    var bytes: [UInt8] = []
    do throws(SystemError) {
      while bytes.count < count {
        let more = try file.read(upTo: count - bytes.count, at: offset + bytes.count)
        if more.isEmpty { break }
        bytes += more
      }
    } catch {
      throw BuildError(error, "cannot read \(path)")
    }
    return bytes
  }
}
