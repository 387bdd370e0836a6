internal import DiskImages
internal import FoundationEssentials
internal import Manifest
internal import Platform

/// A disk image in a file of the control domain's, whatever form it has: as it is, packed, or qcow2. Other containers
/// are read by `qemu-img`, where it is there.
///
/// Confined to the thread that made it.
final class ImageFile {
  /// Bytes that are looked at, and written, at once: what is zero in all of such a piece takes no room.
  static let granule = GuestStorage.chunkBytes

  private enum Form {
    case raw
    case packed
    case qcow2(QCOW2Image<FileBytes>)
    case foreign(format: String, program: String)
  }

  private let path: String
  private let file: FileBytes
  private let form: Form
  /// Bytes of the disk: what the file tells of it, or what was counted.
  let size: Int
  /// Bytes that a pool needs for it at most, where that was found out without reading it.
  private let most: Int

  /// Looks at a file. What is packed is read once to find out how large it is. `program` is a `qemu-img`.
  init(_ path: String, program: String = "qemu-img") throws(StorageError) {
    self.path = path
    file = try storage("read the disk image \(path)") { () throws(SystemError) in try FileBytes(path) }
    guard file.length > 0 else { throw StorageError(.plan, "\(path) is empty: it is no disk image") }
    let head = try Self.read(path) { [file] () throws(ImageError) in
      try file.bytes(at: 0, count: min(file.length, ImageForm.objectionBytes))
    }
    switch ImageForm(of: head) {
    case .raw:
      form = .raw
      size = file.length
      most = size
    case .packed:
      form = .packed
      let counted = try Self.count(packed: path)
      (size, most) = (counted.size, counted.data)
    case .container("qcow2"):
      let file = file
      let image = try Self.read(path) { () throws(ImageError) in
        try QCOW2Image(file, largest: Limits.disk.upperBound)
      }
      form = .qcow2(image)
      size = image.size
      most = size
    case .container(let format):
      if let objection = ImageForm.objection(head) { throw Self.refusal(path, objection) }
      let found = try Self.inspect(path, format: format, program: try Self.program(program, for: path, format))
      form = .foreign(format: format, program: found.program)
      (size, most) = (found.size, found.data)
    }
    guard size > 0 else { throw StorageError(.plan, "\(path) holds a disk of no bytes") }
    guard size <= Limits.disk.upperBound else {
      throw StorageError(
        .plan,
        "\(path) holds a disk of \(size >> 30) GiB, and \(Limits.disk.upperBound >> 30) GiB are the most that one can have"
      )
    }
  }

  /// Throws where the image's data finds no room in `free` bytes. Reads it where what is known of it does not tell.
  func check(room free: Int) throws(StorageError) {
    guard most > free else { return }
    let data: Int =
      switch form {
      case .raw, .qcow2: try countData()
      case .packed, .foreign: most
      }
    if let problem = Self.roomProblem(path, size: size, data: data, free: free) { throw problem }
  }

  /// What is said where `data` bytes do not fit into `free`.
  static func roomProblem(_ path: String, size: Int, data: Int, free: Int) -> StorageError? {
    guard data > free else { return nil }
    return StorageError(
      .plan,
      "\(path) is a disk of \(mebibytes(size)) MiB with \(mebibytes(data)) MiB on it, and the guests' storage has room "
        + "for \(free >> 20) MiB: `roost storage grow` makes room, and so does removing disks")
  }

  /// Whole mebibytes that so many bytes need.
  static func mebibytes(_ bytes: Int) -> Int { (bytes >> 20) + (bytes % (1 << 20) == 0 ? 0 : 1) }

