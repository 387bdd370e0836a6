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

  func receive(into segments: [GuestSegment], rest: inout [UInt8]) -> Int? {
    guard let frame = waiting.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return nil }
    var done = 0
    for segment in segments {
      let part = Array(frame[done...].prefix(segment.count))
      do { try memory.write(part, at: segment.address) } catch { fatalError("a segment is no RAM") }
      done += part.count
    }
    let more = frame[done...].prefix(rest.count)
    rest.replaceSubrange(0..<more.count, with: more)
    return done + more.count
  }

  func offer(_ frame: [UInt8]) { waiting.withLock { $0.append(frame) } }
}

/// The owner of memory that a balloon gives back to nobody.
struct FuzzBalloon: BalloonBackend {
  let memory: TestMemory

  func discard(_ segment: GuestSegment) { precondition(memory.contains(segment), "a segment is no RAM") }
  func restore(_ segment: GuestSegment) { precondition(memory.contains(segment), "a segment is no RAM") }
}

/// The owner of memory that comes and goes: no block comes twice, or goes that is not there.
final class FuzzBlocks: PluggableBackend {
  static let region: UInt64 = 1 << 32
  static let count = 64
  static let blockBytes: UInt64 = 2 << 20
  private let plugged = Mutex([Bool](repeating: false, count: FuzzBlocks.count))
  private let refusals = Mutex(0)

  /// It has nothing to give or take the next `count` times.
  func refuse(_ count: Int) { refusals.withLock { $0 = count } }

  func plug(_ segment: GuestSegment) -> Bool { change(segment, to: true) }
  func unplug(_ segment: GuestSegment) -> Bool { change(segment, to: false) }

  private func change(_ segment: GuestSegment, to isPlugged: Bool) -> Bool {
    let offset = segment.address.rawValue - Self.region
    precondition(offset % Self.blockBytes == 0 && segment.count > 0 && segment.count % Int(Self.blockBytes) == 0)
    let first = Int(offset / Self.blockBytes)
    let range = first..<(first + segment.count / Int(Self.blockBytes))
    precondition(range.upperBound <= Self.count, "blocks outside of the region")
    let isRefused = refusals.withLock { count in
      defer { count = max(0, count - 1) }
      return count > 0
    }
    if isRefused { return false }
    plugged.withLock { plugged in
      for index in range {
        precondition(plugged[index] != isPlugged, "a block is what it was")
        plugged[index] = isPlugged
      }
    }
    return true
  }

  /// Bytes that are plugged.
  var bytes: UInt64 { plugged.withLock { UInt64($0.count { $0 }) * Self.blockBytes } }
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

/// Somebody who serves a network's queues, and finds what it is told to be possible.
final class FuzzServer: NetworkQueueServer {
  let offloads: NetworkOffloads = [.checksum, .tcp4]
  let ringFeatures: UInt64 = .max
  private let memory: TestMemory
  private let running = Mutex<Set<Int>>([])

  init(_ memory: TestMemory) {
    self.memory = memory
  }

  func setHeaderCount(_ count: Int) -> Bool { count == 10 || count == 12 }

  func setOffloads(_ offloads: NetworkOffloads) {}

  func start(queue: Int, _ rings: VirtqueueRings, features: UInt64) -> Bool {
    precondition(rings.size > 0 && rings.size & (rings.size - 1) == 0, "a ring of \(rings.size)")
    let size = Int(rings.size)
    for (address, count) in [
      (rings.descriptors, 16 * size), (rings.available, 6 + 2 * size), (rings.used, 6 + 8 * size),
    ] {
      precondition(memory.contains(GuestSegment(address: GuestAddress(address), count: count)), "a ring is no RAM")
    }
    running.withLock { precondition($0.insert(queue).inserted, "a queue begins that is served") }
    return true
  }

  func kick(queue: Int) { running.withLock { precondition($0.contains(queue), "nobody serves this queue") } }

  func lead(queue: Int, to vector: Int?) { precondition(queue < 2 && (0..<3).contains(vector ?? 0), "no such vector") }

  func stop(queue: Int) {
    running.withLock { precondition($0.remove(queue) != nil, "a queue ends that is not served") }
  }
}
