internal import CLinux
internal import Glibc

extension FileDescriptor {
  /// Opens the tap device `name`, making it if it is not there: non-blocking, frames with a 12-byte virtio header.
  public static func tap(_ name: String) throws(SystemError) -> FileDescriptor {
    // SAFETY: the C string lives for the call.
    FileDescriptor(adopting: try systemCall("open the tap device", path: name) { unsafe clinux_tap_open(name) })
  }

  /// Which unfinished frames a tap may hand over: TUN_F_CSUM 1, TUN_F_TSO4 2, TUN_F_TSO6 4.
  public func setTapOffloads(_ flags: UInt32) throws(SystemError) {
    try systemCall("set the tap's offloads") { clinux_tap_offload(rawValue, flags) }
  }

  /// How long the virtio header of a tap's frames is from now on: 10 or 12 bytes.
  public func setTapHeader(count: Int32) throws(SystemError) {
    try systemCall("set the length of the tap's header") { clinux_tap_header(rawValue, count) }
  }

  /// Gives the bytes of a file or block device back to where they came from.
  public func discard(at offset: UInt64, count: UInt64, blockDevice: Bool) throws(SystemError) {
    try systemCall("discard") {
      blockDevice
        ? clinux_block_discard(rawValue, offset, count) : clinux_punch_hole(rawValue, Int64(offset), Int64(count))
    }
  }

  /// Makes the bytes of a file or block device read as zeros.
  public func writeZeros(
    at offset: UInt64, count: UInt64, blockDevice: Bool, keepAllocated: Bool
  ) throws(SystemError) {
    try systemCall("write zeros") {
      blockDevice
        ? clinux_block_zero(rawValue, offset, count)
        : clinux_zero_range(rawValue, Int64(offset), Int64(count), keepAllocated ? 1 : 0)
    }
  }

  /// Brings data to the medium (fdatasync).
  public func synchronizeData() throws(SystemError) {
    try systemCall("fdatasync") { fdatasync(rawValue) }
  }
}

/// A terminal in raw mode: every key arrives as it is pressed. The old mode comes back when the owner goes.
public struct RawTerminal: ~Copyable, Sendable {
  private let descriptor: Int32
  private let saved: [UInt8]

  /// Puts the terminal at `descriptor` into raw mode; nil when it is no terminal.
  public init?(_ descriptor: Int32) {
    var mode = [UInt8](repeating: 0, count: clinux_terminal_room())
    // SAFETY: the buffer is as long as the call asks for.
    let result = unsafe mode.withUnsafeMutableBytes { unsafe clinux_terminal_raw(descriptor, $0.baseAddress) }
    guard result == 0 else { return nil }
    self.descriptor = descriptor
    saved = mode
  }

  deinit {
    // SAFETY: the buffer holds what `clinux_terminal_raw` saved.
    _ = unsafe saved.withUnsafeBytes { unsafe clinux_terminal_restore(descriptor, $0.baseAddress) }
  }
}

/// Signals as far as threads need them.
public enum Signals {
  /// SIGINT.
  public static let interrupt = SIGINT
  /// SIGTERM.
  public static let terminate = SIGTERM
  /// SIGHUP.
  public static let hangUp = SIGHUP
  /// SIGQUIT.
  public static let quit = SIGQUIT
  /// SIGUSR1.
  public static let user1 = SIGUSR1
  /// SIGUSR2.
  public static let user2 = SIGUSR2
  /// SIGPIPE.
  public static let brokenPipe = SIGPIPE
  /// SIGABRT.
  public static let abort = SIGABRT
  /// SIGXFSZ.
  public static let fileSizeExceeded = SIGXFSZ

  /// Makes a signal interrupt system calls and do nothing else.
  public static func makeInterrupting(_ number: Int32) throws(SystemError) {
    try systemCall("sigaction") { clinux_kick_handler(number) }
  }

  /// Lets a signal reach the calling thread.
  public static func unblock(_ number: Int32) throws(SystemError) {
    try systemCall("pthread_sigmask") { clinux_unblock(number) }
  }

  /// Forgets a signal for the whole process, as writers to sockets want of SIGPIPE.
  public static func ignore(_ number: Int32) {
    _ = signal(number, SIG_IGN)
  }
}

/// The kernel's random numbers.
public enum KernelRandom {
  /// Fills all of `destination` with random bytes fit for keys.
  public static func fill(_ destination: inout MutableSpan<UInt8>) {
    // SAFETY: the buffer bounds what is written.
    unsafe destination.withUnsafeMutableBytes { buffer in
      var done = 0
      while done < buffer.count {
        let got = unsafe clinux_random(buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done)
        if got > 0 { done += got }
      }
    }
  }
}

/// Seconds since 1970 (CLOCK_REALTIME), for clocks that guests read.
public enum WallClock {
  /// The time now.
  public static func now() -> (seconds: Int, nanoseconds: Int) {
    var time = timespec()
    // SAFETY: the structure lives for the call.
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return (time.tv_sec, time.tv_nsec)
  }

  /// Nanoseconds since 1970.
  public static func nanoseconds() -> Int64 {
    let time = now()
    return Int64(time.seconds) * 1_000_000_000 + Int64(time.nanoseconds)
  }
}
