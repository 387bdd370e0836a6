import Devices
import Glibc
import Platform
import Synchronization
import Testing

@testable import Hypervisor

/// Loop devices need the kernel's module and its permission.
private let canAttach = (try? FileDescriptor(opening: "/dev/loop-control", .readWrite)) != nil

@Suite("Disks")
struct DiskTests {
  @Test("scattered writes, reads, flush, discard, write zeroes; results come for each", arguments: Host.engines)
  func operations(_ engine: DiskEngine.Choice) throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20))
    let memory = bench.memory
    #expect(bench.disk.capacity == 1 << 20)
    try bench.start(engine)
    try memory.write([UInt8](repeating: 1, count: 512), at: GuestAddress(0x1000))
    try memory.write([UInt8](repeating: 2, count: 1024), at: GuestAddress(0x3000))
    #expect(bench.perform(1, .write, 4096, [(0x1000, 512), (0x5000, 0), (0x3000, 1024)]) == .success)
    #expect(bench.perform(2, .flush, 0) == .success)
    #expect(bench.perform(3, .read, 4096 + 256, [(0x8000, 256), (0x9000, 512)]) == .success)
    #expect(try memory.bytes(at: GuestAddress(0x80FF), count: 1) == [1])
    #expect(try memory.bytes(at: GuestAddress(0x9000), count: 1) == [2])
    #expect(bench.perform(4, .read, 2 << 20, [(0x8000, 512)]) == .failure, "beyond the end")
    #expect(bench.perform(5, .discard, 0, count: 4096) == .success)
    #expect(bench.perform(6, .read, 0, [(0x8000, 512)]) == .success)
    #expect(try memory.bytes(at: GuestAddress(0x8000), count: 512) == [UInt8](repeating: 0, count: 512))
    #expect(bench.perform(7, .read, 0, [(0xFEE0_0000, 512)]) == .failure, "not RAM")
    for (id, unmap) in [(8 as UInt64, false), (9, true)] {
      let offset = id << 16
      #expect(bench.perform(id, .writeZeroes(unmap: unmap), offset, count: 8192) == .success)
      #expect(bench.perform(id + 10, .read, offset + 8192 - 512, [(0x8000, 1024)]) == .success)
      let edge = try memory.bytes(at: GuestAddress(0x8000), count: 1024)
      #expect(edge == [UInt8](repeating: 0, count: 512) + [UInt8](repeating: 0x55, count: 512))
    }
    #expect(bench.perform(20, .read, 4096, [(0x8000, 0)]) == .success, "nothing to do")
    #expect(try bench.stop())
    #expect(Array(try Files.read(bench.path)[4096..<4098]) == [1, 1])
    #expect(bench.perform(21, .read, 0, [(0x8000, 512)]) == .failure, "after the end of the engine")
  }

  @Test("a file system that zeroes no ranges is asked for a hole, which is filled", arguments: Host.engines)
  func zeroesOfMemoryFiles(_ engine: DiskEngine.Choice) throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20), in: "/dev/shm")
    try bench.start(engine)
    #expect(bench.perform(1, .writeZeroes(unmap: false), 65536, count: 8192) == .success)
    #expect(try bench.stop())
    let content = try Files.read(bench.path)
    #expect(content.count == 1 << 20 && content[65535] == 0x55 && content[65536 + 8192] == 0x55)
    #expect(content[65536..<65536 + 8192].allSatisfy { $0 == 0 })
  }

  @Test("what a disk did is counted, with how long it took", arguments: Host.engines)
  func counts(_ engine: DiskEngine.Choice) throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20))
    try bench.start(engine)
    #expect(bench.perform(1, .write, 4096, [(0x1000, 512), (0x3000, 1024)]) == .success)
    #expect(bench.perform(2, .read, 0, [(0x8000, 512)]) == .success)
    #expect(bench.perform(3, .read, 2 << 20, [(0x8000, 512)]) == .failure)
    #expect(bench.perform(4, .flush, 0) == .success)
    #expect(bench.perform(5, .discard, 0, count: 4096) == .success)
    #expect(try bench.stop())
    let counts = bench.disk.counts
    #expect(counts.writes == 1 && counts.writtenBytes == 1536 && counts.reads == 2 && counts.readBytes == 1024)
    #expect(counts.flushes == 1 && counts.discards == 1 && counts.failures == 1)
    #expect(counts.classes.reduce(0, +) == 5)
    #expect(counts.longest > 0 && counts.longest <= counts.nanoseconds && counts.nanoseconds < 5 * (counts.longest + 1))
  }

  @Test("a request's duration is in the class whose bound it does not pass")
  func classes() throws {
    let memory = try GuestRAM(count: 2 << 20)
    let operation = BlockOperation(id: 1, kind: .flush, offset: 0, count: 0, segments: [])
    let request = try #require(DiskRequest(operation, in: memory))
    let meter = DiskMeter()
    for duration in [0, 100_000, 100_001, 1_000_000_000, 1_000_000_001] as [UInt64] {
      meter.note(request, .success, now: request.began + duration)
    }
    meter.note(request, .unsupported, now: request.began - 1)
    #expect(meter.current.classes == [3, 1, 0, 0, 0, 0, 0, 0, 1, 1])
    #expect(meter.current.longest == 1_000_000_001 && meter.current.flushes == 6 && meter.current.failures == 0)
    let words = Machine.words("a b:c", meter.current)
    #expect(words == "disk=a_b_c:0,0,0,0,6,0,0,2000200002,1000000001:3,1,0,0,0,0,0,0,1,1")
  }

  /// A file that can be read, and of which fsync(2) says that there is nothing to synchronise.
  private static let unsynchronised = "/proc/config.gz"

  @Test(
    "a flush of a disk that is read-only succeeds where the file knows no fsync, as on a CD",
    .enabled(if: Files.exists(unsynchronised), "skipped: this kernel has no \(unsynchronised)"),
    arguments: Host.engines)
  func flushOfWhatIsRead(engine: DiskEngine.Choice) throws {
    let memory = try GuestRAM(count: 2 << 20)
    let disk = try FileDisk(path: Self.unsynchronised, isReadOnly: true, identifier: "", memory: memory)
    let ended = Mutex<[BlockCompletion]>([])
    try disk.start(engine) { list in ended.withLock { $0 += list } }
    let flush = disk.submit(BlockOperation(id: 1, kind: .flush, offset: 0, count: 0, segments: []))
    let segment = GuestSegment(address: GuestAddress(0x1000), count: 512)
    let read = disk.submit(BlockOperation(id: 2, kind: .read, offset: 0, count: 512, segments: [segment]))
    disk.stop()
    let results = Dictionary(uniqueKeysWithValues: ended.withLock { $0 }.map { ($0.id, $0.result) })
    #expect((flush ?? results[1]) == .success)
    #expect((read ?? results[2]) == .success)
  }

  @Test("what lies beyond any file, and a write to a disk that is read-only, fail", arguments: Host.engines)
  func refusals(_ engine: DiskEngine.Choice) throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 16), isReadOnly: true)
    try bench.start(engine)
    let far: [UInt64] = [.max - 511, 1 << 63, UInt64(Int.max), UInt64(Int.max) - 511]
    let kinds: [BlockOperation.Kind] = [.read, .write, .discard, .writeZeroes(unmap: false), .writeZeroes(unmap: true)]
    var id: UInt64 = 0
    for offset in far {
      for kind in kinds {
        id += 1
        #expect(bench.perform(id, kind, offset, [(0x1000, 512)], count: 512) == .failure, "\(kind) at \(offset)")
      }
    }
    #expect(bench.perform(100, .discard, 512, count: .max) == .failure)
    #expect(bench.perform(101, .write, 0, [(0x1000, 512)]) == .failure)
    #expect(bench.perform(102, .read, 0, [(0x1000, 512)]) == .success)
    #expect(try bench.stop())
    #expect(try Files.read(bench.path) == [UInt8](repeating: 0x55, count: 1 << 16))
  }

  @Test("a disk that has grown is seen at its new size and used there; one that has shrunk keeps what it had")
  func growth() throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 16))
    try bench.start(.automatic)
    let file = try FileDescriptor(opening: bench.path, .readWrite)
    #expect(try bench.disk.remeasure() == 1 << 16)
    try file.truncate(to: (1 << 17) + 100)
    #expect(bench.disk.capacity == 1 << 16)
    #expect(try bench.disk.remeasure() == (1 << 17) + 100)
    #expect(bench.disk.capacity == (1 << 17) + 100)
    #expect(bench.perform(1, .write, 1 << 16, [(0x1000, 512)]) == .success)
    try file.truncate(to: 1 << 17)
    #expect(throws: HypervisorError.self) { try bench.disk.remeasure() }
    #expect(bench.disk.capacity == (1 << 17) + 100)
    #expect(try bench.stop())
  }

  @Test("a read that the end of the file cuts short fails", arguments: Host.engines)
  func end(_ engine: DiskEngine.Choice) throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 4096 + 100))
    try bench.start(engine)
    #expect(bench.perform(1, .read, 4096, [(0x1000, 512)]) == .failure)
    #expect(bench.perform(2, .read, 4096, [(0x1000, 50), (0x2000, 50)]) == .success)
    #expect(bench.perform(3, .read, 4096, [(0x1000, 100), (0x2000, 1)]) == .failure)
    #expect(try bench.stop())
  }

  @Test("more segments than one call takes", arguments: Host.engines)
  func segments(_ engine: DiskEngine.Choice) throws {
    let bench = try DiskBench([UInt8](repeating: 0, count: 8 << 20))
    try bench.start(engine)
    // Every other half kilobyte of RAM, so that no two segments are one.
    var segments: [(UInt64, Int)] = []
    for index in 0..<3000 as Range<UInt64> { segments += [(index * 1024, 512), (0, 0)] }
    for index in 0..<3000 {
      try bench.memory.write(pattern(index), at: GuestAddress(UInt64(index) * 1024))
    }
    #expect(bench.perform(1, .write, 512, segments) == .success)
    let content = try Files.read(bench.path)
    let unwritten = (0..<3000).filter { Array(content[(512 + $0 * 512)..<(1024 + $0 * 512)]) != pattern($0) }
    #expect(unwritten.isEmpty)
    try bench.memory.write([UInt8](repeating: 0, count: 3 << 20), at: GuestAddress(0))
    #expect(bench.perform(2, .read, 512, segments) == .success)
    let unread = try (0..<3000).filter {
      try bench.memory.bytes(at: GuestAddress(UInt64($0) * 1024), count: 512) != pattern($0)
    }
    #expect(unread.isEmpty)
    #expect(try bench.stop())
  }

  @Test(
    "thousands of operations from threads that come and go: each ends once, with its data",
    arguments: Host.engines, [4, RingEngine.entries])
  func crowd(_ engine: DiskEngine.Choice, entries: UInt32) throws {
    let bench = try DiskBench([UInt8](repeating: 0, count: 4 << 20))
    try bench.start(engine, entries: entries)
    let count = 6000
    for index in 0..<count { try bench.memory.write(pattern(index), at: GuestAddress(UInt64(index) * 512)) }
    let base: UInt64 = 8 << 20  // where reads go
    for (kind, memory) in [(BlockOperation.Kind.write, 0 as UInt64), (.read, base)] {
      let first = memory == 0 ? 0 : UInt64(count)
      // Threads that end with what they submitted still in flight.
      let threads = try (0..<8).map { thread in
        ThreadBox(
          try Thread("submitter") {
            for index in stride(from: thread, to: count, by: 8) {
              bench.submit(first + UInt64(index), kind, UInt64(index) * 512, [(memory + UInt64(index) * 512, 512)])
              if index % 97 == 0 { bench.submit(first + 100_000 + UInt64(index), .flush, 0) }
            }
          })
      }
      for thread in threads { thread.join() }
      try #require(bench.wait(for: (count + (count + 96) / 97) * (memory == 0 ? 1 : 2)))
    }
    #expect(try bench.stop())
    #expect(bench.all.allSatisfy { $0.value == [.success] })
    let wrong = try (0..<count).filter {
      try bench.memory.bytes(at: GuestAddress(base + UInt64($0) * 512), count: 512) != pattern($0)
    }
    #expect(wrong.isEmpty)
  }

  @Test("what a thread submitted is done though the thread has ended", arguments: Host.engines)
  func orphans(_ engine: DiskEngine.Choice) throws {
    let count = 256
    let stride = 128 << 10  // beyond what one read brings along
    let bench = try DiskBench([UInt8](repeating: 0x55, count: count * stride))
    let file = try FileDescriptor(opening: bench.path)
    try file.synchronize()
    // The medium is to be waited for.
    #expect(posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_DONTNEED) == 0)
    try bench.start(engine)
    for first in Swift.stride(from: 0, to: count, by: 16) {
      let thread = try Thread("submitter") {
        for index in first..<(first + 16) {
          bench.submit(UInt64(index), .read, UInt64(index * stride), [(UInt64(index) * 4096, 4096)])
        }
      }
      thread.join()
    }
    #expect(try bench.stop())
    #expect(bench.all.count == count && bench.all.allSatisfy { $0.value == [.success] })
    let bytes = try bench.memory.bytes(at: GuestAddress(0), count: count * 4096)
    #expect(bytes.allSatisfy { $0 == 0x55 })
  }

  @Test("the end waits for what is in flight, and for what its completions submit", arguments: Host.engines, [4, 256])
  func ending(_ engine: DiskEngine.Choice, entries: UInt32) throws {
    let bench = try DiskBench([UInt8](repeating: 0, count: 4 << 20))
    try bench.start(engine, entries: entries) { bench, id in
      // As a write-through disk does.
      if id < 10_000 { bench.submit(id + 10_000, .flush, 0) }
    }
    for index in 0..<2000 { bench.submit(UInt64(index), .write, UInt64(index) * 2048, [(0, 2048)]) }
    #expect(try bench.stop())
    #expect(bench.all.count == 4000)
    #expect(bench.all.allSatisfy { $0.value == [.success] })
  }

  @Test("where there is no ring, workers serve; who insists on one is told why there is none")
  func fallback() throws {
    // The kernel refuses a ring without entries (io_uring_setup(2), EINVAL).
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 4096))
    let engine = try bench.start(.automatic, entries: 0)
    guard case .workers(_, refusal: _?) = engine else {
      Issue.record("\(engine) instead of workers")
      return
    }
    #expect(bench.perform(1, .read, 0, [(0x1000, 512)]) == .success)
    #expect(try bench.memory.bytes(at: GuestAddress(0x1000), count: 1) == [0x55])
    #expect(try bench.stop())
    let other = try DiskBench([UInt8](repeating: 0x55, count: 4096))
    #expect(throws: HypervisorError.self) { try other.start(.ring, entries: 0) }
  }

  @Test("a ring is taken where there is one", .enabled(if: Host.ringRefusal == nil, Host.ringReason))
  func choice() throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 4096))
    guard case .ring = try bench.start(.automatic) else {
      Issue.record("workers serve")
      return
    }
    #expect(bench.perform(1, .read, 0, [(0x1000, 512)]) == .success)
    #expect(try bench.stop())
  }

  @Test(
    "a block device: writes, discard and write zeroes", .enabled(if: canAttach, "skipped: needs loop devices"),
    arguments: Host.engines)
  func blockDevice(_ engine: DiskEngine.Choice) throws {
    let file = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20))
    let loop = try LoopDevice.attach(file.path, readOnly: false)
    defer { try? loop.detach() }
    let bench = try DiskBench([], path: loop.path)
    #expect(bench.disk.capacity == 1 << 20)
    try bench.start(engine)
    try bench.memory.write([UInt8](repeating: 1, count: 4096), at: GuestAddress(0x1000))
    #expect(bench.perform(1, .write, 8192, [(0x1000, 1024), (0x1400, 3072)]) == .success)
    #expect(bench.perform(2, .discard, 0, count: 4096) == .success)
    #expect(bench.perform(3, .writeZeroes(unmap: false), 16384, count: 4096) == .success)
    #expect(bench.perform(4, .writeZeroes(unmap: true), 32768, count: 4096) == .success)
    #expect(bench.perform(5, .flush, 0) == .success)
    #expect(bench.perform(6, .read, 0, [(0x2000, 36864)]) == .success)
    let bytes = try bench.memory.bytes(at: GuestAddress(0x2000), count: 36864)
    var expected = [UInt8](repeating: 0x55, count: 36864)
    for (offset, value) in [(0, 0 as UInt8), (8192, 1), (16384, 0), (32768, 0)] {
      expected.replaceSubrange(offset..<(offset + 4096), with: [UInt8](repeating: value, count: 4096))
    }
    #expect(bytes == expected)
    // Less than what goes past the page cache, at odd places in memory, sees what went past it, and is seen by it.
    #expect(bench.perform(7, .read, 8192 + 512, [(0x1001, 512)]) == .success)
    #expect(try bench.memory.bytes(at: GuestAddress(0x1001), count: 512) == [UInt8](repeating: 1, count: 512))
    try bench.memory.write([UInt8](repeating: 2, count: 512), at: GuestAddress(0x1003))
    #expect(bench.perform(8, .write, 8192 + 512, [(0x1003, 512)]) == .success)
    #expect(bench.perform(9, .read, 8192, [(0x2000, 512), (0x2800, 3584)]) == .success)
    #expect(try bench.memory.bytes(at: GuestAddress(0x2800), count: 513) == [UInt8](repeating: 2, count: 512) + [1])
    #expect(try bench.stop())
    #expect(bench.all.count == 9 && bench.all.allSatisfy { $0.value == [.success] })
  }

  @Test(
    "the thread of a ring answers the doorbell, each time",
    .enabled(if: Host.ringRefusal == nil, Host.ringReason))
  func bell() throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20))
    let doorbell = try QueueEvent()
    let waiting = Atomic<UInt64>(0)
    try bench.disk.start(
      .ring,
      bell: DiskBell(doorbell) { [unowned bench] _ in
        let round = waiting.exchange(0, ordering: .acquiring)
        guard round > 0 else { return }
        // More than the ring takes at once.
        for index in 0..<300 as Range<UInt64> {
          bench.submit(round * 1000 + index, .read, index * 512, [(0x1000 + index * 512, 512)])
        }
      }
    ) { [unowned bench] in bench.note($0) }
    for round in 1...5 {
      waiting.store(UInt64(round), ordering: .releasing)
      try doorbell.event.signal()
      #expect(bench.wait(for: 300 * round))
    }
    #expect(try bench.stop())
    #expect(bench.all.count == 1500 && bench.all.allSatisfy { $0.value == [.success] })
  }

  @Test(
    "a guest that rings on and on for nothing is heard less often, and what it asks for then is done",
    .enabled(if: Host.ringRefusal == nil, Host.ringReason))
  func flood() throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20))
    let doorbell = try QueueEvent()
    let visits = Atomic<Int>(0)
    let waiting = Atomic<Bool>(false)
    let bell = DiskBell(doorbell) { [unowned bench] _ in
      visits.add(1, ordering: .relaxed)
      guard waiting.exchange(false, ordering: .acquiring) else { return }
      bench.submit(1, .read, 0, [(0x1000, 512)])
    }
    try bench.disk.start(.ring, bell: bell) { [unowned bench] in bench.note($0) }
    let start = MonotonicClock.now()
    var rings = 0
    while MonotonicClock.now() - start < 300_000_000 {
      try doorbell.event.signal()
      rings += 1
    }
    let milliseconds = Int((MonotonicClock.now() - start) / 1_000_000)
    let heard = visits.load(ordering: .relaxed)
    // Once a millisecond, but for those that come first.
    #expect(heard <= milliseconds + 40, "\(heard) of \(rings) in \(milliseconds) ms")
    waiting.store(true, ordering: .releasing)
    try doorbell.event.signal()
    #expect(bench.wait(for: 1))
    #expect(try bench.stop())
  }

  @Test(
    "a guest that rings only where it is asked to is never forgotten, and rings seldom while its queue is full",
    .enabled(if: Host.ringRefusal == nil, Host.ringReason))
  func silence() throws {
    let bench = try DiskBench([UInt8](repeating: 0x55, count: 1 << 20))
    let doorbell = try QueueEvent()
    // What a driver and a device share: how many requests were added, and whether the next is to be told of.
    let added = Atomic<UInt64>(0)
    let isAsked = Atomic<Bool>(true)
    let taken = Atomic<UInt64>(0)
    let bell = DiskBell(doorbell) { [unowned bench] asksForNotice in
      while true {
        let first = taken.load(ordering: .relaxed)
        let end = added.load(ordering: .acquiring)
        for index in first..<end { bench.submit(index, .read, index % 2048 * 512, [(0x1000 + index % 64 * 512, 512)]) }
        taken.store(end, ordering: .relaxed)
        guard first == end else { continue }
        guard asksForNotice, !isAsked.load(ordering: .relaxed) else { return }
        isAsked.store(true, ordering: .sequentiallyConsistent)
      }
    }
    try bench.disk.start(.ring, bell: bell) { [unowned bench] in bench.note($0) }
    var random = SystemRandomNumberGenerator()
    var count: UInt64 = 0
    var rings = 0
    func add(_ requests: UInt64) throws {
      for _ in 0..<requests {
        count = added.add(1, ordering: .sequentiallyConsistent).newValue
        if isAsked.exchange(false, ordering: .sequentiallyConsistent) {
          rings += 1
          try doorbell.event.signal()
        }
      }
    }
    for _ in 0..<500 {
      try add(.random(in: 1...40, using: &random))
      // Now and then all of it ends, and the thread sleeps.
      if Bool.random(using: &random) {
        #expect(bench.wait(for: Int(count)))
      } else {
        while count > UInt64(bench.all.count) + 64 { MonotonicClock.sleep(milliseconds: 0) }
      }
    }
    #expect(bench.wait(for: Int(count)))
    #expect(try bench.stop())
    #expect(bench.all.count == Int(count) && bench.all.allSatisfy { $0.value == [.success] })
    #expect(rings < Int(count) / 2, "\(rings) doorbells for \(count) requests")
  }

  @Test("parts of a request are counted, and errors told apart")
  func progress() throws {
    let memory = try GuestRAM(count: 2 << 20)
    func request(_ kind: BlockOperation.Kind) throws -> DiskRequest {
      let segments = [(0x1000 as UInt64, 512), (0x4000, 0), (0x3000, 1024)].map {
        GuestSegment(address: GuestAddress($0.0), count: $0.1)
      }
      let operation = BlockOperation(id: 1, kind: kind, offset: 4096, count: 1536, segments: segments)
      return try #require(DiskRequest(operation, in: memory))
    }
    var read = try request(.read)
    let partial = read.advance(after: 600)
    #expect(partial == .partial && read.offset == 4696 && !read.isDone)
    #expect(Array(read.runs) == [MappedRun(offset: 0x3000 + 88, count: 936)])
    // EINTR, EAGAIN, EFAULT, ECANCELED
    for errno in [4, 11, 14, 125] as [Int32] {
      let answer = read.advance(after: -errno)
      #expect(answer == .again && read.offset == 4696)
    }
    let end = read.advance(after: 936)
    #expect(end == .ended(.success) && read.isDone)
    let answers: [(BlockOperation.Kind, Int32, BlockResult)] = [
      (.read, 0, .failure), (.write, 0, .failure), (.read, -5, .failure), (.write, -28, .failure),
      (.read, .min, .failure), (.flush, 0, .success), (.flush, -5, .failure), (.discard, 0, .success),
      (.discard, -95, .success), (.discard, -5, .failure), (.writeZeroes(unmap: true), -95, .unsupported),
      (.writeZeroes(unmap: false), -5, .failure), (.writeZeroes(unmap: false), 0, .success),
    ]
    for (kind, answer, expected) in answers {
      var request = try request(kind)
      let progress = request.advance(after: answer)
      #expect(progress == .ended(expected), "\(kind), \(answer)")
    }
    var zeroes = try request(.writeZeroes(unmap: false))
    let refused = zeroes.advance(after: -95)
    #expect(refused == .refused && zeroes.offset == 4096)
  }

  @Test("what waits is served in order, and its room is used again")
  func backlog() throws {
    let memory = try GuestRAM(count: 2 << 20)
    var backlog = DiskBacklog()
    var taken: [UInt64] = []
    for id in 0..<5000 as Range<UInt64> {
      let flush = BlockOperation(id: id, kind: .flush, offset: 0, count: 0, segments: [])
      backlog.append(try #require(DiskRequest(flush, in: memory)))
      // It never runs empty until the end.
      if id > 0, let request = backlog.popFirst() { taken.append(request.id) }
    }
    while let request = backlog.popFirst() { taken.append(request.id) }
    #expect(taken == Array(0..<5000) && backlog.isEmpty)
  }

  /// 512 bytes that no other index has.
  private func pattern(_ index: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: index &* 31 &+ 7), count: 512)
    bytes.put(UInt32(index), at: 0)
    bytes.put(UInt32(index), at: 508)
    return bytes
  }
}

