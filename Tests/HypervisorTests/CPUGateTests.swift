import Platform
import Synchronization
import Testing

@testable import Hypervisor

@Suite("The gate that holds CPUs")
struct CPUGateTests {
  /// Threads that pass the gate again and again, as CPUs that are called out of the guest do.
  private final class Crowd: Sendable {
    let gate: CPUGate
    private let passes: [Passes]
    private let isOver = Atomic(false)
    private let threads = Mutex<[ThreadBox]>([])
    let holds = Passes()

    final class Passes: Sendable {
      let count = Atomic(0)
    }

    init(_ count: Int) throws {
      gate = try CPUGate(cpus: count)
      passes = (0..<count).map { _ in Passes() }
      for id in 0..<count {
        let thread = ThreadBox(
          try Thread("cpu-\(id)") { [self] in
            while !isOver.load(ordering: .acquiring) {
              passes[id].count.add(1, ordering: .relaxed)
              gate.pass(UInt32(id)) { holds.count.add(1, ordering: .relaxed) }
            }
          })
        threads.withLock { $0.append(thread) }
      }
    }

    var counts: [Int] { passes.map { $0.count.load(ordering: .relaxed) } }

    func finish() {
      isOver.store(true, ordering: .releasing)
      gate.open()
      for thread in threads.withLock({ $0 }) { thread.join() }
    }
  }

  /// Waits up to ten seconds; whether it came.
  private func wait(for condition: () -> Bool) -> Bool {
    for _ in 0..<10_000 {
      if condition() { return true }
      MonotonicClock.sleep(milliseconds: 1)
    }
    return false
  }

  @Test("all are held while it is closed, the last one says so, and all go on when it opens")
  func holds() throws {
    let crowd = try Crowd(4)
    defer { crowd.finish() }
    #expect(wait { crowd.counts.allSatisfy { $0 > 0 } })
    #expect(!crowd.gate.isClosed && !crowd.gate.holdsAll)
    crowd.gate.close()
    crowd.gate.close()
    #expect(wait { crowd.gate.holdsAll })
    var isTold = false
    #expect(
      wait {
        isTold = isTold || (try? crowd.gate.allHeld.take()) ?? 0 > 0
        return isTold
      })
    #expect(crowd.holds.count.load(ordering: .relaxed) == 4)
    let held = crowd.counts
    MonotonicClock.sleep(milliseconds: 30)
    #expect(crowd.counts == held && crowd.gate.holdsAll)
    crowd.gate.open()
    #expect(!crowd.gate.holdsAll)
    #expect(wait { zip(crowd.counts, held).allSatisfy { $0 > $1 } })
  }

  @Test("whoever is on the way out when it closes again is held, or says that it is there")
  func closesAgain() throws {
    let crowd = try Crowd(3)
    defer { crowd.finish() }
    for round in 0..<2000 {
      crowd.gate.close()
      if round % 3 == 0 {
        try #require(wait { crowd.gate.holdsAll })
        let held = crowd.counts
        if round % 30 == 0 { MonotonicClock.sleep(milliseconds: 1) }
        #expect(crowd.counts == held && crowd.gate.holdsAll)
      }
      crowd.gate.open()
      #expect(!crowd.gate.holdsAll)
    }
  }
}