  /// Writes the image to a device, or a file, of zeros. What is zero is left out: it takes no room.
  func write(to device: String, progress: (Int) -> Void) throws(StorageError) {
    var told = -1
    func tell(_ place: Int) {
      let percent = min(100, place * 100 / size)
      guard percent > told else { return }
      told = percent
      progress(percent)
    }
    tell(0)
    if case .foreign(let format, let program) = form {
      try convert(format, program, to: device, tell: { tell(size / 100 * $0) })
      return tell(size)
    }
    let target = try storage("open \(device)") { () throws(SystemError) in
      try FileDescriptor(opening: device, .readWrite)
    }
    try read { place, bytes throws(StorageError) in
      try storage("copy \(path) to \(device)") { () throws(SystemError) in
        for range in Self.filled(bytes, at: place) {
          try target.writeAll(Array(bytes[range]), at: place + range.lowerBound)
        }
      }
      tell(place + bytes.count)
    }
    try storage("copy \(path) to \(device)") { () throws(SystemError) in try target.synchronize() }
    tell(size)
  }

  // MARK: Reading

  /// Calls `body` with what the disk holds, in order; holes are left out.
  private func read(_ body: (Int, [UInt8]) throws(StorageError) -> Void) throws(StorageError) {
    switch form {
    case .raw:
      var place = 0
      while place < size {
        let bytes = try Self.read(path) { [file, size] () throws(ImageError) in
          try file.bytes(at: place, count: min(1 << 20, size - place))
        }
        try body(place, bytes)
        place += bytes.count
      }
    case .packed:
      let packed = try Self.read(path) { [path] () throws(ImageError) in try PackedImage(path) }
      var place = 0
      while true {
        let bytes = try Self.piece(packed, path)
        if bytes.isEmpty { break }
        guard bytes.count <= size - place else { throw StorageError(.plan, "\(path) was changed while it was read") }
        try body(place, bytes)
        place += bytes.count
      }
    case .qcow2(var image):
      while true {
        let found = try Self.read(path) { () throws(ImageError) -> (Int, [UInt8])? in
          guard let cluster = try image.nextCluster() else { return nil }
          return (cluster.place, try image.bytes(of: cluster))
        }
        guard let (place, bytes) = found else { break }
        try body(place, bytes)
      }
    case .foreign: break  // `qemu-img` reads it
    }
  }

  /// Bytes that the pool needs for it.
  private func countData() throws(StorageError) -> Int {
    var count = DataCount()
    try read { place, bytes throws(StorageError) in count.take(bytes, at: place) }
    return count.bytes
  }

  /// How large what is packed is, and what of it is not zero.
  private static func count(packed path: String) throws(StorageError) -> (size: Int, data: Int) {
    let packed = try read(path) { () throws(ImageError) in try PackedImage(path) }
    var count = DataCount()
    var size = 0
    while true {
      let bytes = try piece(packed, path)
      if bytes.isEmpty { break }
      if size == 0, case .container(let format) = ImageForm(of: bytes) {
        throw refusal(path, "has a \(format) file in it, which can only be read unpacked")
      }
      count.take(bytes, at: size)
      size += bytes.count
      // What unpacks without an end is not read to it.
      guard size <= Limits.disk.upperBound else { break }
    }
    return (size, count.bytes)
  }

  /// The next mebibyte of what is packed, or what is left of it.
  private static func piece(_ packed: PackedImage, _ path: String) throws(StorageError) -> [UInt8] {
    try read(path) { () throws(ImageError) in
      var bytes: [UInt8] = []
      while bytes.count < 1 << 20 {
        let more = try packed.read(upTo: 1 << 20 - bytes.count)
        if more.isEmpty { break }
        bytes += more
      }
      return bytes
    }
  }

