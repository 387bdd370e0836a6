internal import Binary
internal import CArchive
internal import CZlib

/// Bare deflate (RFC 1951), by zlib.
enum Deflate {
  /// `count` bytes out of `packed`, which may have others behind it; nil where it does not hold as many.
  static func unpack(_ packed: [UInt8], to count: Int) -> [UInt8]? {
    // SAFETY: the structure is zlib's own, set up by it here and given back to it below; the version is its text.
    var stream = unsafe z_stream()
    guard unsafe inflateInit2_(&stream, -15, zlibVersion(), Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      return nil
    }
    defer { unsafe inflateEnd(&stream) }
    var result = [UInt8](repeating: 0, count: count)
    var left = count
    // SAFETY: both buffers live for the call and come with their lengths, which zlib keeps to; it does not write to
    // what it reads from, whatever its pointer's type says.
    unsafe packed.withUnsafeBufferPointer { source in
      unsafe result.withUnsafeMutableBufferPointer { target in
        unsafe stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
        unsafe stream.avail_in = UInt32(source.count)
        unsafe stream.next_out = target.baseAddress
        unsafe stream.avail_out = UInt32(target.count)
        _ = unsafe inflate(&stream, Z_FINISH)
        left = unsafe Int(stream.avail_out)
      }
    }
    return left == 0 ? result : nil
  }
}

/// A frame of Zstandard's (RFC 8878), unpacked by libarchive.
enum ZstandardFrame {
  /// How many bytes the frame has that `bytes` begins with (3.1.1); nil where it does not begin with one, or ends before
  /// it does.
  static func length(_ bytes: [UInt8]) -> Int? {
    let reader = ByteReader(bytes)
    do throws(TruncatedInput) {
      guard try reader.little(UInt32.self, at: 0) == 0xFD2F_B528 else { return nil }
      let descriptor = try reader.little(UInt8.self, at: 4)
      let isSingle = descriptor & 0x20 != 0
      let dictionary = [0, 1, 2, 4][Int(descriptor & 3)]
      let contentSize = [isSingle ? 1 : 0, 2, 4, 8][Int(descriptor >> 6)]
      var offset = 5 + (isSingle ? 0 : 1) + dictionary + contentSize
      while true {
        // "Blocks": three bytes with the mark of the last one, the type, and the size.
        let low = try reader.little(UInt16.self, at: offset)
        let block = UInt32(low) | UInt32(try reader.little(UInt8.self, at: offset + 2)) << 16
        let type = block >> 1 & 3
        guard type != 3 else { return nil }
        // One byte that is repeated stands for a whole block of the type 1.
        offset += 3 + (type == 1 ? 1 : Int(block >> 3))
        if block & 1 != 0 { break }
      }
      offset += descriptor & 4 != 0 ? 4 : 0
      return offset <= bytes.count ? offset : nil
    } catch {
      return nil
    }
  }

  /// `count` bytes out of the frame that `packed` begins with, whatever is behind it; nil where it does not hold as many.
  static func unpack(_ packed: [UInt8], to count: Int) -> [UInt8]? {
    guard let length = length(packed) else { return nil }
    do throws(ImageError) {
      let frame = try PackedImage(Array(packed[..<length]))
      var bytes: [UInt8] = []
      while bytes.count < count {
        let more = try frame.read(upTo: count - bytes.count)
        if more.isEmpty { return nil }
        bytes += more
      }
      return bytes
    } catch {
      return nil
    }
  }
}

/// Reads what is packed by gzip, xz, zstd or bzip2 from its beginning to its end, by libarchive.
///
/// Confined to the thread that made it.
@safe
public final class PackedImage {
  private let archive: OpaquePointer
  /// The file in memory, where it is one; libarchive reads from it until the handle is freed.
  @unsafe private var retained: UnsafeMutableRawBufferPointer?

  /// Opens a file. Throws where none of the formats is in it.
  public convenience init(_ path: String) throws(ImageError) {
    try self.init()
    // SAFETY: the path's C string lives for the call that takes it.
    try begin(unsafe archive_read_open_filename(archive, path, 1 << 20))
  }

  /// Opens what is in memory.
  convenience init(_ bytes: [UInt8]) throws(ImageError) {
    try self.init()
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
    unsafe copy.copyBytes(from: bytes)
    unsafe retained = copy
    // SAFETY: the copy lives until deinit has freed the handle.
    try begin(unsafe archive_read_open_memory(archive, copy.baseAddress, bytes.count))
  }

  private init() throws(ImageError) {
    // SAFETY: the handle is freed in deinit, once.
    guard let archive = unsafe archive_read_new() else { throw ImageError("cannot be unpacked: there is no memory") }
    unsafe self.archive = archive
    unsafe archive_read_support_format_raw(archive)
    // These and no others: libarchive has programs for some that it cannot read itself.
    unsafe archive_read_support_filter_gzip(archive)
    unsafe archive_read_support_filter_xz(archive)
    unsafe archive_read_support_filter_zstd(archive)
    unsafe archive_read_support_filter_bzip2(archive)
  }

  deinit {
    unsafe archive_read_free(archive)
    unsafe retained?.deallocate()
  }

  /// Goes to the one member that a packed file has.
  private func begin(_ opened: Int32) throws(ImageError) {
    var entry: OpaquePointer?
    // SAFETY: libarchive fills in the entry's pointer, which is not used.
    guard opened == ARCHIVE_OK, unsafe archive_read_next_header(archive, &entry) == ARCHIVE_OK else { throw failure }
  }

  /// The next bytes, at most `count`; none at the end.
  public func read(upTo count: Int) throws(ImageError) -> [UInt8] {
    var got = 0
    // SAFETY: libarchive writes at most `count` bytes into the buffer.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      got = unsafe archive_read_data(archive, buffer.baseAddress, count)
      initialized = max(got, 0)
    }
    if got < 0 { throw failure }
    return bytes
  }

  private var failure: ImageError {
    // SAFETY: the error's text lives until the next call on the handle, and is copied here.
    let text = unsafe archive_error_string(archive).map { unsafe String(cString: $0) } ?? "it is damaged"
    return ImageError("cannot be unpacked: \(text)")
  }
}
