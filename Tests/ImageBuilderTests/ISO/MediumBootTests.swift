import Platform
import TestMachine
import Testing

@testable import ImageBuilder

/// One image, booted in every form that the medium takes, until GRUB ran its menu from it.
@Suite(
  .serialized, .machines,
  .enabled(if: TestImage.missing == nil, "\(TestImage.missing ?? "")"),
  .enabled(if: QEMU.missing == nil, "\(QEMU.missing ?? "")"))
struct MediumBootTests {
  enum Form: String, CaseIterable, CustomTestStringConvertible {
    case disc = "CD"
    case stick = "USB stick"
    case disk = "virtio disk"

    var testDescription: String { rawValue }

    func arguments(_ path: String) -> [String] {
      let drive = "file=\(path),format=raw,readonly=on"
      return switch self {
      case .disc: ["-drive", "media=cdrom,\(drive)"]
      case .stick:
        ["-device", "qemu-xhci", "-drive", "if=none,id=stick,\(drive)"]
          + ["-device", "usb-storage,drive=stick,removable=on"]
      case .disk: ["-drive", "if=virtio,\(drive)"]
      }
    }
  }

  @Test(arguments: Form.allCases)
  func bootsByBIOS(_ form: Form) throws {
    try boot(form, ["-M", "pc"], platform: "pc")
  }

  @Test(.enabled(if: QEMU.firmware != nil, "this machine has no OVMF (package ovmf)"), arguments: Form.allCases)
  func bootsByUEFI(_ form: Form) throws {
    try boot(form, ["-M", "q35", "-bios", try #require(QEMU.firmware)], platform: "efi")
  }

  private func boot(_ form: Form, _ machine: [String], platform: String) throws {
    let test = try TestImage()
    try test.bootable().write(to: test.path)
    let qemu = try QEMU(machine + ["-m", "256", "-nic", "none"] + form.arguments(test.path))
    try qemu.expect("\(TestImage.marker) \(platform)", within: 300)
    try qemu.expect("\(TestImage.marker) medium found", within: 120)
    try qemu.expect("\(TestImage.marker) done", within: 120)
  }
}
