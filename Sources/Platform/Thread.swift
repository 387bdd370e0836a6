internal import CLinux
internal import Glibc

/// A kernel thread of its own, outside any pool. It must be joined or detached.
public struct Thread: ~Copyable, @unchecked Sendable {
  private let handle: pthread_t

  /// Runs `body` on a new thread that /proc shows as `name` (15 bytes at most).
  public init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let start = Start(name: name, body: body)
    // SAFETY: the retained box is taken over by the new thread, or released here if there is none.
    let box = unsafe Unmanaged.passRetained(start)
    var thread = pthread_t()
    let code = unsafe pthread_create(
      &thread, nil,
      { raw in
        guard let raw = unsafe raw else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
        unsafe clinux_name_thread(String(start.name.prefix(15)))
        start.body()
        return nil
      }, box.toOpaque())
    guard code == 0 else {
      unsafe box.release()
      throw SystemError("start the thread \(name)", errno: Errno(rawValue: code))
    }
    handle = thread
  }

  /// Waits for the end of the thread.
  public consuming func join() {
    pthread_join(handle, nil)
  }

  /// Lets the thread end on its own, unwaited for.
  public consuming func detach() {
    pthread_detach(handle)
  }

  /// Interrupts a blocking call of the thread by a signal that has a handler.
  public func signal(_ number: Int32) {
    pthread_kill(handle, number)
  }

  /// Tells the calling thread from all others that there are now; never 0 (pthread_self(3)).
  public static var currentIdentity: UInt { pthread_self() }

  /// Takes one of the system's processors from those that the calling thread may run on, unless it is the last.
  ///
  /// - Returns: whether the thread keeps off that processor from now on (sched_setaffinity(2)).
  @discardableResult
  public static func keepOffProcessor(_ number: Int32) throws(SystemError) -> Bool {
    try systemCall("keep a thread off processor \(number)") { clinux_keep_off_processor(number) } > 0
  }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}
