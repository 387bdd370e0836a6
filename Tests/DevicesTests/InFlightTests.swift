import TestMachine
import Testing

@testable import Devices

/// The requests that a virtio disk's backend works on.
@Suite struct InFlightTests {
  /// Behind a reference, as an expectation's parts change nothing.
  private final class Requests<Request: Sendable> {
    private var value: InFlight<Request>

    init(limit: Int) { value = InFlight(limit: limit) }

    var isIdle: Bool { value.isIdle }
    func insert(_ request: Request) -> UInt64? { value.insert(request) }
    func remove(_ id: UInt64) -> Request? { value.remove(id) }
    func ids(where isWanted: (Request) -> Bool) -> [UInt64] { value.ids(where: isWanted) }
    func update(_ id: UInt64, _ change: (inout Request) -> Void) { value.update(id, change) }
    func abandon() { value.abandon() }
  }

  @Test func roomIsLimited() throws {
    let requests = Requests<String>(limit: 2)
    #expect(requests.isIdle)
    let first = try #require(requests.insert("first"))
    let second = try #require(requests.insert("second"))
    #expect(requests.insert("third") == nil)
    #expect(requests.remove(first) == "first")
    #expect(!requests.isIdle)
    let third = try #require(requests.insert("third"))
    #expect(Set([first, second, third]).count == 3)
    #expect(requests.remove(second) == "second" && requests.remove(third) == "third")
    #expect(requests.isIdle)
    #expect(Requests<String>(limit: 0).insert("none") == nil)
  }

  /// A backend that answers twice, or what it was not asked, ends nobody else's request.
  @Test func idsThatAreOver() throws {
    let requests = Requests<String>(limit: 1)
    let first = try #require(requests.insert("first"))
    #expect(requests.remove(first) == "first")
    let second = try #require(requests.insert("second"))
    for id in [first, second + 1, second + 1 << 16, 0, 0xFFFF, .max] {
      #expect(requests.remove(id) == nil)
      requests.update(id) { $0 = "changed" }
    }
    #expect(!requests.isIdle)
    #expect(requests.remove(second) == "second")
  }

  @Test func whatADriverLeavesIsAwaited() throws {
    let requests = Requests<String>(limit: 1)
    let left = try #require(requests.insert("left"))
    requests.abandon()
    #expect(!requests.isIdle)
    #expect(requests.ids(where: { _ in true }).isEmpty)
    // Its room is the next driver's at once.
    let next = try #require(requests.insert("next"))
    #expect(requests.remove(left) == nil)
    #expect(requests.remove(left) == nil)
    #expect(!requests.isIdle)
    #expect(requests.remove(next) == "next")
    #expect(requests.isIdle)
  }

  @Test func requestsAreFoundAndChanged() throws {
    let requests = Requests<Int>(limit: 4)
    let ids = try (1...4).map { try #require(requests.insert($0)) }
    #expect(requests.ids(where: { $0 % 2 == 0 }) == [ids[1], ids[3]])
    requests.update(ids[1]) { $0 = 20 }
    #expect(ids.map { requests.remove($0) } == [1, 20, 3, 4])
  }

  @Test func fuzz() {
    var random = SeededNumbers(61)
    let requests = Requests<Int>(limit: 16)
    var live: [UInt64: Int] = [:]
    var orphans: Set<UInt64> = []
    for round in 0..<20_000 {
      switch Int.random(in: 0..<100, using: &random) {
      case 0:
        requests.abandon()
        orphans.formUnion(live.keys)
        live = [:]
      case 1..<50:
        let id = requests.insert(round)
        #expect((id == nil) == (live.count == 16))
        if let id {
          #expect(live[id] == nil && !orphans.contains(id))
          live[id] = round
        }
      default:
        let known = live.keys.sorted() + orphans.sorted()
        let id = known.randomElement(using: &random) ?? UInt64.random(in: 0...(.max), using: &random)
        let expected = live.removeValue(forKey: id)
        #expect(requests.remove(id) == expected)
        orphans.remove(id)
      }
      #expect(requests.isIdle == (live.isEmpty && orphans.isEmpty))
    }
  }
}
