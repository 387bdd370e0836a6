import Testing

@testable import ImageBuilder

@Suite("Kernel modules")
struct ModuleSetTests {
  @Test("Names and paths lose their compression and their hyphens")
  func names() {
    #expect(ModuleSet.name(of: "kernel/drivers/usb/host/xhci-pci.ko.xz") == "xhci_pci")
    #expect(ModuleSet.plain("kernel/fs/ext4/ext4.ko.xz") == "kernel/fs/ext4/ext4.ko")
    #expect(ModuleSet.plain("kernel/fs/ext4/ext4.ko") == "kernel/fs/ext4/ext4.ko")
  }

  @Test("What a module needs comes before it, once")
  func order() {
    let graph = ModuleSet.Graph(
      """
      k/ext4.ko: k/jbd2.ko k/mbcache.ko k/crc16.ko
      k/jbd2.ko: k/crc16.ko
      k/mbcache.ko:
      k/crc16.ko:
      k/other.ko:
      """)
    let order = graph.closure(of: ["k/ext4.ko", "k/jbd2.ko"])
    #expect(order == ["k/crc16.ko", "k/mbcache.ko", "k/jbd2.ko", "k/ext4.ko"])
  }

  @Test("A chosen set has its own lists, and its modules are decompressed")
  func subset() throws {
    let directory = try TemporaryDirectory()
    let tar = "\(directory.path)/root.tar"
    let writer = try ArchiveWriter(tar, .tar, epoch: 0)
    let base = "usr/lib/modules/6.1-test"
    for entry: TreeEntry in [
      .text("\(base)/modules.dep", "kernel/a-b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/d.ko:\n"),
      .text("\(base)/modules.alias", "# comment\nalias pci:x a_b\nalias pci:y d\n"),
      .text("\(base)/modules.softdep", "softdep a-b pre: c\nsoftdep d pre: c\n"),
      .text("\(base)/modules.builtin", "kernel/e.ko\n"), .text("\(base)/kernel/a-b.ko", "A"),
      .text("\(base)/kernel/c.ko", "C"), .text("\(base)/kernel/d.ko", "D"),
    ] {
      try writer.add(entry)
    }
    try writer.finish()
    let set = try ModuleSet(tar: tar, names: ["a-b", "e", "absent"], cancellation: Cancellation())
    #expect(set.version == "6.1-test")
    #expect(set.modules.map(\.name) == ["c", "a_b"])
    #expect(set.dependencies == "kernel/a-b.ko: kernel/c.ko\nkernel/c.ko:\n")
    #expect(set.aliases == "alias pci:x a_b\n")
    #expect(set.softDependencies == "softdep a-b pre: c\n")
    #expect(set.unchanged["modules.builtin"] == Array("kernel/e.ko\n".utf8))
  }

  @Test("A root without modules is an error")
  func none() throws {
    let directory = try TemporaryDirectory()
    let writer = try ArchiveWriter("\(directory.path)/root.tar", .tar, epoch: 0)
    try writer.add(.text("etc/hostname", "x"))
    try writer.finish()
    #expect(throws: BuildError.self) {
      try ModuleSet(tar: "\(directory.path)/root.tar", names: ["ext4"], cancellation: Cancellation())
    }
  }
}
