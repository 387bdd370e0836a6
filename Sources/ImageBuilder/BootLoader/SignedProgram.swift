internal import Recipe

/// Programs for UEFI out of the packages of a Debian release.
enum SignedProgram: String, Sendable, Hashable, CaseIterable {
  /// What firmware starts: signed with a key that most of it has, it starts what Debian signed.
  case shim = "shimx64.efi"
  /// Where the machine's owner tells shim about other keys.
  case keyManager = "mmx64.efi"
  /// GRUB, as Debian built it.
  case grub = "grubx64.efi"
  /// The beginning of a unified kernel image, which is signed as a whole (UAPI Group, specification "Unified Kernel Image").
  case stub = "linuxx64.efi.stub"

  /// The package that has it.
  var package: String {
    switch self {
    case .shim: "shim-signed"
    case .keyManager: "shim-helpers-amd64-signed"
    case .grub: "grub-efi-amd64-signed"
    case .stub: "systemd-boot-efi"
    }
  }

  /// Where the package has it.
  var path: String {
    switch self {
    case .shim, .keyManager: "usr/lib/shim/\(rawValue).signed"
    case .grub: "usr/lib/grub/x86_64-efi-signed/\(rawValue).signed"
    case .stub: "usr/lib/systemd/boot/efi/\(rawValue)"
    }
  }

  /// Those that an image takes.
  static func taken(by secureBoot: Recipe.SecureBoot) -> [SignedProgram] {
    switch secureBoot {
    case .debian: [.shim, .keyManager, .grub]
    case .none: []
    case .key: [.stub]
    }
  }
}
