internal import CLinux
internal import Glibc

/// A 64-bit counter that wakes who waits for it (eventfd(2)).
public struct EventDescriptor: ~Copyable, Sendable {
  /// The descriptor, for epoll, ioeventfd and irqfd.
  public let file: FileDescriptor

  /// A new one; throws when the process or the system has too many open files.
  public init(nonBlocking: Bool = true) throws(SystemError) {
    file = FileDescriptor(adopting: try systemCall("eventfd") { clinux_eventfd(nonBlocking ? 1 : 0) })
  }

  /// Adds one and wakes.
  public func signal() throws(SystemError) {
    var one: UInt64 = 1
    // SAFETY: eight bytes of a local are written.
    try systemCall("signal an eventfd") { unsafe Glibc.write(file.rawValue, &one, 8) }
  }

  /// Takes the count and zeroes it; 0 when it was not signalled.
  @discardableResult
  public func take() throws(SystemError) -> UInt64 {
    var value: UInt64 = 0
    do throws(SystemError) {
      // SAFETY: eight bytes of a local are read into.
      try systemCall("read an eventfd") { unsafe Glibc.read(file.rawValue, &value, 8) }
    } catch {
      if error.errno == .wouldBlock { return 0 }
      throw error
    }
    return value
  }
}

/// A timer that becomes readable (timerfd(2), CLOCK_MONOTONIC).
public struct TimerDescriptor: ~Copyable, Sendable {
  /// The descriptor, for polling.
  public let file: FileDescriptor

  /// A new one; throws when the process or the system has too many open files.
  public init() throws(SystemError) {
    file = FileDescriptor(adopting: try systemCall("timerfd_create") { clinux_timerfd() })
  }

  /// Fires once after `nanoseconds` (0 stops it), then every `interval` nanoseconds (0: not again).
  public func set(after nanoseconds: UInt64, every interval: UInt64 = 0) throws(SystemError) {
    try systemCall("timerfd_settime") { clinux_timerfd_set(file.rawValue, nanoseconds, interval) }
  }

  /// How often it fired since the last take.
  @discardableResult
  public func take() throws(SystemError) -> UInt64 {
    var value: UInt64 = 0
    do throws(SystemError) {
      // SAFETY: eight bytes of a local are read into.
      try systemCall("read a timerfd") { unsafe Glibc.read(file.rawValue, &value, 8) }
    } catch {
      if error.errno == .wouldBlock { return 0 }
      throw error
    }
    return value
  }
}

/// Signals as readable events (signalfd(2)). The signals are blocked in the calling thread and in threads started later.
public struct SignalDescriptor: ~Copyable, Sendable {
  /// The descriptor, for polling.
  public let file: FileDescriptor

  /// A new one; throws when the process or the system has too many open files.
  public init(_ signals: [Int32]) throws(SystemError) {
    // SAFETY: the array bounds what the call reads.
    let number = try systemCall("signalfd") {
      unsafe signals.withUnsafeBufferPointer { unsafe clinux_signalfd($0.baseAddress, $0.count) }
    }
    file = FileDescriptor(adopting: number)
  }

  /// The next pending signal's number; nil when there is none.
  public func take() throws(SystemError) -> Int32? {
    do throws(SystemError) {
      return try systemCall("read a signalfd") { clinux_signalfd_take(file.rawValue) }
    } catch {
      if error.errno == .wouldBlock { return nil }
      throw error
    }
  }
}

/// What a descriptor is ready for.
public struct Readiness: OptionSet, Sendable {
  /// Bits of epoll_ctl(2).
  public let rawValue: UInt32

  /// From the bits of the system call.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// EPOLLIN.
  public static let readable = Readiness(rawValue: 0x001)
  /// EPOLLPRI.
  public static let priority = Readiness(rawValue: 0x002)
  /// EPOLLOUT.
  public static let writable = Readiness(rawValue: 0x004)
  /// EPOLLERR, always watched.
  public static let error = Readiness(rawValue: 0x008)
  /// EPOLLHUP, always watched.
  public static let hangUp = Readiness(rawValue: 0x010)
}