  /// The pieces of `bytes` that are not zero, of the granules that a disk has from `place` on.
  static func filled(_ bytes: [UInt8], at place: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + granule - (place + start) % granule)
      if bytes[start..<end].contains(where: { $0 != 0 }) { ranges.append(start..<end) }
      start = end
    }
    return ranges
  }

  /// Counts the pool's chunks that data needs, which comes in the disk's order.
  struct DataCount {
    private(set) var bytes = 0
    private var last = -1

    mutating func take(_ data: [UInt8], at place: Int) {
      for range in ImageFile.filled(data, at: place) {
        let chunk = (place + range.lowerBound) / ImageFile.granule
        if chunk != last { bytes += ImageFile.granule }
        last = chunk
      }
    }
  }

  private static func read<T>(_ path: String, _ body: () throws(ImageError) -> T) throws(StorageError) -> T {
    do throws(ImageError) {
      return try body()
    } catch {
      throw refusal(path, error.description)
    }
  }

  private static func refusal(_ path: String, _ words: String) -> StorageError {
    StorageError(
      .plan,
      "\(path) \(words). Make a plain image of it where all its parts are: qemu-img convert -O raw IMAGE disk.img")
  }

  // MARK: What qemu-img reads

  private static func program(_ name: String, for path: String, _ format: String) throws(StorageError) -> String {
    do throws(StorageError) {
      return try Tool.find(name, package: "qemu-utils")
    } catch {
      throw StorageError(
        .plan,
        "\(path) is a \(format) file, which takes qemu-img, and the control domain has none: give the recipe "
          + "`control-domain: {packages: [qemu-utils]}`, or make a plain image of it on a workstation: "
          + "qemu-img convert -O raw IMAGE disk.img")
    }
  }

  /// A part of a disk as `qemu-img map --output=json` tells of it.
  private struct Extent: Decodable {
    let length: Int
    let depth: Int
    let data: Bool
  }

  private struct Information: Decodable {
    let size: Int

    private enum CodingKeys: String, CodingKey {
      case size = "virtual-size"
    }
  }

  private static func inspect(
    _ path: String, format: String, program: String
  ) throws(StorageError) -> (size: Int, data: Int, program: String) {
    func ask<T: Decodable>(_ verb: String, as _: T.Type) throws(StorageError) -> T {
      let text = try Tool.succeed(
        [program, verb, "--output=json", "-f", format, path], patience: 300, doing: "look into \(path)")
      guard let value = try? JSONDecoder().decode(T.self, from: Data(text.utf8)) else {
        throw StorageError(.plan, "what qemu-img says of \(path) is not understood")
      }
      return value
    }
    let size = try ask("info", as: Information.self).size
    let extents = try ask("map", as: [Extent].self)
    if extents.contains(where: { $0.depth != 0 }) { throw refusal(path, "is only a difference to another file") }
    let data = extents.reduce(0) { $0 + ($1.data ? $1.length : 0) }
    return (size, min(data, size), program)
  }

  private func convert(
    _ format: String, _ program: String, to device: String, tell: (Int) -> Void
  ) throws(StorageError) {
    let words = [
      program, "convert", "-p", "-n", "--target-is-zero", "-S", "\(Self.granule)", "-f", format, "-O", "raw", path,
      device,
    ]
    let outcome = try Tool.run(words, patience: Self.patience) { text in
      // Such as "    (12.50/100%)" and a return to the line's beginning.
      if let number = text.split(separator: "(").last?.split(separator: "/").first.flatMap({ Double($0) }) {
        tell(Int(max(0, min(number, 100))))
      }
    }
    guard outcome.status.isSuccess else {
      let said = outcome.text.split(whereSeparator: \.isNewline).last.map(String.init) ?? "\(outcome.status)"
      throw StorageError(.system, "qemu-img cannot copy \(path) to \(device): \(said)")
    }
  }

  /// Seconds that `qemu-img` may take.
  private static let patience = 3500
}

/// A file as the readers of images want it.
private final class FileBytes: ImageBytes {
  private let file: FileDescriptor
  let length: Int

  init(_ path: String) throws(SystemError) {
    file = try FileDescriptor(opening: path)
    length = try file.length()
  }

  func bytes(at offset: Int, count: Int) throws(ImageError) -> [UInt8] {
    do throws(SystemError) {
      var bytes = try file.read(upTo: count, at: offset)
      while bytes.count < count {
        let more = try file.read(upTo: count - bytes.count, at: offset + bytes.count)
        if more.isEmpty { throw SystemError("read a file that shrank meanwhile", errno: .inputOutput) }
        bytes += more
      }
      return bytes
    } catch {
      throw ImageError("cannot be read: \(error)")
    }
  }
}
