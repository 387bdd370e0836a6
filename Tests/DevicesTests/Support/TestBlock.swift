import Devices
import Synchronization

extension VirtioPCI {
  /// The end of one operation of a disk.
  func complete<Memory, Backend>(
    _ id: UInt64, with result: BlockResult
  ) where Device == VirtioBlock<Memory, Backend> {
    complete([BlockCompletion(id: id, result: result)])
  }

  /// The end of one operation of a target.
  func complete<Memory, Backend>(
    _ id: UInt64, with result: BlockResult
  ) where Device == VirtioSCSI<Memory, Backend> {
    complete([BlockCompletion(id: id, result: result)])
  }
}

/// A disk in an array. Operations complete at once, or when the test says.
final class TestDisk: BlockBackend {
  let memory: TestMemory
  let capacity: UInt64
  let isReadOnly: Bool
  let canDiscard: Bool
  let isDeferred: Bool
  var identifier: String { "roost-test-disk" }

  private struct State {
    var bytes: [UInt8]
    var waiting: [BlockOperation] = []
    var kinds: [String] = []
  }
  private let state: Mutex<State>

  init(memory: TestMemory, sectors: Int = 64, isReadOnly: Bool = false, canDiscard: Bool = true, deferred: Bool = false)
  {
    self.memory = memory
    self.isReadOnly = isReadOnly
    self.canDiscard = canDiscard
    isDeferred = deferred
    capacity = UInt64(sectors * 512)
    state = Mutex(
      State(bytes: (0..<sectors).flatMap { repeatElement(UInt8(truncatingIfNeeded: $0), count: 512) }))
  }

  func submit(_ operation: BlockOperation) -> BlockResult? {
    state.withLock { $0.kinds.append("\(operation.kind)") }
    if isDeferred {
      state.withLock { $0.waiting.append(operation) }
      return nil
    }
    return perform(operation)
  }

  /// What was submitted and not yet done.
  func takeWaiting() -> [BlockOperation] {
    state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
  }

  var kinds: [String] { state.withLock { $0.kinds } }
  func bytes(sector: Int, count: Int = 512) -> [UInt8] {
    state.withLock { Array($0.bytes[(sector * 512)..<(sector * 512 + count)]) }
  }

  func perform(_ operation: BlockOperation) -> BlockResult {
    var offset = Int(operation.offset)
    do {
      switch operation.kind {
      case .read:
        for segment in operation.segments {
          let part = state.withLock { Array($0.bytes[offset..<(offset + segment.count)]) }
          try memory.write(part, at: segment.address)
          offset += segment.count
        }
      case .write:
        for segment in operation.segments {
          let part = try memory.bytes(at: segment.address, count: segment.count)
          state.withLock { $0.bytes.replaceSubrange(offset..<(offset + part.count), with: part) }
          offset += segment.count
        }
      case .discard, .writeZeroes:
        let count = Int(operation.count)
        state.withLock {
          $0.bytes.replaceSubrange(offset..<(offset + count), with: repeatElement(0, count: count))
        }
      case .flush: break
      }
      return .success
    } catch { return .failure }
  }
}
