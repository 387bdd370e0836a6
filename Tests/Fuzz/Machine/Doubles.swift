import Devices
import Synchronization

/// A tap with frames that the input made up.
final class FuzzPort: NetworkBackend {
  let offloads: NetworkOffloads = [.checksum, .tcp4]
  private let memory: TestMemory
  private let waiting = Mutex<[[UInt8]]>([])

  init(_ memory: TestMemory) {
    self.memory = memory
  }

  func setHeaderCount(_ count: Int) -> Bool { count == 10 || count == 12 }
  func setOffloads(_ offloads: NetworkOffloads) {}

  func transmit(_ segments: [GuestSegment]) {
    for segment in segments { precondition(memory.contains(segment), "a segment is no RAM") }
  }

  func receive(into segments: [GuestSegment]) -> Int? {
    guard let frame = waiting.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return nil }
    var done = 0
    for segment in segments {
      let part = Array(frame[done...].prefix(segment.count))
      do { try memory.write(part, at: segment.address) } catch { fatalError("a segment is no RAM") }
      done += part.count
    }
    return done
  }

  func offer(_ frame: [UInt8]) { waiting.withLock { $0.append(frame) } }
}

/// The owner of memory that a balloon gives back to nobody.
struct FuzzBalloon: BalloonBackend {
  let memory: TestMemory

  func discard(_ segment: GuestSegment) { precondition(memory.contains(segment), "a segment is no RAM") }
  func restore(_ segment: GuestSegment) { precondition(memory.contains(segment), "a segment is no RAM") }
}

/// What a flash chip keeps, in an array.
final class FuzzFlash: FlashStore {
  let count = 16384
  let isReadOnly: Bool
  private let content: Mutex<[UInt8]>

  init(isReadOnly: Bool) {
    self.isReadOnly = isReadOnly
    content = Mutex([UInt8](repeating: 0xFF, count: count))
  }

  func read(at offset: Int, count: Int) -> [UInt8] { content.withLock { Array($0[offset..<(offset + count)]) } }

  func write(_ bytes: [UInt8], at offset: Int) -> Bool {
    precondition(!isReadOnly, "a write to a read-only chip")
    content.withLock { $0.replaceSubrange(offset..<(offset + bytes.count), with: bytes) }
    return true
  }

  func flush() -> Bool { true }
}
