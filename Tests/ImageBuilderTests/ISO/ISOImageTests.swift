import Testing

@testable import ImageBuilder
@testable import Platform

/// The writing of images: what goes in comes out, and what goes wrong leaves the old file alone.
@Suite struct ISOImageTests {
  /// Read back by another program.
  @Test(.enabled(if: Command.find("xorriso") != nil, "this machine has no xorriso"))
  func filesComeOutAsTheyWentIn() throws {
    let test = try TestImage()
    try test.tree().write(to: test.path)
    let out = "\(test.directory)/out"
    let command = Command(["xorriso", "-osirrox", "on", "-indev", test.path, "-extract", "/", out])
    #expect(try command.run(cancellation: Cancellation()).status.isSuccess)
    #expect(try Files.read("\(out)/roost/initrd.img") == [UInt8](repeating: 0xA5, count: 5000))
    #expect(
      try Files.readText("\(out)/roost/A file with a Rather Long Name, and spaces.txt") == "a file of this machine\n")
    #expect(try Files.list("\(out)/roost").count == 4)
    let status = try #require(try Files.status("\(out)/roost/vmlinuz"))
    #expect(status.permissions == 0o444 && status.modified == TestImage.epoch)
    #expect(try Files.status("\(out)/roost/empty")?.size == 0)
  }

  @Test func progressReachesTheEnd() throws {
    let test = try TestImage()
    try sparse("\(test.directory)/large", megabytes: 48)
    var image = try test.tree()
    image.add("/large", .file("\(test.directory)/large"))
    var seen: [ISOImage.Progress] = []
    try image.write(to: test.path) { seen.append($0) }
    #expect(seen.count > 20)
    #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.done <= $1.done })
    #expect(seen.last?.done == seen.last?.total)
    #expect(seen.last?.total == (try Files.status(test.path))?.size)
  }

  @Test(arguments: ["/nonexistent/file", "/dev/null", "/tmp"])
  func namesAFileThatCannotBeUsed(_ source: String) throws {
    let error = try failure { image, _ in image.add("/roost/x", .file(source)) }
    #expect(error.code == .badFile)
    #expect(error.description.contains("/roost/x") && error.description.contains(source))
  }

  @Test(arguments: ["roost/vmlinuz", "/roost/../x", "/", "/roost/vmlinuz", "/roost/vmlinuz/x"])
  func refusesAPathThatCannotBe(_ path: String) throws {
    let error = try failure { image, _ in image.add(path, .bytes([1])) }
    #expect(error.code == .content)
  }

  @Test func aFileThatShrinksMeanwhileIsAnError() throws {
    let test = try TestImage()
    let source = "\(test.directory)/large"
    try sparse(source, megabytes: 64)
    var image = try test.tree()
    image.add("/large", .file(source))
    try Files.write("the old image", to: test.path)
    let error = #expect(throws: BuildError.self) {
      try image.write(to: test.path) { progress in
        guard progress.done == 0, let file = try? FileDescriptor(opening: source, .writeOnly) else { return }
        try? file.truncate(to: 1 << 20)
      }
    }
    #expect(error?.code == .badFile)
    try expectOldImage(test)
  }

  @Test func cancellingLeavesTheOldImage() throws {
    let test = try TestImage()
    try sparse("\(test.directory)/large", megabytes: 64)
    var image = try test.tree()
    image.add("/large", .file("\(test.directory)/large"))
    try Files.write("the old image", to: test.path)
    let cancellation = Cancellation()
    let error = #expect(throws: BuildError.self) {
      try image.write(to: test.path, cancellation: cancellation) { progress in
        if progress.done > 0 { cancellation.cancel() }
      }
    }
    #expect(error?.code == .cancelled)
    try expectOldImage(test)
  }

  /// A small file system, full before the start, and filled up on the way.
  @Test(
    .enabled(if: canMount, "mounting a small file system is not allowed here"),
    arguments: [true, false])
  func noSpaceLeavesTheOldImage(_ fillsUpOnTheWay: Bool) throws {
    let test = try TestImage()
    let place = "\(test.directory)/small"
    try Files.makeDirectories(place)
    let size = fillsUpOnTheWay ? "size=24m" : "size=4m"
    try Mount.mount("tmpfs", at: place, type: "tmpfs", options: size)
    defer { try? Mount.unmount(place) }
    try sparse("\(test.directory)/large", megabytes: 16)
    var image = try test.tree()
    image.add("/large", .file("\(test.directory)/large"))
    let target = "\(place)/test.iso"
    try Files.write("the old image", to: target)
    let error = #expect(throws: BuildError.self) {
      try image.write(to: target) { progress in
        guard fillsUpOnTheWay, progress.done == 0 else { return }
        try? Files.write([UInt8](repeating: 1, count: 12 << 20), to: "\(place)/ballast")
      }
    }
    #expect(error?.code == .noSpace)
    #expect(error?.description.contains("-o") == true)
    #expect(try Files.readText(target) == "the old image")
    #expect(try Files.list(place).filter { $0 != "ballast" } == ["test.iso"])
  }

  private static let canMount: Bool = {
    guard let place = try? Files.makeTemporaryDirectory(prefix: "/tmp/roost-mount-") else { return false }
    defer { try? Files.remove(place) }
    guard (try? Mount.mount("tmpfs", at: place, type: "tmpfs", options: "size=1m")) != nil else { return false }
    try? Mount.unmount(place)
    return true
  }()

  private func failure(_ change: (inout ISOImage, TestImage) -> Void) throws -> BuildError {
    let test = try TestImage()
    var image = try test.tree()
    change(&image, test)
    try Files.write("the old image", to: test.path)
    let error = #expect(throws: BuildError.self) { try image.write(to: test.path) }
    try expectOldImage(test)
    return try #require(error)
  }

  private func expectOldImage(_ test: TestImage) throws {
    #expect(try Files.readText(test.path) == "the old image")
    #expect(try Files.list(test.directory).filter { $0.hasSuffix(".partial") }.isEmpty)
  }

  private func sparse(_ path: String, megabytes: Int) throws {
    try FileDescriptor(opening: path, [.writeOnly, .create, .truncate]).truncate(to: megabytes << 20)
  }
}
