/// What GRUB starts in a Debian guest's root: the kernel and the initramfs by the links that Debian's packages keep at
/// the newest ones, so that a kernel which is installed later is started from then on.
struct GuestLoader: Sendable {
  /// The name of the menu's entry.
  let title: String
  /// What the kernel is told after what the guest's system itself tells it.
  let commandLine: String
  /// The step that makes the initramfs.
  let initramfs: Step.Input

  static let menuPath = "boot/grub/grub.cfg"

  /// GRUB's menu. `own` is the command line that the system itself needs.
  func menu(_ own: String) -> String {
    let words = (own.split(separator: " ") + commandLine.split(separator: " ")).map { Self.quoted(String($0)) }
    let title = Self.quoted(String(title.filter { $0 != "'" }))
    return """
      # GRUB lies in a partition of its own and reads this file; nothing writes it anew.
      set timeout=1

      # A BIOS has one console, so the first serial line is ours to add. UEFI's console covers what its setup says.
      if [ "$grub_platform" = pc ]; then
        if serial --unit=0 --speed=115200; then
          terminal_input console serial
          terminal_output console serial
        fi
      fi

      menuentry \(title) {
        linux /vmlinuz \(words.joined(separator: " "))
        initrd /initrd.img
      }

      if [ -e /vmlinuz.old ]; then
        menuentry \(title)', the kernel before' {
          linux /vmlinuz.old \(words.joined(separator: " "))
          initrd /initrd.img.old
        }
      fi

      """
  }

  /// A word of GRUB's script language that stands for itself; the recipe lets no quotes through.
  private static func quoted(_ word: String) -> String {
    let isPlain = word.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || "_.,:=/@%+-".utf8.contains(byte)
    }
    return isPlain && !word.isEmpty ? word : "'\(word)'"
  }

  /// What is added to the root in the archive `root`: the initramfs beside the kernel, and the links to both.
  func entries(
    root: String, initramfs: String, _ cancellation: Cancellation
  ) throws(BuildError) -> [TreeEntry] {
    let prefix = "boot/vmlinuz-"
    let kernels = try Tree.paths(root, cancellation: cancellation) { $0.hasPrefix(prefix) }
    // The one whose modules are in the initramfs, where there are several.
    guard let kernel = kernels.min() else { throw BuildError(.content, "there is no kernel in \(root)") }
    let initrd = "boot/initrd.img-\(kernel.dropFirst(prefix.count))"
    return [
      .file(initrd, from: initramfs), .link("vmlinuz", to: kernel), .link("initrd.img", to: initrd),
    ]
  }
}
