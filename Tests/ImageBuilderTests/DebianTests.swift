import Testing

@testable import ImageBuilder

@Suite("Debian systems")
struct DebianTests {
  private func failure(_ text: String, mirror: String? = nil) -> BuildError {
    DebianFailure(text: text, owner: "web", suite: "trixie", mirror: mirror, log: "/log").error
  }

  @Test("A package that does not exist is named, with its domain")
  func unknownPackage() {
    for text in [
      "I: downloading\nReading package lists...\nE: Unable to locate package nanoo\nE: apt-get failed\n",
      "E: Package 'nanoo' has no installation candidate\n",
      "E: Couldn't find any package by glob 'nanoo'\n",
    ] {
      let error = failure(text)
      #expect(error.code == .unknownPackage)
      #expect(error.message == "web: Debian trixie has no package 'nanoo'")
    }
  }

  @Test("A mirror that does not answer is named, with what to do")
  func unreachable() {
    let text = """
      Err:1 http://127.0.0.1:9 trixie InRelease
        Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)
      E: apt-get update failed
      """
    let error = failure(text, mirror: "http://127.0.0.1:9/")
    #expect(error.code == .mirrorUnreachable)
    #expect(error.message == "web: the mirror http://127.0.0.1:9/ cannot be reached")
    #expect(error.hint?.contains("--mirror") == true)
    #expect(error.details.contains { $0.contains("Connection refused") })
    #expect(error.log == "/log")
  }

  @Test("Other failures show the last errors, not the whole log")
  func other() {
    let text = (1...500).map { "I: line \($0)" }.joined(separator: "\n") + "\nE: setup failed: E: something\n"
    let error = failure(text)
    #expect(error.code == .toolFailed)
    #expect(error.details == ["E: setup failed: E: something"])
  }

  @Test("A release that does not exist, a full disk and a missing key are told apart")
  func kinds() {
    #expect(
      failure("E: The repository 'http://x trixie Release' does not have a Release file.").code == .mirrorUnreachable)
    #expect(failure("dpkg: error: write: No space left on device").code == .noSpace)
    #expect(failure("W: GPG error: NO_PUBKEY 123").hint?.contains("debian-archive-keyring") == true)
  }

  @Test("Inodes in use are all but the free and the reserved")
  func inodes() {
    let listing = """
      Inode count:              32
      Group 0: (Blocks 0-10)
        Free inodes: 14, 17-19
      Group 1: (Blocks 11-20)
        Free inodes: 21-32
      """
    #expect(ExtInodes.used(listing) == [2, 11, 12, 13, 15, 16, 20])
    #expect(ExtInodes.used("nonsense").isEmpty)
  }

  @Test("A guest's system has its own name, and its console does not wait")
  func system() {
    let system = GuestSystem(hostname: "web-1", nameServer: "10.0.0.1")
    #expect(system.description.contains("etc/hostname 420 web-1\n"))
    #expect(system.description.contains("nameserver 10.0.0.1"))
    #expect(GuestBase.omits("boot/vmlinuz-6.1"))
    #expect(!GuestBase.omits("boot"))
    #expect(Set(system.entries.map(\.path)).count == system.entries.count)
  }
}
