import Identity
import Platform
import Synchronization
import TestMachine
import Testing

@testable import ImageBuilder

/// Loop devices need the kernel's module and its permission.
private let canAttach =
  ProcessEnvironment.isSuperuser && (try? FileDescriptor(opening: "/dev/loop-control", .readWrite)) != nil

@Suite(
  "Sticks that are block devices", .serialized,
  .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"),
  .enabled(if: canAttach, "loop devices need the superuser's rights and /dev/loop-control"))
struct ProvisioningDeviceTests {
  private static func withLoop(_ body: (StickImage, LoopDevice, String) throws -> Void) throws {
    let image = try StickImage.shared.get()
    let directory = try TemporaryDirectory()
    let backing = "\(directory.path)/backing"
    try Files.write([], to: backing)
    try FileDescriptor(opening: backing, .readWrite).truncate(to: 96 << 20)
    let loop = try LoopDevice.attach(backing, readOnly: false)
    defer { try? loop.detach() }
    try body(image, loop, backing)
  }

  @Test func aDeviceIsWrittenAndHeld() throws {
    try Self.withLoop { image, loop, backing in
      let provisioning = try Provisioning(ProvisionRequest(image: image.path, targets: [loop.path]))
      let target = try #require(provisioning.targets.first)
      #expect(target.size == 96 << 20 && target.contents == [])
      // Nobody else takes it meanwhile.
      #expect {
        try Provisioning(ProvisionRequest(image: image.path, targets: [loop.path]))
      } throws: { error in
        "\(error)".contains("is in use")
      }
      let outcomes = provisioning.run(cancellation: Cancellation()) { _ in }
      #expect(outcomes.map { $0.error?.description } == [nil])
      let device = try Files.read(loop.path)
      #expect(GUIDPartitionTable(head: device)?.partitions.count == 4)
      #expect(try Files.read(backing) == device)
    }
  }

  @Test func oneThatIsTakenOutIsCalledSo() throws {
    try Self.withLoop { image, loop, _ in
      let looks = Mutex(0)
      let provisioning = try Provisioning(ProvisionRequest(image: image.path, targets: [loop.path])) {
        // The second look finds no devices at all.
        looks.withLock { looks in
          looks += 1
          return SystemView(root: looks == 1 ? "" : "/proc/none")
        }
      }
      let stick = TestStick([UInt8](repeating: 0, count: 96 << 20), .writesFail(from: 8 << 20, .noSuchDevice))
      let outcomes = provisioning.run(cancellation: Cancellation(), wrapping: { _, _ in stick }, report: { _ in })
      #expect(outcomes.first?.error?.message.hasPrefix("\(loop.path) is gone: it was taken out") == true)
    }
  }

  @Test func whatAMountOrTheImageKeepsIsRefused() throws {
    try Self.withLoop { image, loop, backing in
      func refusal(_ targets: [String], image path: String? = nil) -> String {
        do {
          _ = try Provisioning(ProvisionRequest(image: path ?? image.path, targets: targets, fileSize: 96 << 20))
          return "nothing was refused"
        } catch {
          return error.description
        }
      }
      #expect(refusal([backing]).contains("is in use: \(loop.path) shows it"))
      let link = "\(backing)-by-id"
      try Files.link(link, to: loop.path)
      #expect(refusal([loop.path, link]).contains("is there twice: it is the same as \(loop.path)"))
      let medium = try LoopDevice.attach(image.path, readOnly: false)
      defer { try? medium.detach() }
      #expect(refusal([medium.path]).contains("is the image itself"))
      #expect(refusal([medium.path], image: medium.path).contains("is where the image itself is"))
      let readOnly = try LoopDevice.attach(image.path, readOnly: true)
      defer { try? readOnly.detach() }
      #expect(refusal([readOnly.path]).contains("is read-only"))
    }
  }
}

/// A stick, booted until GRUB ran its menu from it.
@Suite(
  "Sticks boot", .serialized, .machines,
  .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"),
  .enabled(if: QEMU.missing == nil, "\(QEMU.missing ?? "")"))
struct StickBootTests {
  @Test func byBIOS() throws {
    try boot(["-M", "pc"], platform: "pc")
  }

  @Test(.enabled(if: QEMU.firmware != nil, "this machine has no OVMF (package ovmf)"))
  func byUEFI() throws {
    try boot(["-M", "q35", "-bios", try #require(QEMU.firmware)], platform: "efi")
  }

  private func boot(_ machine: [String], platform: String) throws {
    let image = try StickImage.shared.get()
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/stick"
    let request = ProvisionRequest(image: image.path, targets: [path], fileSize: 128 << 20)
    let outcomes = try Provisioning(request).run(cancellation: Cancellation()) { _ in }
    try #require(outcomes.allSatisfy { $0.error == nil })
    let qemu = try QEMU(
      machine + ["-m", "256", "-nic", "none", "-device", "qemu-xhci"]
        + ["-drive", "if=none,id=stick,file=\(path),format=raw", "-device", "usb-storage,drive=stick,removable=on"])
    try qemu.expect("\(TestImage.marker) \(platform)", within: 300)
    try qemu.expect("\(TestImage.marker) medium found", within: 120)
    try qemu.expect("\(TestImage.marker) done", within: 120)
  }
}
