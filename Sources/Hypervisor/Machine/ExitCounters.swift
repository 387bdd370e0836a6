internal import Synchronization

/// Counts what a CPU's thread came back from its guest for. That thread alone writes; any may read.
///
/// On the path of every exit: a relaxed load and a relaxed store of one word, which is one instruction without a lock.
struct ExitCounters: ~Copyable, Sendable {
  /// One count.
  struct Count: ~Copyable, Sendable {
    private let value = Atomic<UInt64>(0)

    @inline(__always)
    func add() { value.store(value.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }

    var current: UInt64 { value.load(ordering: .relaxed) }
  }

  /// Accesses to ports, a string instruction being one.
  let port = Count()
  /// Accesses to memory that is no RAM.
  let memory = Count()
  /// MSRs that KVM leaves to us.
  let register = Count()
  /// The thread was called out of the guest.
  let signal = Count()
  /// All else.
  let other = Count()

  /// The names of the counts, in the order of `current`.
  static let names = ["io", "mmio", "msr", "signal", "other"]

  var current: [UInt64] { [port.current, memory.current, register.current, signal.current, other.current] }
}
