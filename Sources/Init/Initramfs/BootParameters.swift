public import Binary

/// What Roost's part of the kernel command line says.
public struct BootParameters: Sendable {
  /// The medium's volume identifier, as libblkid writes it.
  public let medium: String
  /// The digest of root.squashfs.
  public let root: ContentDigest
  /// How long to wait for the medium, in seconds.
  public let wait: Int

  /// Reads `roost.medium`, `roost.root` and, with a default of 30 seconds, `roost.wait`.
  public init(_ line: KernelCommandLine) throws(InitError) {
    let remedies = [
      "Restart and choose an unchanged entry of the boot menu.",
      "If you made that entry: copy roost.medium= and roost.root= from the medium's /boot/grub/grub.cfg.",
    ]
    guard let medium = line["roost.medium"], !medium.isEmpty else {
      throw InitError(
        .badParameter, "the kernel command line has no roost.medium=, the identifier of the boot medium.",
        remedies: remedies)
    }
    guard let text = line["roost.root"], !text.isEmpty else {
      throw InitError(
        .badParameter, "the kernel command line has no roost.root=, the digest of the root file system.",
        remedies: remedies)
    }
    guard let root = ContentDigest(text) else {
      throw InitError(
        .badParameter, "the kernel command line's roost.root= is not a digest.",
        details: ["It is: \(text)", "Digests look like sha256-4m: or sha256: and 64 hexadecimal digits."],
        remedies: remedies)
    }
    let seconds = line["roost.wait"] ?? "30"
    guard let wait = Int(seconds), (0...3600).contains(wait) else {
      throw InitError(
        .badParameter, "the kernel command line's roost.wait= is not a number of seconds up to 3600.",
        details: ["It is: \(seconds)"], remedies: remedies)
    }
    self.medium = medium
    self.root = root
    self.wait = wait
  }
}
