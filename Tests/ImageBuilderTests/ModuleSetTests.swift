import Platform
import Testing

@testable import ImageBuilder
@testable import Recipe

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

@Suite("Kernel modules of the control domain")
struct ControlModulesTests {
  private static let files = [
    "drivers/net/ethernet/intel/e1000e/e1000e.ko", "drivers/net/ethernet/mellanox/mlx5/core/mlx5_core.ko",
    "drivers/scsi/sd_mod.ko", "drivers/scsi/st.ko", "drivers/scsi/libfc/libfc.ko", "drivers/pps/pps_core.ko",
    "fs/ext4/ext4.ko", "fs/nfs/nfs.ko", "fs/hpfs/hpfs.ko",
  ]

  private func wanted(_ drivers: Recipe.ControlDomain.Drivers, needs: String = "") -> Set<String> {
    let text = Self.files.map { "kernel/\($0):\($0.hasSuffix("e1000e.ko") ? needs : "")\n" }.joined()
    let chosen = ControlModules(drivers: drivers, areUnpacked: false).wanted(ModuleSet.Graph(text))
    return Set(chosen.map { String($0.dropFirst("kernel/".count)) })
  }

  @Test("All but what no machine wants; a PC has no servers' adapters and file systems")
  func choice() {
    let useless = ["drivers/pps/pps_core.ko", "fs/hpfs/hpfs.ko"]
    #expect(wanted(.all) == Set(Self.files).subtracting(useless))
    #expect(
      wanted(.pc) == [
        "drivers/net/ethernet/intel/e1000e/e1000e.ko", "drivers/scsi/sd_mod.ko", "fs/ext4/ext4.ko",
      ])
  }

  @Test("What a wanted module needs is there, wherever it is from")
  func needed() {
    #expect(wanted(.pc, needs: " kernel/drivers/pps/pps_core.ko").contains("drivers/pps/pps_core.ko"))
  }

  @Test("They have lists of just these, and are unpacked where that is smaller", arguments: [false, true])
  func entries(areUnpacked: Bool) throws {
    let directory = try TemporaryDirectory()
    let tar = "\(directory.path)/root.tar"
    let writer = try ArchiveWriter(tar, .tar, epoch: 0)
    let base = "usr/lib/modules/6.1-test"
    // An object file with nothing in it.
    for words in [["as", "-o", "\(directory.path)/a.ko", "/dev/null"], ["xz", "\(directory.path)/a.ko"]] {
      try #require(try ChildProcess.start(ChildRequest(words)).wait() == .exited(0))
    }
    let module = try Files.read("\(directory.path)/a.ko.xz")
    for entry: TreeEntry in [
      .text("\(base)/modules.dep", "kernel/a.ko.xz:\nkernel/fs/hpfs/hpfs.ko.xz:\n"),
      .text("\(base)/modules.dep.bin", "of another set"), .text("\(base)/modules.builtin", "kernel/e.ko\n"),
      .text("\(base)/modules.order", "kernel/a.ko\nkernel/fs/hpfs/hpfs.ko\n"),
      .bytes("\(base)/kernel/a.ko.xz", module), .bytes("\(base)/kernel/fs/hpfs/hpfs.ko.xz", module),
    ] {
      try writer.add(entry)
    }
    try writer.finish()
    let context = StepContext(
      output: directory.path, scratch: directory.path, log: "\(directory.path)/log", epoch: 0, cache: directory.path,
      cancellation: Cancellation(), results: [:], report: { _ in })
    let entries = try ControlModules(drivers: .all, areUnpacked: areUnpacked).entries(tar, context)
    let paths = entries.map { String($0.path.dropFirst(base.count + 1)) }
    #expect(paths.filter { $0.hasPrefix("kernel/") } == [areUnpacked ? "kernel/a.ko" : "kernel/a.ko.xz"])
    #expect(paths.contains("modules.dep.bin") && paths.contains("modules.builtin"))
    let list = try #require(entries.first { $0.path.hasSuffix("/modules.dep") })
    guard case .file(let path) = list.content else { throw BuildError(.content, "\(list)") }
    #expect(try Files.readText(path).hasPrefix(areUnpacked ? "kernel/a.ko:" : "kernel/a.ko.xz:"))
  }
}
