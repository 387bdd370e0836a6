import Binary
import Platform
import TestMachine
import Testing

@testable import ImageBuilder

@Suite("Builds that are killed", .ownThreads, .serialized)
struct KilledBuildTests {
  @Test("Killed in each of its steps, the next build clears up and makes the same image")
  func eachStep() throws {
    let undisturbed = try FakeBuild()
    let (text, isDone) = try undisturbed.run()
    try #require(isDone, "\(text)")
    let expected = try FileDigest.plain(undisturbed.output)
    let steps = Self.names(in: text, event: "started")
    try #require(steps.count >= 14, "\(text)")
    let build = try FakeBuild()
    // Each step is what a build makes when it is killed: at its beginning or a little later. A short one may be done before
    // the signal arrives, and is tried again.
    for (index, step) in steps.enumerated() {
      var isKilled = false
      for attempt in 0..<20 where !isKilled {
        try Self.forget(step, build)
        let child = try build.start(["--jobs", "1"])
        let delay = attempt == 0 ? index % 2 * 15 : 0
        _ = try build.kill(child, after: UInt32(delay)) { Self.names(in: $0, event: "started").contains(step) }
        isKilled = try !Self.names(in: build.directory.text("log"), event: "finished").contains(step)
        // What a reader finds is whole, whatever was going on.
        let broken = try BuildCache(build.cache).verify(cancellation: Cancellation()) { _ in }
        #expect(broken.isEmpty, "\(step): \(broken.map(\.name))")
      }
      #expect(isKilled, "\(step)")
    }
    let (last, isWhole) = try build.run()
    try #require(isWhole, "\(last)")
    #expect(try FileDigest.plain(build.output) == expected)
    #expect(try Files.list("\(build.cache)/scratch").isEmpty)
    let folder = build.directory.path
    #expect(try Files.list(folder).filter { $0.hasSuffix(".new") || $0.hasSuffix(".partial") }.isEmpty)
  }

  /// The steps that a build tells such events of.
  private static func names(in log: String, event: String) -> [String] {
    log.split(separator: "\n").filter { $0.contains("\"event\":\"\(event)\"") }.compactMap { line in
      line.split(separator: "\"name\":\"").dropFirst().first?.split(separator: "\"").first.map(String.init)
    }
  }

  /// Removes what a step made, so that it is made again.
  private static func forget(_ step: String, _ build: FakeBuild) throws {
    if step == Medium.stepName { try Files.remove(build.output) }
    let results = "\(build.cache)/results"
    for key in (try? Files.list(results)) ?? [] {
      let name = try? Files.readText("\(results)/\(key)/\(ResultCache.nameFile)")
      if name == step { try Files.removeTree("\(results)/\(key)") }
    }
  }

  @Test("Programs and mounts that a killed build left are gone with the next one; what is mounted keeps its files")
  func orphans() throws {
    let build = try FakeBuild()
    let path = build.directory.path
    try build.directory.write("hang", "")
    let child = try build.start(["--jobs", "1"])
    #expect(try build.kill(child) { _ in (try? build.directory.text("orphan"))?.hasSuffix("\n") == true })
    let orphan = try build.directory.text("orphan").filter { $0 != "\n" }
    // It has a session of its own, and survives.
    #expect(Self.isThere(orphan))
    let scratch = try #require(try Files.list("\(build.cache)/scratch").first)
    try build.directory.write("kept", "mine")
    if FakeBuild.isSuperuser {
      let mount = "\(build.cache)/scratch/\(scratch)/mounted"
      try Files.makeDirectories(mount)
      try Mount.mount(path, at: mount, [.bind])
    } else {
      print("killed builds: mounts are not tried, which takes the superuser")
    }
    try Files.remove("\(path)/hang")
    let (text, isDone) = try build.run()
    #expect(isDone, "\(text)")
    #expect(!Self.isThere(orphan))
    #expect(try Files.list("\(build.cache)/scratch").isEmpty)
    #expect(try !Files.readText("/proc/self/mountinfo").contains(build.cache))
    #expect(try build.directory.text("kept") == "mine")
  }

  private static func isThere(_ pid: String) -> Bool {
    guard let text = try? Files.readText("/proc/\(pid)/stat") else { return false }
    return !text.contains(") Z ")
  }

  @Test("Half an image that a killed build left is removed, that of a running one is not, nor what has another name")
  func parts() throws {
    let directory = try TemporaryDirectory()
    let pid = Leftovers.ownName.prefix { $0 != "-" }
    let gone = ["out.iso.roost-999999999-1.partial", "out.iso.roost-\(pid)-1.partial"]
    let kept = [
      "out.iso", "out.iso.roost-\(Leftovers.ownName).partial", "out.iso.999999999.new", "out.iso.2024.new",
      "out.iso.roost-x-1.partial", "out.iso.roost-.partial", "out.iso.roost-1-2-3.partial",
      "out.iso.roost-+9999999-1.partial",
      "other.iso.roost-999999999-1.partial", "out.iso.roost-999999999-1.partial.bak",
    ]
    for name in gone + kept { try directory.write(name, "x") }
    try Files.makeDirectories("\(directory.path)/out.iso.roost-999999999-2.partial")
    Leftovers.sweepParts(of: "\(directory.path)/out.iso")
    #expect(try Files.list(directory.path).sorted() == (kept + ["out.iso.roost-999999999-2.partial"]).sorted())
  }

  @Test("What is written of an image has the name that the next build looks for")
  func partName() throws {
    let directory = try TemporaryDirectory()
    let image = ISOImage(volumeIdentifier: "X", volumeUUID: VolumeUUID(digest: SHA256.hash("x")), epoch: 1_000_000)
    let seen = Recorder<[String]>()
    try image.write(to: "\(directory.path)/out.iso") { _ in seen.add((try? Files.list(directory.path)) ?? []) }
    #expect(seen.all.first == ["out.iso.roost-\(Leftovers.ownName).partial"])
    #expect(try Files.list(directory.path) == ["out.iso"])
  }

  @Test("What is no build's scratch stays, links lead nowhere, and the cache may be behind one")
  func foreign() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    for folder in ["real/scratch/999999999-1", "real/scratch/notes", "elsewhere"] {
      try Files.makeDirectories("\(path)/\(folder)")
    }
    try directory.write("elsewhere/file", "mine")
    try Files.link("\(path)/real/scratch/999999998", to: "\(path)/elsewhere")
    try Files.link("\(path)/cache", to: "\(path)/real")
    let cache = try ResultCache("\(path)/cache")
    #expect(cache.scratch == "\(path)/real/scratch/\(Leftovers.ownName)")
    #expect(try Files.list("\(path)/real/scratch").sorted() == [Leftovers.ownName, "notes"].sorted())
    #expect(try directory.text("elsewhere/file") == "mine")
  }

  @Test("A build is known by its number and by when it started")
  func running() {
    let own = Leftovers.ownName
    #expect(own.contains("-") && Leftovers.isRunning(own))
    let pid = own.prefix { $0 != "-" }
    #expect(Leftovers.isRunning(String(pid)) && !Leftovers.isRunning("\(pid)-1"))
    #expect(!Leftovers.isRunning("999999999") && !Leftovers.isRunning("x") && !Leftovers.isRunning(""))
  }
}
