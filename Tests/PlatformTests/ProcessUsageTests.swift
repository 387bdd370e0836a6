import Testing

@testable import Platform

@Suite("What a process takes")
struct ProcessUsageTests {
  @Test("The fields of /proc/PID/stat are found behind whatever the process is called")
  func fields() throws {
    let line =
      "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 12345 99999 512 18446744073709551615\n"
    let usage = try #require(ProcessUsage(stat: line, ticksPerSecond: 100, pageBytes: 4096))
    #expect(usage.cpuSeconds == 3)
    #expect(usage.residentBytes == 512 * 4096)
    for bad in ["", "42 (x", "42 (x) S 1 2 3", line.replacing("250", with: "no")] {
      #expect(ProcessUsage(stat: bad, ticksPerSecond: 100, pageBytes: 4096) == nil)
    }
  }

  @Test("This process takes something, and one that is not there nothing")
  func real() throws {
    let usage = try #require(ProcessUsage(pid: ProcessEnvironment.processID))
    #expect(usage.residentBytes > 1 << 20)
    #expect(ProcessUsage(pid: 0x7FFF_FFFE) == nil)
  }
}
