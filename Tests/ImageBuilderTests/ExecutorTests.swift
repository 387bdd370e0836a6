import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("Steps and their results")
struct ExecutorTests {
  /// A step that joins its inputs and its own text into one file.
  private func step(
    _ name: String, _ text: String, after inputs: [String] = [], made: Recorder<String>, isForced: Bool = false
  ) -> Step {
    Step(
      name: name, kind: name, version: 1, settings: [text],
      inputs: inputs.map { Step.Input(step: $0, file: "out") }, outputs: ["out"], isForced: isForced
    ) { context throws(BuildError) in
      made.add(name)
      var content = text
      for input in inputs {
        let path = try context.input(input, "out")
        content += try attempt("read") { () throws(SystemError) in try Files.readText(path) }
      }
      let output = context.output
      let final = content
      try attempt("write") { () throws(SystemError) in try Files.write(final, to: "\(output)/out") }
    }
  }

  private func run(
    _ steps: [Step], in directory: TemporaryDirectory, jobs: Int = 2, cancellation: Cancellation = Cancellation()
  ) throws -> [String: Executor.Result] {
    let cache = try ResultCache(directory.path)
    defer { try? cache.removeScratch() }
    return try Executor(cache: cache, epoch: 0, jobs: jobs, cancellation: cancellation).run(steps) { _ in }
  }

  @Test("Results are made in order, and found again the next time")
  func cached() throws {
    let directory = try TemporaryDirectory()
    let made = Recorder<String>()
    let steps = [
      step("a", "A", made: made), step("b", "B", after: ["a"], made: made),
      step("c", "C", after: ["a", "b"], made: made),
    ]
    let first = try run(steps, in: directory)
    #expect(made.all == ["a", "b", "c"])
    let result = try #require(first["c"])
    #expect(try Files.readText("\(result.directory)/out") == "CABA")
    let second = try run(steps, in: directory)
    #expect(made.all.count == 3)
    #expect(second["c"]?.directory == result.directory)
  }

  @Test("Steps that make the same do not make it twice, and nobody's result is taken away")
  func same() throws {
    let directory = try TemporaryDirectory()
    let made = Recorder<String>()
    let steps = ["a", "b", "c"].map { name in
      Step(name: name, kind: "same", version: 1, settings: [], inputs: [], outputs: ["out"]) {
        context throws(BuildError) in
        made.add(name)
        let output = context.output
        try attempt("write") { () throws(SystemError) in try Files.write("x", to: "\(output)/out") }
      }
    }
    let results = try run(steps, in: directory, jobs: 3)
    #expect(made.all == ["a"] && Set(results.values.map(\.directory)).count == 1)
    let cache = try ResultCache(directory.path)
    defer { try? cache.removeScratch() }
    let result = try #require(results["a"])
    let before = try #require(try Files.status("\(result.directory)/out")).inode
    let again = "\(cache.scratch)/again"
    try Files.makeDirectories(again)
    try Files.write("x", to: "\(again)/out")
    let key = try #require(SHA256.Digest(hex: String(result.directory.split(separator: "/").last ?? "")))
    #expect(try cache.store(again, as: key, name: "b", files: ["out"]) == result.digests)
    #expect(try Files.status("\(result.directory)/out")?.inode == before)
  }

  @Test("What changed is made anew, and what depends on it; nothing else")
  func changed() throws {
    let directory = try TemporaryDirectory()
    let made = Recorder<String>()
    func plan(_ text: String, _ recorder: Recorder<String>) -> [Step] {
      [
        step("guest", text, made: recorder), step("other", "O", made: recorder),
        step("medium", "M", after: ["guest", "other"], made: recorder),
      ]
    }
    _ = try run(plan("one", made), in: directory)
    let again = Recorder<String>()
    _ = try run(plan("two", again), in: directory)
    #expect(again.all == ["guest", "medium"])
  }

