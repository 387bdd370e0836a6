import Manifest
import Platform
import TestMachine
import Testing

@testable import Control

/// What it takes to jail a monitor.
private enum JailHost {
  static let isGood =
    ProcessEnvironment.isSuperuser && (try? FileDescriptor(opening: "/dev/kvm", .readWrite).rawValue) != nil
}

/// The domain manager with real monitors in their jails, whose guests are a few instructions.
@Suite(
  "Domains in jails", .ownThreads, .enabled(if: JailHost.isGood, "skipped: it takes root and a usable /dev/kvm"),
  .timeLimit(.minutes(60)))
struct JailedDomainTests {
  /// This file is three below the package's directory.
  private static let monitor =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/.build/debug/roost-vmm"

  /// Types on a domain's console, for as long as what comes back is kept.
  private func type(_ text: String, to domain: String, of fixture: DaemonFixture) throws -> DescriptorBox {
    let console = try UnixSocket.connect(fixture.status(domain).console)
    try console.writeAll(Array(text.utf8))
    return DescriptorBox(console)
  }

  @Test("They are ready, seen, restarted by policy and ended; each is a user of its own, and leaves no socket")
  func lives() throws {
    let fixture = try DaemonFixture()
    fixture.configure {
      $0.jail = true
      $0.monitor = Self.monitor
      $0.kvm = "/dev/kvm"
    }
    try Files.makeDirectories(fixture.configuration.medium)
    try Files.write(MicroKernel.pvh(MicroKernel.commands), to: "\(fixture.configuration.medium)/kernel")
    var domains = ["one", "two"].map {
      Samples.domain($0, memory: 16 << 20, network: false, ready: "up", onCrash: .restart)
    }
    for index in domains.indices {
      domains[index].boot = .init(method: .pvh, kernel: "/kernel", initrd: nil, commandLine: "")
    }
    domains[1].display = .vga
    try fixture.start(domains)
    for (place, name) in ["one", "two"].enumerated() {
      let status = try fixture.await(.ready, of: name)
      let pid = try #require(status.pid)
      let text = try Files.readText("/proc/\(pid)/status")
      #expect(text.contains("Uid:\t\(1_900_000_000 + place)\t") && text.contains("Seccomp:\t2"), "\(text)")
    }

    let picture = try ScreenCapture(of: try fixture.status("two"), within: 120)
    #expect(picture.width == 720 && picture.height == 400)

    let before = try #require(try fixture.status("one").pid)
    let first = try type("r", to: "one", of: fixture)
    try eventually("it was restarted") { try fixture.status("one").restarts == 1 }
    #expect(try fixture.await(.ready, of: "one").pid != before)

    let second = try type("q", to: "one", of: fixture)
    try fixture.await(.off, of: "one")
    #expect(first.file.rawValue != second.file.rawValue)
    let directory = "\(fixture.configuration.runtimeDirectory)/domains/one"
    #expect(try Files.list(directory).filter { $0.hasSuffix(".sock") } == [])
    try fixture.client().perform(.stop, on: "two")
    #expect(try fixture.await(.off, of: "two").reason == nil)
    #expect(try Files.readText("\(fixture.configuration.logDirectory)/one.log").hasSuffix("up"))
  }

  @Test("A domain whose monitor cannot be jailed fails, one whose monitor was taken over crashes, and both say why")
  func refusal() throws {
    let fixture = try DaemonFixture()
    fixture.configure { $0.jail = true }
    try fixture.start([Samples.domain("one", network: false)])
    try eventually("it starts") { fixture.starts("one").count == 1 }
    try fixture.exit("one", 16, saying: "the jail cannot be made: make namespaces: Operation not permitted")
    #expect(
      try fixture.await(.failed, of: "one").reason
        == "the jail cannot be made: make namespaces: Operation not permitted")
    try fixture.client().perform(.start, on: "one")
    try eventually("it starts again") { fixture.starts("one").count == 2 }
    try fixture.exit("one", 15, saying: "it called ptrace, which it must not (arguments 0x10, 0x1, 0x0)")
    #expect(
      try fixture.await(.crashed, of: "one").reason
        == "its monitor was ended: it called ptrace, which it must not (arguments 0x10, 0x1, 0x0)")
  }
}