/// A disk in a temporary file, RAM to use it with, and what became of operations.
private final class DiskBench: Sendable {
  private final class Results: Sendable {
    let byID = Mutex<[UInt64: [BlockResult]]>([:])

    func note(_ id: UInt64, _ result: BlockResult) {
      byID.withLock { $0[id, default: []].append(result) }
    }
  }

  /// How often a deadline of 20 s is looked at, every 2 ms.
  private static let patience = 10_000

  let disk: FileDisk
  let memory: GuestRAM
  let path: String
  private let directory: String
  private let results = Results()

  /// `path` is a disk that is there already, such as a block device; without it there is a new file with `content`.
  init(_ content: [UInt8], path: String? = nil, isReadOnly: Bool = false, in parent: String = "/tmp") throws {
    directory = try Files.makeTemporaryDirectory(prefix: "\(parent)/roost-disk-")
    self.path = path ?? "\(directory)/disk"
    if path == nil { try Files.write(content, to: self.path) }
    memory = try GuestRAM(count: 16 << 20)
    disk = try FileDisk(path: self.path, isReadOnly: isReadOnly, identifier: "x", memory: memory)
  }

  deinit { try? Files.removeTree(directory) }

  /// `next` runs when an operation ends, before its result is noted.
  @discardableResult
  func start(
    _ choice: DiskEngine.Choice, entries: UInt32 = RingEngine.entries,
    then next: @escaping @Sendable (DiskBench, UInt64) -> Void = { _, _ in }
  ) throws -> DiskEngine {
    try disk.start(choice, entries: entries) { [results, weak self] ended in
      for end in ended {
        if let self { next(self, end.id) }
        results.note(end.id, end.result)
      }
    }
  }