  @Test("A step that was forced and made the same bytes changes nothing after it")
  func forced() throws {
    let directory = try TemporaryDirectory()
    let first = Recorder<String>()
    _ = try run([step("a", "A", made: first), step("b", "B", after: ["a"], made: first)], in: directory)
    let again = Recorder<String>()
    _ = try run(
      [step("a", "A", made: again, isForced: true), step("b", "B", after: ["a"], made: again)], in: directory)
    #expect(again.all == ["a"])
  }

  @Test("A full disk is told of with what the step's files take, not with their holes")
  func fullDisk() throws {
    let directory = try TemporaryDirectory()
    let failing = Step(
      name: "full", kind: "full", version: 1, settings: [], inputs: [], outputs: ["out"]
    ) { context throws(BuildError) in
      let output = context.output
      try attempt("cannot write") { () throws(SystemError) in
        let file = try FileDescriptor(opening: "\(output)/out", [.readWrite, .create])
        try file.truncate(to: 1 << 40)
        try file.writeAll([UInt8](repeating: 1, count: 3 << 20), at: 1 << 30)
        try file.synchronize()
        throw SystemError("write", path: "out", errno: .noSpace)
      }
    }
    let error = #expect(throws: BuildError.self) { try run([failing], in: directory) }
    #expect(error?.code == .noSpace)
    let line = try #require(error?.details.last)
    #expect(line.contains("'full' had 3 MiB in ") || line.contains("'full' had 4 MiB in "), "\(line)")
  }

