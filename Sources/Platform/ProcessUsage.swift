internal import Glibc

/// What a process took of the machine so far (proc_pid_stat(5)).
public struct ProcessUsage: Hashable, Sendable {
  /// Time that its threads ran, in user mode and in the kernel, in seconds. A virtual CPU's time is in it.
  public let cpuSeconds: Double
  /// Memory that it has in RAM, shared memory included, in bytes.
  public let residentBytes: Int

  /// What the process `pid` took; nil when there is none. `proc` is where procfs is mounted.
  public init?(pid: Int32, proc: String = "/proc") {
    guard let text = try? Files.readText("\(proc)/\(pid)/stat") else { return nil }
    self.init(stat: text, ticksPerSecond: sysconf(Int32(_SC_CLK_TCK)), pageBytes: sysconf(Int32(_SC_PAGESIZE)))
  }

  /// What the line of /proc/PID/stat says; nil where it is not understood.
  init?(stat: String, ticksPerSecond: Int, pageBytes: Int) {
    // The name, in parentheses, may hold blanks and parentheses itself.
    guard let end = stat.lastIndex(of: ")"), ticksPerSecond > 0 else { return nil }
    let fields = stat[stat.index(after: end)...].split { $0 == " " || $0 == "\n" }
    // The first of these is field 3; utime, stime and rss are 14, 15 and 24.
    guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]), let pages = Int(fields[21])
    else { return nil }
    cpuSeconds = (user + system) / Double(ticksPerSecond)
    residentBytes = max(0, pages).multipliedReportingOverflow(by: pageBytes).partialValue
  }
}
