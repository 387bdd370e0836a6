import Binary
import Platform
import TestMachine
import Testing

@testable import ImageBuilder

@Suite(
  "Builds that fill their disk", .ownThreads, .serialized,
  .enabled(if: FakeBuild.isSuperuser, "skipped: a small file system takes the superuser"))
struct FullDiskTests {
  private static let mebibyte = 1 << 20

  @Test("Each step that finds no room says so and leaves nothing behind; with room the image is the same")
  func eachStep() throws {
    let undisturbed = try FakeBuild()
    let (text, isDone) = try undisturbed.run()
    try #require(isDone, "\(text)")
    let place = try TemporaryDirectory()
    try Mount.mount("tmpfs", at: place.path, type: "tmpfs", options: "size=256k")
    defer { try? Mount.unmount(place.path, lazily: true) }
    let build = try FakeBuild(in: place.path)
    var stopped: Set<String> = []
    var size = 1 << 18  // bytes
    while size < 256 * Self.mebibyte {
      let (log, isDone) = try build.run(["--jobs", "1"])
      if isDone { break }
      let lines = log.split(separator: "\n")
      let error = try #require(lines.first { $0.contains("\"event\":\"error\"") }, "\(size): \(log)")
      #expect(error.contains("\"code\":\"noSpace\""), "\(size): \(log)")
      #expect(error.contains(place.path), "\(size): \(error)")
      #expect(error.contains("MiB"), "\(size): \(error)")
      #expect(error.contains("\"hint\":\"free some space"), "\(size): \(error)")
      if let failed = lines.first(where: { $0.contains("\"event\":\"failed\"") }),
        let name = failed.split(separator: "\"name\":\"").dropFirst().first?.split(separator: "\"").first
      {
        stopped.insert(String(name))
      }
      try build.expectClean("\(size): \(error)")
      // A little more each time: the next step is to find too little.
      size += 500 << 10
      try Mount.mount("tmpfs", at: place.path, [.remount], options: "size=\(size)")
    }
    #expect(try FileDigest.plain(build.output) == FileDigest.plain(undisturbed.output))
    print("full disks: \(stopped.count) steps found no room: \(stopped.sorted().joined(separator: ", "))")
    // Every step that writes as much as the room grows by.
    #expect(stopped.count >= 8, "\(stopped.sorted())")
  }

  @Test("A full disk beside the cache keeps the old image")
  func output() throws {
    let place = try TemporaryDirectory()
    try Mount.mount("tmpfs", at: place.path, type: "tmpfs", options: "size=1m")
    defer { try? Mount.unmount(place.path, lazily: true) }
    let build = try FakeBuild()
    try place.write("old.iso", "the old image")
    let (log, isDone) = try build.run(["-o", "\(place.path)/old.iso"])
    #expect(!isDone && log.contains("\"code\":\"noSpace\""), "\(log)")
    #expect(log.contains("MiB free, and the image"), "\(log)")
    #expect(try Files.list(place.path) == ["old.iso"])
    #expect(try place.text("old.iso") == "the old image")
  }
}