  @Test("A failure leaves no result and no scratch, and is the error that is told")
  func failure() throws {
    let directory = try TemporaryDirectory()
    let made = Recorder<String>()
    let failing = Step(
      name: "bad", kind: "bad", version: 1, settings: [], inputs: [], outputs: ["out"]
    ) { context throws(BuildError) in
      let output = context.output
      try attempt("write") { () throws(SystemError) in try Files.write("half", to: "\(output)/out") }
      throw BuildError(.toolFailed, "it broke")
    }
    let error = #expect(throws: BuildError.self) {
      try run([failing, step("after", "X", after: ["bad"], made: made)], in: directory)
    }
    #expect(error?.message == "it broke")
    #expect(made.all.isEmpty)
    #expect(try Files.list("\(directory.path)/results").isEmpty)
    #expect(try Files.list("\(directory.path)/scratch").isEmpty)
  }

  @Test("A step that does not make what it promised is an error")
  func broken() throws {
    let directory = try TemporaryDirectory()
    let empty = Step(
      name: "empty", kind: "empty", version: 1, settings: [], inputs: [], outputs: ["out"]
    ) { _ throws(BuildError) in }
    let error = #expect(throws: BuildError.self) { try run([empty], in: directory) }
    #expect(error?.code == .content)
  }

  @Test("Independent steps run at the same time, no more than asked for")
  func parallel() throws {
    let directory = try TemporaryDirectory()
    let running = Recorder<Int>()
    let steps = (0..<4).map { index in
      Step(
        name: "\(index)", kind: "k\(index)", version: 1, settings: [], inputs: [], outputs: ["out"]
      ) { context throws(BuildError) in
        running.add(1)
        // The first two wait for each other.
        for _ in 0..<6000 where running.all.filter({ $0 == 1 }).count < 2 { MonotonicClock.sleep(milliseconds: 10) }
        MonotonicClock.sleep(milliseconds: 60)
        running.add(-1)
        let output = context.output
        try attempt("write") { () throws(SystemError) in try Files.write("x", to: "\(output)/out") }
      }
    }
    _ = try run(steps, in: directory, jobs: 2)
    var now = 0
    let most = running.all.map { change in
      now += change
      return now
    }.max()
    #expect(most == 2)
  }

  @Test("Steps run at once while their memory fits; one that takes more than there is runs alone")
  func memory() throws {
    func most(_ takes: [Int], of memory: Int) throws -> (bytes: Int, steps: Int) {
      let directory = try TemporaryDirectory()
      let running = Recorder<Int>()
      let steps = takes.enumerated().map { index, bytes in
        var step = Step(
          name: "\(index)", kind: "k\(index)", version: 1, settings: [], inputs: [], outputs: ["out"]
        ) { context throws(BuildError) in
          running.add(bytes)
          MonotonicClock.sleep(milliseconds: 60)
          running.add(-bytes)
          let output = context.output
          try attempt("write") { () throws(SystemError) in try Files.write("x", to: "\(output)/out") }
        }
        step.memory = bytes
        return step
      }
      let cache = try ResultCache(directory.path)
      defer { try? cache.removeScratch() }
      var executor = Executor(cache: cache, epoch: 0, jobs: 16, cancellation: Cancellation())
      executor.memory = memory
      #expect(try executor.run(steps) { _ in }.count == takes.count)
      var (bytes, count, now) = (0, 0, (bytes: 0, steps: 0))
      for change in running.all {
        now = (now.bytes + change, now.steps + change.signum())
        (bytes, count) = (max(bytes, now.bytes), max(count, now.steps))
      }
      return (bytes, count)
    }
    // As many as fit, and no more.
    #expect(try most([300, 300, 300, 300, 300], of: 700) == (600, 2))
    // A small one goes before a large one that has to wait.
    #expect(try most([400, 400, 200], of: 600).bytes <= 600)
    #expect(try most([10, 10, 10, 10], of: 1000).steps == 4)
    #expect(try most([5000, 10, 5000], of: 100) == (5000, 1))
  }

  @Test("What is available is what the machine says")
  func available() {
    #expect(BuildMemory.machine("MemTotal: 9 kB\nMemAvailable:    2048 kB\n") == 2 << 20)
    #expect(BuildMemory.machine("MemTotal: 9 kB\n") == nil)
    #expect(BuildMemory.available > 64 << 20)
    #expect(
      BuildMemory.groups("0::/user.slice/run.scope\n") == [
        "/sys/fs/cgroup/user.slice/run.scope/memory.max", "/sys/fs/cgroup/user.slice/memory.max",
        "/sys/fs/cgroup/memory.max",
      ])
    #expect(
      BuildMemory.groups("5:cpu,memory:/a\n4:cpuset:/b\nnonsense\n") == [
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      ])
    // What a machine of 2 GiB has room for.
    #expect(BuildMemory.Estimate.packages + BuildMemory.Estimate.plain < 1 << 30)
  }

  @Test("Scratch of a build that was killed is cleared, that of a running one is not")
  func leftovers() throws {
    let directory = try TemporaryDirectory()
    try Files.makeDirectories("\(directory.path)/scratch/999999999/0/scratch")
    try Files.makeDirectories("\(directory.path)/scratch/1/0/scratch")
    let cache = try ResultCache(directory.path)
    #expect(!Files.exists("\(directory.path)/scratch/999999999"))
    #expect(Files.exists("\(directory.path)/scratch/1"))
    try cache.removeScratch()
  }

  @Test("A result whose file was lost is not taken for one")
  func incomplete() throws {
    let directory = try TemporaryDirectory()
    let made = Recorder<String>()
    let result = try #require(try run([step("a", "A", made: made)], in: directory)["a"])
    try Files.remove("\(result.directory)/out")
    _ = try run([step("a", "A", made: made)], in: directory)
    #expect(made.all == ["a", "a"])
  }

  @Test("Every part of a step is a part of its key")
  func keys() {
    func key(_ kind: String, _ version: Int, _ settings: [String], _ digests: [String]) -> SHA256.Digest {
      Step(
        name: "n", kind: kind, version: version, settings: settings, inputs: [], outputs: []
      ) { _ throws(BuildError) in }.key(digests: digests)
    }
    let keys = [
      key("a", 1, ["x", "y"], []), key("b", 1, ["x", "y"], []), key("a", 2, ["x", "y"], []), key("a", 1, ["xy"], []),
      key("a", 1, ["x"], ["y"]), key("a", 1, ["y", "x"], []),
    ]
    #expect(Set(keys).count == keys.count)
  }
}
