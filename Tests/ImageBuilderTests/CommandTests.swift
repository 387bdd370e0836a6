import Platform
import Testing

@testable import ImageBuilder

@Suite("Programs of the host")
struct CommandTests {
  @Test("Output of both streams is kept in order, and the end is told")
  func output() throws {
    let recorder = Recorder<String>()
    let outcome = try Command(["sh", "-c", "echo one; echo two >&2; printf three; exit 3"])
      .run(cancellation: Cancellation()) { recorder.add($0) }
    #expect(outcome.status == .exited(3))
    #expect(recorder.all == ["one", "two", "three"])
    #expect(outcome.text == "one\ntwo\nthree\n")
  }

  @Test("What a program prints is in the log, whole")
  func log() throws {
    let directory = try TemporaryDirectory()
    let log = "\(directory.path)/log"
    _ = try Command(["sh", "-c", "seq 1 50000"]).run(cancellation: Cancellation(), log: log)
    let lines = try directory.text("log").split(separator: "\n")
    #expect(lines.count == 50001)
    #expect(lines.last == "50000")
  }

  @Test("Locale, time zone and time are the builder's, not the user's")
  func environment() throws {
    let text = try Command(["env"], environment: ["EXTRA": "1"], epoch: 7).run(cancellation: Cancellation()).text
    let lines = Set(text.split(separator: "\n").map(String.init))
    for line in ["LC_ALL=C.UTF-8", "TZ=UTC", "SOURCE_DATE_EPOCH=7", "E2FSPROGS_FAKE_TIME=7", "EXTRA=1"] {
      #expect(lines.contains(line))
    }
    #expect(!lines.contains { $0.hasPrefix("LD_LIBRARY_PATH=") || $0.hasPrefix("SHELL=") })
  }

  @Test("A missing program is named with its package")
  func missing() throws {
    #expect(Tool.missing("mke2fs").hint == "install it: apt-get install e2fsprogs")
    let error = #expect(throws: BuildError.self) {
      try Command(["no-such-program"]).run(cancellation: Cancellation())
    }
    #expect(error?.code == .missingTool)
    #expect(error?.message.contains("no-such-program") == true)
  }

  @Test("A cancellation ends the program and what it started")
  func cancel() throws {
    let directory = try TemporaryDirectory()
    let cancellation = Cancellation()
    let file = "\(directory.path)/pid"
    let canceller = try Thread("canceller") {
      while !Files.exists(file) || (try? Files.readText(file))?.hasSuffix("\n") != true {
        MonotonicClock.sleep(milliseconds: 10)
      }
      cancellation.cancel()
    }
    let error = #expect(throws: BuildError.self) {
      try Command(["sh", "-c", "sleep 1000 & echo $! > \(file); wait"]).run(cancellation: cancellation)
    }
    canceller.join()
    #expect(error?.code == .cancelled)
    let grandchild = try Files.readText(file).split(separator: "\n").first ?? ""
    var gone = false
    for _ in 0..<100 where !gone {
      // A zombie that the machine's first process is to reap is gone, too.
      let state = (try? Files.readText("/proc/\(grandchild)/stat"))?.split(separator: ")").last?.first { $0 != " " }
      gone = state == nil || state == "Z"
      if !gone { MonotonicClock.sleep(milliseconds: 20) }
    }
    #expect(gone, "process \(grandchild) still runs")
  }

  @Test("After a cancellation nothing is started")
  func nothingAfterwards() throws {
    let directory = try TemporaryDirectory()
    let cancellation = Cancellation()
    cancellation.cancel()
    #expect(throws: BuildError.self) {
      try Command(["touch", "\(directory.path)/made"]).run(cancellation: cancellation)
    }
    #expect(!Files.exists("\(directory.path)/made"))
  }
}
