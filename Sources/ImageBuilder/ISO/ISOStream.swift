internal import CISOFS
internal import Platform
internal import Synchronization

/// An image in the making: libisofs lays it out when this is made, and its thread writes as `read` takes.
///
/// Concurrency model: libisofs queues its messages for the whole process, so only one stream exists at a time;
/// `ISOLibrary.acquire` waits for the others.
// SAFETY: the pointers come from libisofs in init, never leave this type, and are given back once, in deinit.
@safe
struct ISOStream: ~Copyable {
  private static let chunk = 1 << 20  // bytes; whole blocks

  /// Bytes of the image.
  let size: Int
  @unsafe private let image: OpaquePointer
  @unsafe private let source: UnsafeMutablePointer<burn_source>

  /// Lays the image out: names, sizes and places are settled then.
  init(_ tree: ISOImage) throws(BuildError) {
    try ISOLibrary.acquire()
    var made: OpaquePointer?
    var stream: UnsafeMutablePointer<burn_source>?
    do throws(BuildError) {
      // SAFETY: libisofs writes the new image to `made`; it is released in deinit or below.
      try unsafe ISOLibrary.check("start an image", iso_image_new(tree.volumeIdentifier, &made))
      guard let image = unsafe made else { throw BuildError(.content, "libisofs made no image") }
      try unsafe ISOTree.fill(image, from: tree)
      unsafe stream = try ISOOptions.apply(tree, to: image)
    } catch {
      if let image = unsafe made { unsafe iso_image_unref(image) }
      ISOLibrary.release()
      throw error
    }
    guard let image = unsafe made, let source = unsafe stream else {
      ISOLibrary.release()
      throw BuildError(.content, "libisofs made no image")
    }
    unsafe self.image = image
    unsafe self.source = source
    unsafe size = Int(cisofs_source_size(source))
  }

  deinit {
    // SAFETY: both were made in init and are used by nobody else; the thread ends before its stream is freed.
    unsafe cisofs_source_free(source)
    unsafe iso_image_unref(image)
    ISOLibrary.release()
  }

  /// The bytes from `offset` on, a megabyte at most; nil at the end. Calls must ask for one after the other.
  func read(at offset: Int) throws(BuildError) -> [UInt8]? {
    // libisofs drops what does not fill the buffer at the end, so no more is asked for than there is.
    let wanted = min(Self.chunk, size - offset)
    guard wanted > 0 else { return nil }
    var count: Int32 = 0
    // SAFETY: at most `wanted` bytes are written to a buffer of that size.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: wanted) { buffer, initialized in
      unsafe count = cisofs_source_read(source, buffer.baseAddress, Int32(wanted))
      initialized = max(0, Int(count))
    }
    try ISOLibrary.checkMessages("write the image")
    guard count == wanted else {
      throw BuildError(.content, "libisofs ended the image at byte \(offset) of \(size)")
    }
    return bytes
  }
}

/// The process-wide state of libisofs: its initialisation and its queue of messages.
enum ISOLibrary {
  private static let turn = Turn()

  /// Waits for the library to be free.
  static func acquire() throws(BuildError) {
    turn.take()
    guard initialized else {
      turn.give()
      throw BuildError(.content, "libisofs does not start")
    }
    drain()
  }

  /// Lets the next one use the library.
  static func release() {
    turn.give()
  }

  private static let initialized: Bool = {
    // SAFETY: called once; the strings are copied by libisofs.
    guard iso_init() >= 0 else { return false }
    return unsafe withMutableText("SORRY") { queue in
      unsafe withMutableText("NEVER") { print in
        unsafe withMutableText("") { id in unsafe iso_set_msgs_severities(queue, print, id) > 0 }
      }
    }
  }()

  /// Throws for a call that failed, with what libisofs says about it.
  static func check(_ doing: String, _ result: Int32) throws(BuildError) {
    guard result < 0 else { return }
    throw BuildError(.content, "cannot \(doing): \(nextMessage() ?? text(of: result))")
  }

  /// Throws when a severe message waits: libisofs goes on with zeros where a file cannot be read.
  static func checkMessages(_ doing: String) throws(BuildError) {
    if let message = nextMessage() { throw BuildError(.badFile, "cannot \(doing): \(message)") }
  }

  private static func text(of code: Int32) -> String {
    // SAFETY: the call returns a static text or NULL.
    guard let text = unsafe iso_error_to_msg(code) else { return "error \(code)" }
    return unsafe String(cString: text)
  }

  private static func drain() {
    while nextMessage() != nil {}
  }

  private static func nextMessage() -> String? {
    var text = [CChar](repeating: 0, count: 4096)  // ISO_MSGS_MESSAGE_LEN
    var severity = [CChar](repeating: 0, count: 128)
    var code: Int32 = 0
    var id: Int32 = 0
    // SAFETY: both buffers are as long as libisofs.h demands, and end in NUL.
    let found = unsafe withMutableText("SORRY") { least in
      unsafe iso_obtain_msgs(least, &code, &id, &text, &severity)
    }
    guard found > 0 else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// Lets one user in at a time, on whatever thread it ends.
private final class Turn: Sendable {
  private let taken = Mutex(false)

  func take() {
    while !taken.withLock({ taken in
      defer { taken = true }
      return !taken
    }) {
      MonotonicClock.sleep(milliseconds: 5)
    }
  }

  func give() {
    taken.withLock { $0 = false }
  }
}

/// Hands `text` to a C function that wants `char *` and does not keep it.
@unsafe
func withMutableText<T>(_ text: String, _ body: (UnsafeMutablePointer<CChar>) -> T) -> T {
  // SAFETY: the copy lives for the call.
  unsafe text.withCString { constant in unsafe body(UnsafeMutablePointer(mutating: constant)) }
}
