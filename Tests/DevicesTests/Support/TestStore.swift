import Devices
import Synchronization

/// A disk in an array, read and written in place. Byte `n` of sector `s` begins as `s + n`, so that neither sectors
/// nor bytes can be mistaken.
final class TestStore: SectorStore {
  let capacity: UInt64
  let isReadOnly: Bool

  private struct State {
    var bytes: [UInt8]
    var bad: Set<UInt64> = []
    var flushes = 0
    var failsToFlush = false
  }
  private let state: Mutex<State>
  /// What stores of a size begin with: made once, for there are tests that make many.
  private static let beginnings = Mutex<[Int: [UInt8]]>([:])

  init(bytes count: Int, isReadOnly: Bool = false) {
    capacity = UInt64(count)
    self.isReadOnly = isReadOnly
    let bytes = Self.beginnings.withLock { beginnings in
      let bytes = beginnings[count] ?? (0..<count).map { UInt8(truncatingIfNeeded: $0 / 512 + $0 % 512) }
      beginnings[count] = bytes
      return bytes
    }
    state = Mutex(State(bytes: bytes))
  }

  convenience init(sectors: Int, isReadOnly: Bool = false) {
    self.init(bytes: sectors * 512, isReadOnly: isReadOnly)
  }

  /// Makes 512-byte sectors unreadable and unwritable.
  func spoil(_ sectors: UInt64...) {
    state.withLock { $0.bad.formUnion(sectors) }
  }

  func failFlushes() {
    state.withLock { $0.failsToFlush = true }
  }

  var flushes: Int { state.withLock { $0.flushes } }

  func bytes(sector: Int, count: Int = 1) -> [UInt8] {
    state.withLock { Array($0.bytes[(sector * 512)..<((sector + count) * 512)]) }
  }

  private func isGood(_ state: State, _ offset: UInt64, _ count: Int) -> Bool {
    precondition(offset + UInt64(count) <= capacity, "outside of the disk")
    guard count > 0 else { return true }
    return (offset / 512...(offset + UInt64(count) - 1) / 512).allSatisfy { !state.bad.contains($0) }
  }

  func read(at offset: UInt64, into destination: inout MutableSpan<UInt8>) -> Bool {
    let count = destination.count
    let bytes = state.withLock { state in
      isGood(state, offset, count) ? Array(state.bytes[Int(offset)..<(Int(offset) + count)]) : nil
    }
    guard let bytes else { return false }
    for index in bytes.indices { destination[index] = bytes[index] }
    return true
  }

  func write(at offset: UInt64, from source: Span<UInt8>) -> Bool {
    precondition(!isReadOnly, "a write to a read-only disk")
    var bytes: [UInt8] = []
    for index in source.indices { bytes.append(source[index]) }
    return state.withLock { [bytes] state in
      guard isGood(state, offset, bytes.count) else { return false }
      state.bytes.replaceSubrange(Int(offset)..<(Int(offset) + bytes.count), with: bytes)
      return true
    }
  }

  func flush() -> Bool {
    state.withLock { state in
      state.flushes += 1
      return !state.failsToFlush
    }
  }
}
