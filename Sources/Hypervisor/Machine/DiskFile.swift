internal import Devices
internal import Platform

/// The file or block device behind a disk, and the guest's memory that it is read into and written from.
final class DiskFile: Sendable {
  let file: FileDescriptor
  let isBlockDevice: Bool
  let isReadOnly: Bool
  let memory: GuestRAM
  /// What was done here so far.
  let meter = DiskMeter()
  /// The same, opened past the page cache.
  private let direct: DirectFile?

  /// Offsets and lengths on the disk that every block device takes past the page cache, in bytes; no logical block is
  /// larger (open(2), O_DIRECT).
  private static let directBlock = 4096
  /// Where in memory, in bytes.
  private static let directAlignment = 512

  /// `direct` is the same file opened with O_DIRECT.
  init(
    _ file: consuming FileDescriptor, direct: consuming FileDescriptor?, isBlockDevice: Bool, isReadOnly: Bool,
    memory: GuestRAM
  ) {
    self.file = file
    self.direct = DirectFile(direct)
    self.isBlockDevice = isBlockDevice
    self.isReadOnly = isReadOnly
    self.memory = memory
  }

  /// Whether a read or write is aligned as it must be to go past the page cache, if this file can do that.
  func canBeDirect(_ request: DiskRequest) -> Bool {
    switch request.kind {
    case .flush, .discard, .writeZeroes: return false
    case .read, .write: break
    }
    guard direct != nil, request.offset.isMultiple(of: Self.directBlock) else { return false }
    var total = 0
    for run in request.runs {
      guard run.offset.isMultiple(of: Self.directAlignment), run.count.isMultiple(of: Self.directAlignment) else {
        return false
      }
      total += run.count
    }
    return total.isMultiple(of: Self.directBlock)
  }

  /// The file's descriptor, past the page cache or not.
  func number(direct isDirect: Bool) -> Int32 {
    guard isDirect, let direct else { return file.rawValue }
    return direct.file.rawValue
  }

  /// A descriptor that may be missing.
  private final class DirectFile: Sendable {
    let file: FileDescriptor

    init?(_ file: consuming FileDescriptor?) {
      guard let file else { return nil }
      self.file = file
    }
  }

  /// Does all of what is left of `request`, on this thread.
  func perform(_ request: DiskRequest) -> BlockResult {
    var request = request
    do throws(SystemError) {
      switch request.kind {
      case .read, .write:
        while !request.isDone {
          let done =
            switch request.kind {
            case .read: try file.read(into: memory.mapping, request.runs, at: request.offset)
            default: try file.write(from: memory.mapping, request.runs, at: request.offset)
            }
          guard done > 0 else { return .failure }
          request.advance(by: done)
        }
      case .flush:
        try file.synchronizeData()
      case .discard:
        try file.discard(at: UInt64(request.offset), count: UInt64(request.count), blockDevice: isBlockDevice)
      case .writeZeroes(let unmap):
        try file.writeZeros(
          at: UInt64(request.offset), count: UInt64(request.count), blockDevice: isBlockDevice, keepAllocated: !unmap)
      }
      return .success
    } catch {
      return request.result(of: error.errno)
    }
  }
}

/// An operation whose numbers were checked, and how far it has come.
struct DiskRequest: Sendable {
  /// What the kernel's answer makes of a request.
  enum Progress: Sendable, Hashable {
    /// It is over.
    case ended(BlockResult)
    /// A part was done; the rest is to be asked for.
    case partial
    /// Nothing was done, for a reason that may have passed.
    case again
    /// Nothing was done; it takes more than one call.
    case refused
  }

  /// The operation's name.
  let id: UInt64
  /// What is to be done.
  let kind: BlockOperation.Kind
  /// Where on the disk what is left begins, in bytes.
  private(set) var offset: Int
  /// How many bytes a discard or write zeroes is about.
  let count: Int
  /// How many bytes a read or write was about when it began.
  let length: Int
  /// When it began, by the monotonic clock, in nanoseconds.
  let began: UInt64
  /// What is left of the guest's memory to read into or write from; no run is empty.
  private(set) var runs: ArraySlice<MappedRun>

  /// Nil when a segment is not RAM, or when the disk's bytes are beyond what a file can have.
  init?(_ operation: BlockOperation, in memory: GuestRAM) {
    guard let offset = Int(exactly: operation.offset), let count = Int(exactly: operation.count),
      !offset.addingReportingOverflow(count).overflow
    else { return nil }
    var runs: [MappedRun] = []
    runs.reserveCapacity(operation.segments.count)
    for segment in operation.segments {
      guard let place = memory.offset(of: segment.address.rawValue, count: segment.count) else { return nil }
      if segment.count > 0 { runs.append(MappedRun(offset: place, count: segment.count)) }
    }
    id = operation.id
    kind = operation.kind
    self.offset = offset
    self.count = count
    self.runs = runs[...]
    length = runs.reduce(0) { $0 &+ $1.count }
    began = MonotonicClock.now()
  }

  /// Whether this is a read or write of which nothing is left.
  var isDone: Bool {
    switch kind {
    case .read, .write: runs.isEmpty
    case .flush, .discard, .writeZeroes: false
    }
  }

  /// Takes note of `count` bytes that were read or written.
  mutating func advance(by count: Int) {
    offset += count
    var done = count
    while done > 0, let run = runs.first {
      if done >= run.count {
        done -= run.count
        runs = runs.dropFirst()
      } else {
        runs[runs.startIndex] = MappedRun(offset: run.offset + done, count: run.count - done)
        done = 0
      }
    }
  }

  /// Takes note of what a completion says: bytes transferred, 0, or a negative error number.
  mutating func advance(after result: Int32) -> Progress {
    guard result >= 0 else {
      let errno = Errno(rawValue: 0 &- result)
      // What zeroes a range may not be one call on this file system.
      if case .writeZeroes(unmap: false) = kind, errno == .notSupported { return .refused }
      switch errno {
      // The last two are what becomes of an operation whose submitting thread has ended.
      case .interrupted, .wouldBlock, .canceled, .badAddress: return .again
      default: return .ended(self.result(of: errno))
      }
    }
    switch kind {
    case .flush, .discard, .writeZeroes: return .ended(.success)
    case .read, .write:
      guard result > 0 else { return .ended(.failure) }
      advance(by: Int(result))
      return isDone ? .ended(.success) : .partial
    }
  }

  /// What the guest hears of an error.
  func result(of errno: Errno) -> BlockResult {
    switch kind {
    case .discard where errno == .notSupported: .success  // advice, which may be ignored
    case .writeZeroes where errno == .notSupported: .unsupported
    case .read, .write, .flush, .discard, .writeZeroes: .failure
    }
  }
}

/// Requests that wait, first come, first served.
struct DiskBacklog: Sendable {
  private var requests: [DiskRequest] = []
  private var next = 0

  /// Whether none waits.
  var isEmpty: Bool { next == requests.count }

  mutating func append(_ request: DiskRequest) {
    requests.append(request)
  }

  /// Takes the oldest.
  mutating func popFirst() -> DiskRequest? {
    guard next < requests.count else { return nil }
    defer {
      next += 1
      // A guest that never lets it run empty must not make it grow.
      if next == requests.count || next >= 1024 {
        requests.removeFirst(next)
        next = 0
      }
    }
    return requests[next]
  }
}
