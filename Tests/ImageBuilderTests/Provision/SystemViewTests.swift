import Platform
import Testing

@testable import ImageBuilder

/// What keeps a disk from being overwritten, on machines that are directories.
@Suite("Devices that are in use") struct SystemViewTests {
  private static let usb = "pci0000:00/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block"

  /// sda is the system's: EFI, an encrypted volume group with / in it. sdb and sdc are USB sticks.
  private func machine(mounts: [String] = []) throws -> TestMachineTree {
    let tree = try TestMachineTree()
    try tree.device(
      "sda", "8:0", below: "pci0000:00/ata1/block", ["device/model": "Disk 500\n", "device/vendor": "ATA\n"])
    try tree.device("sda1", "8:1", below: "pci0000:00/ata1/block/sda", ["partition": "1\n"])
    try tree.device("sda2", "8:2", below: "pci0000:00/ata1/block/sda", ["partition": "2\n", "holders/dm-0": ""])
    try tree.device("dm-0", "253:0", below: "virtual/block", ["slaves/sda2": "", "holders/dm-1": ""])
    try tree.device("dm-1", "253:1", below: "virtual/block", ["slaves/dm-0": ""])
    try tree.device("sdb", "8:16", below: Self.usb, ["removable": "1\n", "device/model": "Ultra\n", "ro": "0\n"])
    try tree.device(
      "sdb1", "8:17", below: "\(Self.usb)/sdb",
      ["partition": "1\n", "uevent": "DEVNAME=sdb1\nPARTNAME=roost-identity\n"])
    try tree.write("sys/devices/pci0000:00/usb2/2-1/idVendor", "0781\n")
    try tree.write("sys/devices/pci0000:00/usb2/2-1/serial", "4C53\n")
    try tree.device("sdc", "8:32", below: "pci0000:00/usb3/3-1/host5/block", ["ro": "1\n"])
    try tree.device("loop0", "7:0", below: "virtual/block")
    try tree.device("sr0", "11:0", below: "pci0000:00/ata2/block", ["removable": "1\n"])
    try tree.mounts(
      ["22 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw", "23 22 8:1 / /boot/efi rw - vfat /dev/sda1 rw"] + mounts)
    return tree
  }

  @Test func theTreeIsReadAsItIs() throws {
    let nodes = try machine().view.tree.nodes
    let stick = try #require(nodes["sdb"])
    #expect(stick.isUSB && stick.isRemovable && !stick.isReadOnly && !stick.isPartition)
    #expect(stick.serial == "4C53" && stick.model == "Ultra" && stick.size == 31_457_280 * 512)
    let part = try #require(nodes["sdb1"])
    #expect(part.isPartition && part.disk == "sdb" && part.partitionName == "roost-identity" && part.number == "8:17")
    #expect(nodes["sda"]?.model == "ATA Disk 500" && nodes["sda"]?.isUSB == false)
    #expect(BlockTree.number(0x10_0203) == "2:259")
  }

  @Test func theSystemsDiskIsRefusedThroughItsLayers() throws {
    let view = try machine().view
    #expect(
      view.objection(toDisk: "sda") == "is the disk that this system runs from: /dev/dm-1 is mounted at /")
    #expect(view.objection(toDisk: "sdb") == nil)
  }

  @Test func aMountedPartitionIsRefused() throws {
    let tree = try machine(mounts: ["40 22 8:17 / /media/a\\040b rw - vfat /dev/sdb1 rw"])
    #expect(tree.view.objection(toDisk: "sdb")?.contains("/dev/sdb1 is mounted at /media/a b") == true)
    // A file system with a number of its own (btrfs) is known by its source.
    let other = try machine(mounts: ["40 22 0:44 / /data rw - btrfs /dev/sdb1 rw"])
    #expect(other.view.objection(toDisk: "sdb")?.contains("/dev/sdb1 is mounted at /data") == true)
  }

  @Test func aFileSystemInAFileOnTheDiskIsSeen() throws {
    // loop1 shows a file on sdb1, which was unmounted lazily but for what is in loop1.
    let tree = try machine(mounts: [
      "40 22 8:17 / /media/stick rw - vfat /dev/sdb1 rw", "41 22 7:1 / /mnt rw - ext4 /dev/loop1 rw",
    ])
    try tree.device("loop1", "7:1", below: "virtual/block", ["loop/backing_file": "/media/stick/x.img\n"])
    #expect(tree.view.objection(toDisk: "sdb") != nil)
    #expect(tree.view.objection(toDisk: "loop1")?.contains("is mounted at /mnt") == true)
    #expect(tree.view.objection(toFile: "/media/stick/x.img")?.contains("/dev/loop1 shows it") == true)
    #expect(tree.view.objection(toFile: "/media/stick/y.img") == nil)
  }

  @Test func aLoopDeviceOverAPartitionIsSeen() throws {
    let tree = try machine()
    try tree.device("loop1", "7:1", below: "virtual/block", ["loop/backing_file": "/dev/sdb1\n"])
    #expect(tree.view.objection(toDisk: "sdb") == "is in use: /dev/loop1 shows /dev/sdb1")
  }

  @Test func swapAndHoldersAreSeen() throws {
    let tree = try machine()
    try tree.write(
      "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb1\tpartition\t1\t0\t-2\n/swapfile file 1 0 -3\n")
    #expect(tree.view.objection(toDisk: "sdb") == "is in use: /dev/sdb1 is swap space; 'swapoff /dev/sdb1' ends that")
    #expect(tree.view.objection(toFile: "/swapfile") == "is in use: it is swap space")
    let held = try machine()
    try held.write("sys/devices/\(Self.usb)/sdb/sdb1/holders/dm-7", "")
    #expect(held.view.objection(toDisk: "sdb")?.hasPrefix("is in use: /dev/sdb1 is a part of /dev/dm-7") == true)
  }

  @Test func onlyWholeDisksThatCanBeWritten() throws {
    let image = try StickImage.shared.get()
    let view = try machine().view
    let examination = TargetExamination(view: view, image: try HybridImage(image.path), fileSize: nil)
    func objection(_ name: String) throws -> String? { examination.objection(to: try #require(view.tree.nodes[name])) }
    #expect(try objection("sdb1") == "is a partition; name the whole disk, /dev/sdb")
    #expect(try objection("sr0") == "is an optical drive")
    #expect(try objection("sdc")?.hasPrefix("is read-only") == true)
    #expect(try objection("sdb") == nil)
  }

  @Test func candidatesAreRemovableDisksOnly() throws {
    let lines = Provisioning.candidates(try machine(mounts: ["40 22 8:17 / /media rw - vfat /dev/sdb1 rw"]).view)
    #expect(lines.count == 2)
    #expect(lines.first?.hasPrefix("/dev/sdb   16.1 GB  Ultra, serial 4C53\n    is in use: ") == true)
    #expect(lines.last == "/dev/sdc   16.1 GB  unknown model")
  }

  @Test func theRunningMediumIsTheWholeDisk() throws {
    let tree = try machine(mounts: ["40 22 8:17 / /run/roost/medium ro - iso9660 /dev/sdb1 ro"])
    #expect(tree.view.runningMedium?.name == "sdb")
    #expect(tree.view.objection(toDisk: "sdb")?.hasPrefix("is the disk that this system runs from") == true)
    #expect(try machine().view.runningMedium == nil)
  }
}
