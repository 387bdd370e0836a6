internal import CLinux
internal import Glibc

/// A descriptor that can be kept in an array, and taken out of it once.
public final class DescriptorBox: Sendable {
  /// The descriptor, which is closed with the box.
  public let file: FileDescriptor

  /// Keeps `file`.
  public init(_ file: consuming FileDescriptor) {
    self.file = file
  }
}

extension FileDescriptor {
  /// Descriptors that one message may carry.
  public static var descriptorRoom: Int { Int(CLINUX_DESCRIPTOR_ROOM) }

  /// Sends bytes to the other end of a unix socket, and with them duplicates of `descriptors` (unix(7), SCM_RIGHTS): at
  /// most `descriptorRoom`. How many bytes were taken; the descriptors went with the first.
  public func send(_ bytes: [UInt8], with descriptors: [Int32]) throws(SystemError) -> Int {
    // SAFETY: both buffers are valid for the call, and their counts bound what is read.
    try systemCall("send descriptors") {
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe descriptors.withUnsafeBufferPointer { numbers in
          unsafe clinux_send(rawValue, bytes.baseAddress, bytes.count, numbers.baseAddress, numbers.count)
        }
      }
    }
  }

  /// Receives up to `count` bytes of a unix socket and the descriptors that came with them; nothing at its end.
  public func receive(upTo count: Int) throws(SystemError) -> (bytes: [UInt8], descriptors: [DescriptorBox]) {
    var bytes = [UInt8](repeating: 0, count: count)
    var numbers = [Int32](repeating: -1, count: Self.descriptorRoom)
    var numberCount = 0
    // SAFETY: both buffers are valid for the call, which fills no more than their counts.
    let got = try systemCall("receive") {
      unsafe bytes.withUnsafeMutableBytes { bytes in
        unsafe numbers.withUnsafeMutableBufferPointer { numbers in
          unsafe clinux_receive(rawValue, bytes.baseAddress, bytes.count, numbers.baseAddress, &numberCount)
        }
      }
    }
    return (Array(bytes.prefix(got)), numbers.prefix(numberCount).map { DescriptorBox(FileDescriptor(adopting: $0)) })
  }
}
