internal import Devices
internal import Platform

/// A tap device as the wire of an adapter that knows nothing of virtio: the 12-byte header is all zero towards the host
/// (a whole frame, checksums done) and is left out towards the guest. No offloads are agreed on, so that the host hands
/// over whole frames too.
final class FrameTap: FrameBackend, Sendable {
  /// Length of the tap's header in bytes.
  static let headerCount = 12

  let file: FileDescriptor

  init(_ name: String) throws(HypervisorError) {
    file = try refusal(
      .device, "the tap \(name) cannot be used; it needs root or an owner, and the module tun"
    ) { () throws(SystemError) in try FileDescriptor.tap(name) }
    // Another program may have left offloads on.
    try? file.setTapOffloads(0)
  }

  /// For tests: a descriptor that behaves as a tap does.
  init(_ file: consuming FileDescriptor) {
    self.file = file
  }

  func transmit(_ frame: Span<UInt8>) {
    // A full queue or a tap that is down drops the frame, as a wire would.
    try? file.writeFrame(frame, behind: Self.headerCount)
  }

  func receive(into destination: inout MutableSpan<UInt8>) -> Int? {
    try? file.readFrame(into: &destination, behind: Self.headerCount)
  }
}
