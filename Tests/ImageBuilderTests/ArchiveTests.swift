import Platform
import Testing

@testable import ImageBuilder

@Suite("Trees as archives")
struct ArchiveTests {
  private func base(_ directory: TemporaryDirectory) throws -> String {
    let path = "\(directory.path)/base.tar"
    let writer = try ArchiveWriter(path, .tar, epoch: 100)
    for entry: TreeEntry in [
      .directory("usr"), .directory("usr/lib"), .link("lib", to: "usr/lib"), .text("usr/lib/a", "old"),
      .text("usr/lib/b", "keep", permissions: 0o4755), .text("boot/vmlinuz-1", "kernel"),
    ] {
      try writer.add(entry)
    }
    try writer.finish()
    return path
  }

  private func members(_ path: String) throws -> [ArchiveEntry] {
    let reader = try ArchiveReader(path)
    var entries: [ArchiveEntry] = []
    while let entry = try reader.next() { entries.append(entry) }
    return entries
  }

  @Test("Members are left out, replaced and added, with the directories above them")
  func merge() throws {
    let directory = try TemporaryDirectory()
    let output = "\(directory.path)/out.tar"
    let extent = try Tree.merge(
      try base(directory), omitting: { $0.hasPrefix("boot/") },
      adding: [.text("usr/lib/a", "new!"), .text("etc/deep/c", "c"), .text("lib/d", "through a link")], epoch: 50,
      to: output, cancellation: Cancellation())
    let entries = try members(output)
    #expect(
      entries.map(\.path) == [
        "usr", "usr/lib", "lib", "usr/lib/b", "usr/lib/a", "etc", "etc/deep", "etc/deep/c", "lib/d",
      ]
    )
    #expect(entries.first { $0.path == "usr/lib/b" }?.permissions == 0o4755)
    let found = try Tree.extract(output, cancellation: Cancellation()) { $0 == "usr/lib/a" }
    #expect(found["usr/lib/a"] == Array("new!".utf8))
    #expect(extent.inodes == entries.count)
  }

  @Test("Equal trees give equal bytes")
  func deterministic() throws {
    let directory = try TemporaryDirectory()
    try directory.write("host", "content")
    for name in ["one", "two"] {
      let writer = try ArchiveWriter("\(directory.path)/\(name)", .newc, epoch: 1_700_000_000)
      for entry: TreeEntry in [
        .directory("bin"), .file("bin/x", from: "\(directory.path)/host", permissions: 0o755),
        .link("bin/y", to: "x"), TreeEntry(path: "console", content: .device(major: 5, minor: 1), permissions: 0o600),
      ] {
        try writer.add(entry)
      }
      try writer.finish()
      MonotonicClock.sleep(milliseconds: 1100)
      try directory.write("host", "content")
    }
    #expect(try Files.read("\(directory.path)/one") == Files.read("\(directory.path)/two"))
    #expect(try Files.read("\(directory.path)/one").prefix(6) == ArraySlice("070701".utf8))
    #expect(try members("\(directory.path)/one").map(\.path) == ["bin", "bin/x", "bin/y", "console"])
  }

  @Test("A file that is not an archive is an error that names it")
  func notAnArchive() throws {
    let directory = try TemporaryDirectory()
    try directory.write("text", "This is no archive at all, only a line of text.\n")
    let error = #expect(throws: BuildError.self) { try members("\(directory.path)/text") }
    #expect(error?.message.contains("\(directory.path)/text") == true)
  }

  @Test("A cancelled merge stops")
  func cancelled() throws {
    let directory = try TemporaryDirectory()
    let cancellation = Cancellation()
    cancellation.cancel()
    let error = #expect(throws: BuildError.self) {
      try Tree.merge(
        try base(directory), omitting: { _ in false }, adding: [], epoch: 0, to: "\(directory.path)/o",
        cancellation: cancellation)
    }
    #expect(error?.code == .cancelled)
  }

  @Test("A full disk is told as one", .enabled(if: Files.exists("/dev/full"), "skipped: there is no /dev/full"))
  func full() throws {
    let error = #expect(throws: BuildError.self) {
      let writer = try ArchiveWriter("/dev/full", .tar, epoch: 0)
      try writer.add(.bytes("x", [UInt8](repeating: 1, count: 3 << 20)))
      try writer.finish()
    }
    #expect(error?.code == .noSpace)
  }
}