/// Waits for many descriptors at once (epoll(7), level-triggered). A token of the caller's choice names each.
public struct Poller: ~Copyable, Sendable {
  private let file: FileDescriptor

  /// A new one; throws when the process or the system has too many open files.
  public init() throws(SystemError) {
    file = FileDescriptor(adopting: try systemCall("epoll_create1") { clinux_epoll_create() })
  }

  /// Watches a descriptor. It must be removed before it is closed if a duplicate of it stays open.
  public func add(_ descriptor: Int32, _ interest: Readiness, token: UInt64) throws(SystemError) {
    try change(1, descriptor, interest, token)
  }

  /// Changes what a watched descriptor is watched for.
  public func modify(_ descriptor: Int32, _ interest: Readiness, token: UInt64) throws(SystemError) {
    try change(3, descriptor, interest, token)
  }

  /// Stops watching a descriptor.
  public func remove(_ descriptor: Int32) throws(SystemError) {
    try change(2, descriptor, [], 0)
  }

  /// Waits up to `timeout` milliseconds (-1: for ever) and returns what is ready; empty on timeout.
  public func wait(timeout: Int32 = -1) throws(SystemError) -> [(token: UInt64, readiness: Readiness)] {
    var tokens = [UInt64](repeating: 0, count: 32)
    var events = [UInt32](repeating: 0, count: 32)
    // SAFETY: both arrays have room for the 32 entries that the call fills at most.
    let count = try systemCall("epoll_wait") {
      unsafe tokens.withUnsafeMutableBufferPointer { tokens in
        unsafe events.withUnsafeMutableBufferPointer { events in
          unsafe clinux_epoll_wait(file.rawValue, tokens.baseAddress, events.baseAddress, timeout)
        }
      }
    }
    return (0..<Int(count)).map { (token: tokens[$0], readiness: Readiness(rawValue: events[$0])) }
  }

  private func change(
    _ operation: Int32, _ descriptor: Int32, _ interest: Readiness, _ token: UInt64
  ) throws(SystemError) {
    try systemCall("epoll_ctl") { clinux_epoll_control(file.rawValue, operation, descriptor, interest.rawValue, token) }
  }
}

/// Two ends of a pipe.
public struct Pipe: ~Copyable {
  /// The end to read from.
  public let reader: FileDescriptor
  /// The end to write to.
  public let writer: FileDescriptor

  /// A new one; throws when the process or the system has too many open files.
  public init() throws(SystemError) {
    var ends: (Int32, Int32) = (-1, -1)
    // SAFETY: the kernel writes two integers into the tuple.
    try systemCall("pipe2") {
      unsafe withUnsafeMutableBytes(of: &ends) { raw in
        unsafe clinux_pipe(raw.baseAddress?.assumingMemoryBound(to: Int32.self))
      }
    }
    reader = FileDescriptor(adopting: ends.0)
    writer = FileDescriptor(adopting: ends.1)
  }
}

/// Times that never go back.
public enum MonotonicClock {
  /// Nanoseconds since an arbitrary point (CLOCK_MONOTONIC).
  public static func now() -> UInt64 {
    var time = timespec()
    // SAFETY: the structure lives for the call.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Nanoseconds since power-on (CLOCK_BOOTTIME).
  public static func sinceBoot() -> UInt64 {
    var time = timespec()
    // SAFETY: the structure lives for the call.
    unsafe clock_gettime(CLOCK_BOOTTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Puts this thread to sleep.
  public static func sleep(milliseconds: UInt32) {
    sleep(microseconds: milliseconds * 1000)
  }

  /// Lets the calling thread sleep for so long.
  public static func sleep(microseconds: UInt32) {
    usleep(microseconds)
  }
}
