internal import Glibc

/// Whole Ethernet frames through a tap that puts a header in front of each (tun(4), IFF_VNET_HDR).
extension FileDescriptor {
  /// Longest header, in bytes.
  private static let longestHeader = 16

  /// Writes `frame` behind `headerCount` zero bytes (at most 16): all of it or nothing, as a tap takes a frame per call.
  public func writeFrame(_ frame: Span<UInt8>, behind headerCount: Int) throws(SystemError) {
    let number = rawValue
    // SAFETY: `writev` only reads the frame, which is borrowed for the call.
    try unsafe frame.withUnsafeBytes { (buffer) throws(SystemError) in
      let body = unsafe UnsafeMutableRawBufferPointer(mutating: buffer)
      _ = try unsafe Self.withHeader(headerCount, body) { unsafe writev(number, $0, 2) }
    }
  }

  /// Reads the next frame into `destination`, leaving out the `headerCount` bytes (at most 16) in front of it. Its
  /// length: what does not fit is lost.
  public func readFrame(
    into destination: inout MutableSpan<UInt8>, behind headerCount: Int
  ) throws(SystemError) -> Int {
    let number = rawValue
    // SAFETY: `readv` writes no more than the buffer's length into it.
    let count = try unsafe destination.withUnsafeMutableBytes { (buffer) throws(SystemError) in
      try unsafe Self.withHeader(headerCount, buffer) { unsafe readv(number, $0, 2) }
    }
    return max(0, count - headerCount)
  }

  private static func withHeader(
    _ headerCount: Int, _ body: UnsafeMutableRawBufferPointer, _ call: (UnsafePointer<iovec>?) -> Int
  ) throws(SystemError) -> Int {
    precondition((0...longestHeader).contains(headerCount))
    var failure: SystemError?
    // SAFETY: the header's bytes are zeroed and both vectors initialised before the call sees them; all live for it.
    let result = unsafe withUnsafeTemporaryAllocation(byteCount: longestHeader, alignment: 8) { header in
      unsafe header.initializeMemory(as: UInt8.self, repeating: 0)
      return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { vectors in
        unsafe vectors.initializeElement(at: 0, to: iovec(iov_base: header.baseAddress, iov_len: headerCount))
        unsafe vectors.initializeElement(at: 1, to: iovec(iov_base: body.baseAddress, iov_len: body.count))
        do throws(SystemError) {
          return try systemCall("move a frame") { unsafe call(UnsafePointer(vectors.baseAddress)) }
        } catch {
          failure = error
          return 0
        }
      }
    }
    if let failure { throw failure }
    return result
  }
}
