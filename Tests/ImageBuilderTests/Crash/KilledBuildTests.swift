import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("Builds that are killed", .serialized)
struct KilledBuildTests {
  @Test("Killed in each of its steps, the next build clears up and makes the same image")
  func eachStep() throws {
    let undisturbed = try FakeBuild()
    let (text, isDone) = try undisturbed.run()
    try #require(isDone, "\(text)")
    let expected = try FileDigest.plain(undisturbed.output)
    let steps = text.split(separator: "\n").filter { $0.contains("\"event\":\"started\"") }.count
    try #require(steps >= 14, "\(text)")
    let build = try FakeBuild()
    // Each build makes one step more, and is killed in the next one: at its beginning or a little later.
    var killed = 0
    while !Files.exists(build.output), killed <= steps {
      let isKilled = try build.kill(try build.start(["--jobs", "1"]), after: UInt32(killed % 2 * 15)) { log in
        log.split(separator: "\"event\":\"started\"").count > (killed == 0 ? 1 : 2)
      }
      if isKilled { killed += 1 }
      // What a reader finds is whole, whatever was going on.
      let broken = try BuildCache(build.cache).verify(cancellation: Cancellation()) { _ in }
      #expect(broken.isEmpty, "\(broken.map(\.name))")
    }
    #expect(killed >= steps - 1, "\(killed)")
    let (last, isWhole) = try build.run()
    try #require(isWhole, "\(last)")
    #expect(try FileDigest.plain(build.output) == expected)
    #expect(try Files.list("\(build.cache)/scratch").isEmpty)
    let folder = build.directory.path
    #expect(try Files.list(folder).filter { $0.hasSuffix(".new") }.isEmpty)
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

  @Test("Half an image that a killed build left is removed, that of a running one is not")
  func parts() throws {
    let directory = try TemporaryDirectory()
    let names = ["out.iso.999999999.new", "out.iso.1.new", "out.iso.x.new", "other.iso.999999999.new", "out.iso"]
    for name in names { try directory.write(name, "x") }
    Leftovers.sweepParts(of: "\(directory.path)/out.iso")
    #expect(try Files.list(directory.path).sorted() == names.dropFirst().sorted())
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
