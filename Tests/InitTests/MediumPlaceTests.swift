import Platform
import Testing

@testable import Init

@Suite("Media that are files, in memory or far away")
struct MediumPlaceTests {
  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-medium-")
    defer { try? Files.removeTree(directory) }
    try body(directory)
  }

  @Test(
    "GRUB's paths lose their device",
    arguments: [
      ("/images/lab.iso", "images/lab.iso"), ("(hd0,gpt1)/images/lab.iso", "images/lab.iso"), ("lab.iso", "lab.iso"),
      ("//a//b.iso", "a/b.iso"), ("(", ""), ("", ""),
    ])
  func paths(_ given: String, _ plain: String) {
    #expect(ImageFile.plain(given) == plain)
  }

  @Test("Images are looked for near the root: two folders deep, no links followed, and not for ever")
  func images() throws {
    try withDirectory { directory in
      try Files.makeDirectories("\(directory)/a/b/c")
      for path in ["z.ISO", "a/y.iso", "a/b/x.iso", "a/b/c/deep.iso", "a/text.txt"] {
        try Files.write("x", to: "\(directory)/\(path)")
      }
      try Files.link("\(directory)/link.iso", to: "/etc/passwd")
      try Files.link("\(directory)/loop", to: directory)
      #expect(ImageFile.images(below: directory) == ["z.ISO", "a/y.iso", "a/b/x.iso"])
      #expect(ImageFile.images(below: directory, limit: 2).count <= 2)
      #expect(ImageFile.images(below: "\(directory)/nothing").isEmpty)
    }
  }

  @Test("Only a file of the file system itself is opened: no pipe, no folder, nothing that a link finds elsewhere")
  func files() throws {
    try withDirectory { directory in
      let stick = "\(directory)/stick"
      try Files.makeDirectories("\(stick)/a")
      try Files.write("x", to: "\(stick)/a/x.iso")
      try Files.write("x", to: "\(directory)/beside.iso")
      try Files.link("\(stick)/near.iso", to: "a/x.iso")
      try Files.link("\(stick)/far.iso", to: "../beside.iso")
      try Files.link("\(stick)/zero.iso", to: "/dev/zero")
      #expect(try ChildProcess.start(ChildRequest(["mkfifo", "\(stick)/pipe.iso"])).wait() == .exited(0))
      for path in ["a/x.iso", "near.iso"] { #expect(ImageFile.isFile(path, in: stick), "\(path)") }
      for path in ["", "a", "none.iso", "far.iso", "zero.iso", "pipe.iso", "../beside.iso"] {
        #expect(!ImageFile.isFile(path, in: stick), "\(path)")
      }
    }
  }

  @Test("An ext file system's journal is not replayed, and no error in one stops the kernel")
  func options() {
    for (name, system) in ImageFile.fileSystems {
      #expect((system.options == "noload,errors=continue") == name.hasPrefix("ext"), "\(name)")
    }
  }

  @Test("The kernel says how much memory there is to have")
  func memory() {
    #expect(MediumInMemory.availableMemory("MemTotal: 10 kB\nMemAvailable:    2048 kB\n") == 2 << 20)
    #expect(MediumInMemory.availableMemory("") == 0)
    #expect(MediumInMemory.availableMemory("MemAvailable: x kB\n") == 0)
  }

  @Test("Network cards are those with a device, and the one that PXE used comes first")
  func cards() throws {
    try withDirectory { directory in
      for (name, type, address) in [
        ("eth0", "1", "52:54:00:00:00:01"), ("eth1", "1", "52:54:00:ab:cd:ef"), ("lo", "772", "00:00:00:00:00:00"),
        ("dummy0", "1", "52:54:00:00:00:09"),
      ] {
        let place = "\(directory)/class/net/\(name)"
        try Files.makeDirectories(name.hasPrefix("eth") ? "\(place)/device" : place)
        try Files.write("\(type)\n", to: "\(place)/type")
        try Files.write("\(address)\n", to: "\(place)/address")
      }
      #expect(MediumDownload.cards(sys: directory) == ["eth0", "eth1"])
      #expect(MediumDownload.cards(sys: directory, started: "01-52-54-00-AB-CD-EF") == ["eth1", "eth0"])
      #expect(MediumDownload.cards(sys: directory, started: "nonsense") == ["eth0", "eth1"])
    }
  }
}
