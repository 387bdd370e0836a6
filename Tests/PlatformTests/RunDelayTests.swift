import Platform
import Testing

@Suite("Time that threads waited for a processor")
struct RunDelayTests {
  @Test("Of the threads that are named so, and of no others")
  func threads() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-delay-")
    defer { try? Files.removeTree(directory) }
    func thread(_ id: Int, _ name: String, _ schedstat: String) throws {
      try Files.makeDirectories("\(directory)/7/task/\(id)")
      try Files.write("\(name)\n", to: "\(directory)/7/task/\(id)/comm")
      try Files.write(schedstat, to: "\(directory)/7/task/\(id)/schedstat")
    }
    try thread(7, "roost-vmm", "1 99000000000 3\n")
    try thread(8, "cpu-0", "5000000000 1500000000 30\n")
    try thread(9, "cpu-1", "5000000000 250000000 30\n")
    #expect(RunDelay.seconds(of: 7, threads: "cpu-", proc: directory) == 1.75)
    #expect(RunDelay.seconds(of: 7, threads: "disk-", proc: directory) == nil)
    #expect(RunDelay.seconds(of: 8, threads: "cpu-", proc: directory) == nil)
    try Files.write("garbage", to: "\(directory)/7/task/9/schedstat")
    #expect(RunDelay.seconds(of: 7, threads: "cpu-", proc: directory) == 1.5)
  }

  @Test("The kernel counts them for this process")
  func own() {
    #expect((RunDelay.seconds(of: ProcessEnvironment.processID, threads: "") ?? -1) >= 0)
  }
}