  func note(_ ended: [BlockCompletion]) {
    for end in ended { results.note(end.id, end.result) }
  }

  func submit(
    _ id: UInt64, _ kind: BlockOperation.Kind, _ offset: UInt64, _ segments: [(UInt64, Int)] = [], count: UInt64 = 0
  ) {
    let list = segments.map { GuestSegment(address: GuestAddress($0.0), count: $0.1) }
    let sum = list.reduce(0) { $0 + UInt64($1.count) }
    let operation = BlockOperation(id: id, kind: kind, offset: offset, count: max(sum, count), segments: list)
    if let result = disk.submit(operation) { results.note(id, result) }
  }

  /// All results of all operations.
  var all: [UInt64: [BlockResult]] { results.byID.withLock { $0 } }

  /// Waits for `count` operations to end; whether they did.
  func wait(for count: Int) -> Bool {
    for _ in 0..<Self.patience {
      if results.byID.withLock({ $0.count }) >= count { return true }
      MonotonicClock.sleep(milliseconds: 2)
    }
    return false
  }

  /// Submits one operation and waits for its result; nil when none comes.
  func perform(
    _ id: UInt64, _ kind: BlockOperation.Kind, _ offset: UInt64, _ segments: [(UInt64, Int)] = [], count: UInt64 = 0
  ) -> BlockResult? {
    submit(id, kind, offset, segments, count: count)
    for _ in 0..<Self.patience {
      if let result = results.byID.withLock({ $0[id]?.first }) { return result }
      MonotonicClock.sleep(milliseconds: 2)
    }
    return nil
  }

  /// Ends the disk; false when it does not come to its end.
  func stop() throws -> Bool {
    let ended = Ended()
    let thread = try Thread("stopper") { [disk] in
      disk.stop()
      ended.flag.store(true, ordering: .releasing)
    }
    for _ in 0..<Self.patience where !ended.flag.load(ordering: .acquiring) {
      MonotonicClock.sleep(milliseconds: 2)
    }
    guard ended.flag.load(ordering: .acquiring) else {
      thread.detach()
      return false
    }
    thread.join()
    return true
  }

  private final class Ended: Sendable {
    let flag = Atomic(false)
  }
}
