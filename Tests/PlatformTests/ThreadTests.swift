import Platform
import Synchronization
import Testing

@Suite("Threads") struct ThreadTests {
  /// "Cpus_allowed_list" of the calling thread, as single numbers (proc(5)).
  private static func allowedProcessors() throws -> [Int32] {
    let status = try Files.readText("/proc/thread-self/status")
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
    return line.split(separator: "\t")[1].split(separator: ",").flatMap { range -> [Int32] in
      let ends = range.split(separator: "-").compactMap { Int32($0) }
      return ends.isEmpty ? [] : Array(ends[0]...ends[ends.count - 1])
    }
  }

  @Test func aThreadKeepsOffAProcessorButNotOffItsLast() throws {
    let seen = Mutex<[(left: Bool, before: [Int32], after: [Int32])]>([])
    let here = try Self.allowedProcessors()
    let thread = try Thread("keeps-off") {
      // Off every processor that there is, one by one.
      for number in here {
        guard let before = try? Self.allowedProcessors(), let left = try? Thread.keepOffProcessor(number),
          let after = try? Self.allowedProcessors()
        else { return }
        seen.withLock { $0.append((left, before, after)) }
      }
    }
    thread.join()
    let steps = seen.withLock { $0 }
    #expect(steps.count == here.count)
    for (number, step) in zip(here, steps) {
      #expect(step.left == (step.before != [number]))
      #expect(step.after == (step.left ? step.before.filter { $0 != number } : [number]))
    }
    #expect(try Self.allowedProcessors() == here, "the thread's own affinity only")
  }
}
