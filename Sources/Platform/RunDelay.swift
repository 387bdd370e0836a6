/// How long threads waited for a processor (Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat").
public enum RunDelay {
  /// Seconds that all threads of the process `pid` whose names begin with `prefix` waited while they could have run; nil
  /// where there is none, or the kernel does not count. `proc` is where procfs is mounted.
  public static func seconds(of pid: Int32, threads prefix: String, proc: String = "/proc") -> Double? {
    let directory = "\(proc)/\(pid)/task"
    var sum: Double?
    for thread in (try? Files.list(directory)) ?? [] {
      guard let name = try? Files.readText("\(directory)/\(thread)/comm"), name.hasPrefix(prefix),
        let text = try? Files.readText("\(directory)/\(thread)/schedstat")
      else { continue }
      // Time on a processor, time of waiting for one, both in nanoseconds, and how often it got one.
      let fields = text.split { $0 == " " || $0 == "\n" }
      if fields.count == 3, let delay = Double(fields[1]) { sum = (sum ?? 0) + delay / 1e9 }
    }
    return sum
  }
}
