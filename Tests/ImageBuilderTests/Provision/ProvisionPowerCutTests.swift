import Binary
import Identity
import Platform
import Synchronization
import TestMachine
import Testing

@testable import ImageBuilder

/// Cuts of the power while a stick is written, at moments of a seeded generator. The medium keeps what was flushed; of
/// what was not, any sector may be there or not. `ROOST_CUTS` says how many, and `ROOST_CUT_SEED` repeats a run; `make
/// soak` does many.
@Suite(.enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"))
struct ProvisionPowerCutTests {
  /// What a stick can be after a cut.
  private enum Found: String, CaseIterable {
    /// No boot signature, no partition table.
    case none
    /// All of what it was.
    case old
    /// All of what it shall be.
    case new
  }

  private static let size = ProvisioningTests.size
  private static let mebibyte = 1 << 20

  private let image: HybridImage
  private let plan: StickPlan
  private let directory: TemporaryDirectory

  init() throws {
    image = try HybridImage(try StickImage.shared.get().path)
    plan = StickPlan(
      image, size: Self.size, identity: ApplianceIdentity(hostname: "lab-02"), seed: SHA256.hash("new"))
    directory = try TemporaryDirectory()
  }

  @Test func afterEachAStickIsWholeOrNone() throws {
    let cuts = ProcessEnvironment.value("ROOST_CUTS").flatMap(Int.init) ?? 20
    let seed = ProcessEnvironment.value("ROOST_CUT_SEED").flatMap(UInt64.init) ?? MonotonicClock.now()
    print("power cuts while provisioning: \(cuts), seed \(seed) (ROOST_CUT_SEED=\(seed) repeats them)")
    var random = SeededNumbers(seed)
    // What is written over: a stick of another image, and noise.
    let first = TestStick([UInt8](repeating: 0, count: Self.size))
    let earlier = StickPlan(
      image, size: Self.size, identity: ApplianceIdentity(hostname: "lab-01"), seed: SHA256.hash("old"))
    _ = try StickWriter("old", image, earlier, to: first, cancellation: Cancellation()) { _, _, _ in }.run()
    var old = first.bytes
    for index in Self.mebibyte..<plan.bodyEnd { old[index] ^= 0xFF }
    let recordings = try [old, [UInt8](repeating: 0xEE, count: Self.size)].map { content in
      let stick = RecordingStick(content)
      _ = try StickWriter("stick", image, plan, to: stick, cancellation: Cancellation()) { _, _, _ in }.run()
      #expect(try found(stick.bytes, old: old) == .new)
      return stick
    }

    var counts: [Found: Int] = [:]
    for cut in 0..<cuts {
      let recording = recordings[cut % recordings.count]
      let (content, place) = recording.afterCut(&random)
      let found = try found(content, old: old)
      counts[found, default: 0] += 1
      #expect(found != .old || recording.before == old, "cut \(cut), \(place)")
      // Provisioned anew, it is complete.
      let again = TestStick(content)
      _ = try StickWriter("again", image, plan, to: again, cancellation: Cancellation()) { _, _, _ in }.run()
      #expect(try self.found(again.bytes, old: old) == .new, "cut \(cut), \(place)")
    }
    let told = Found.allCases.map { "\($0.rawValue) \(counts[$0] ?? 0)" }.joined(separator: ", ")
    print("power cuts while provisioning: \(cuts); no stick was half of one (\(told))")
  }

  /// What is on a stick. What is half of something fails the test.
  private func found(_ bytes: [UInt8], old: [UInt8]) throws -> Found {
    func isOld(_ range: Range<Int>) -> Bool { bytes[range] == old[range] }
    let body = Self.mebibyte..<plan.bodyEnd
    if bytes[510] == 0x55, bytes[511] == 0xAA {
      let pieces = [plan.head] + plan.pieces
      if pieces.allSatisfy({ bytes[$0.offset..<$0.end] == $0.bytes[...] }), try hasBody(bytes) { return .new }
      #expect(
        pieces.allSatisfy { isOld($0.offset..<$0.end) } && isOld(body), "it has a boot signature and is not whole")
      return .old
    }
    // A file system that is to be seen on it is whole.
    if Array(bytes[32769..<32774]) == Array("CD001".utf8) {
      #expect(try hasBody(bytes) || isOld(body), "it has half a file system")
    }
    #expect(try !contents(bytes).contains { $0.contains("partition") }, "it has partitions")
    return .none
  }

  private func hasBody(_ bytes: [UInt8]) throws -> Bool {
    let file = try FileDescriptor(opening: image.path)
    let body = try file.read(upTo: image.length - Self.mebibyte, at: Self.mebibyte)
    return bytes[Self.mebibyte..<image.length] == body[...]
  }

  /// What libblkid says, of the edges alone: nothing else is looked for elsewhere.
  private func contents(_ bytes: [UInt8]) throws -> [String] {
    let path = "\(directory.path)/stick"
    let file = try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
    try file.truncate(to: bytes.count)
    for start in [0, bytes.count - Self.mebibyte] {
      try file.writeAll(Array(bytes[start..<(start + Self.mebibyte)]), at: start)
    }
    return try DeviceContents.describe(path)
  }
}

/// A stick that remembers what was written when, and can be what a cut of the power leaves of it.
final class RecordingStick: StickStore {
  private enum Step: Sendable {
    case write(offset: Int, bytes: [UInt8])
    case flush
  }

  let size: Int
  let unit = 512
  /// What it was.
  let before: [UInt8]
  private let stick: TestStick
  private let steps = Mutex<[Step]>([])

  init(_ content: [UInt8]) {
    size = content.count
    before = content
    stick = TestStick(content)
  }

  var bytes: [UInt8] { stick.bytes }

  func write(_ bytes: Span<UInt8>, at offset: Int) throws(SystemError) {
    // SAFETY: the buffer is copied while the span is borrowed.
    let copy = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    steps.withLock { $0.append(.write(offset: offset, bytes: copy)) }
    try stick.write(bytes, at: offset)
  }

  func read(into bytes: inout MutableSpan<UInt8>, at offset: Int) throws(SystemError) -> Int {
    try stick.read(into: &bytes, at: offset)
  }

  func flush() throws(SystemError) { steps.withLock { $0.append(.flush) } }

  func announceTable() -> String? { nil }

  /// What is there after a cut at a moment, and that moment in words: all that was flushed, and of the rest each sector
  /// with a chance of its own.
  func afterCut(_ random: inout some RandomNumberGenerator) -> (content: [UInt8], place: String) {
    let steps = steps.withLock { $0 }
    let end = Int.random(in: 0...steps.count, using: &random)
    let flushed = steps[..<end].lastIndex { if case .flush = $0 { true } else { false } } ?? -1
    let chance = Int.random(in: 0...100, using: &random)
    var content = before
    for (index, step) in steps[..<end].enumerated() {
      guard case .write(let offset, let bytes) = step else { continue }
      if index < flushed {
        content.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        continue
      }
      for start in stride(from: 0, to: bytes.count, by: unit) where Int.random(in: 0..<100, using: &random) < chance {
        content.replaceSubrange((offset + start)..<(offset + start + unit), with: bytes[start..<(start + unit)])
      }
    }
    return (content, "after step \(end) of \(steps.count), \(chance) % of what was not flushed")
  }
}
