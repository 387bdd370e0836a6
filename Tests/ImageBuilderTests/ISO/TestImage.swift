import Binary
import Testing

@testable import ImageBuilder
@testable import Platform

/// A small bootable image in a directory of its own, which goes away with it.
final class TestImage: Sendable {
  static let uuid = VolumeUUID(digest: SHA256.hash("a volume for tests"))
  static let epoch = 1_700_000_000
  static let marker = "roost-boot-test"

  /// GRUB's part of it, or why it cannot be made.
  static let missing: String? = {
    for tool in ["grub-mkimage", "mformat", "mmd", "mcopy"] where Command.find(tool) == nil {
      return "this machine has no \(tool)"
    }
    for platform in ["i386-pc", "x86_64-efi"] where !Files.exists("/usr/lib/grub/\(platform)/normal.mod") {
      return "this machine has no GRUB modules for \(platform)"
    }
    return nil
  }()

  /// Says over the serial line which GRUB reads it and what it sees, then ends.
  static let menu = """
    if [ "$grub_platform" = pc ]; then
      serial --unit=0 --speed=115200
      terminal_output serial
    fi
    echo "\(marker) $grub_platform"
    if [ -f /roost/vmlinuz ]; then
      echo "\(marker) medium found"
    fi
    echo "\(marker) done"
    sleep 1
    halt

    """

  let directory: String
  var path: String { "\(directory)/test.iso" }

  init() throws {
    directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-iso-")
  }

  deinit {
    try? Files.removeTree(directory)
  }

  /// A tree of a few files, not bootable.
  func tree() throws -> ISOImage {
    try Files.write("a file of this machine\n", to: "\(directory)/local.txt")
    var image = ISOImage(volumeIdentifier: "ROOST", volumeUUID: Self.uuid, epoch: Self.epoch)
    image.add("/roost/vmlinuz", .bytes(Array("not a kernel\n".utf8)))
    image.add("/roost/initrd.img", .bytes([UInt8](repeating: 0xA5, count: 5000)))
    image.add("/roost/A file with a Rather Long Name, and spaces.txt", .file("\(directory)/local.txt"))
    image.add("/roost/empty", .bytes([]))
    return image
  }

  /// The same with GRUB.
  func bootable(menu: String = TestImage.menu) throws -> ISOImage {
    let output = "\(directory)/grub"
    let scratch = "\(directory)/scratch"
    try Files.makeDirectories(output)
    try Files.makeDirectories(scratch)
    let context = StepContext(
      output: output, scratch: scratch, log: "\(directory)/log", epoch: Self.epoch, cache: directory,
      cancellation: Cancellation(), results: [:], report: { _ in })
    try GRUBImages.make(volume: Self.uuid, context)
    let program = try GRUBImages.makeEFI(volume: Self.uuid, context)
    try EFIPartition(files: [.init(EFIPartition.program, from: program)], volume: Self.uuid).make(
      "\(output)/\(GRUBImages.efiPartition)", context)
    var image = try tree()
    try image.addBootLoader(from: output, menu: menu, signedMenu: nil)
    return image
  }
}
