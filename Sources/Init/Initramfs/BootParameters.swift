public import Binary
internal import Platform

/// What Roost's part of the kernel command line says.
public struct BootParameters: Sendable {
  /// The medium's volume identifier, as libblkid writes it; nil where the image at `download` may be any.
  public let medium: String?
  /// Where the image is fetched from, by HTTP; nil where the medium is in the machine.
  public let download: String?
  /// The digest of the image that is fetched, where it was told.
  public let downloadDigest: ContentDigest?
  /// Where the medium's image lies on some file system of the machine; nil where it is a medium of its own.
  public let file: String?
  /// Whether the medium is read into memory, and not needed any more.
  public let copiesToMemory: Bool
  /// The root of the digests of root.squashfs (`Verity`).
  public let root: SHA256.Digest
  /// How long to wait for the medium, in seconds.
  public let wait: Int

  /// Reads `roost.medium` (an identifier, a URL, or both), `roost.root` and, with a default of 30 seconds, `roost.wait`;
  /// also `roost.image`, `roost.toram`, and where other GRUBs say that the image's file is: `iso-scan/filename` or `findiso`.
  public init(_ line: KernelCommandLine) throws(InitError) {
    let remedies = [
      "Restart and choose an unchanged entry of the boot menu.",
      "If you made that entry: copy roost.medium= and roost.root= from the medium's /boot/grub/grub.cfg.",
    ]
    let media = line.values("roost.medium").filter { !$0.isEmpty }
    let addresses = media.filter { $0.contains("://") }
    medium = media.last { !$0.contains("://") }
    download = addresses.last
    guard !media.isEmpty else {
      throw InitError(
        .badParameter, "the kernel command line has no roost.medium=, the identifier of the boot medium.",
        remedies: remedies)
    }
    guard let text = line["roost.root"], !text.isEmpty else {
      throw InitError(
        .badParameter, "the kernel command line has no roost.root=, the digest of the root file system.",
        remedies: remedies)
    }
    guard let root = Verity.root(text) else {
      throw InitError(
        .badParameter, "the kernel command line's roost.root= is not a digest.",
        details: ["It is: \(text)", "It looks like verity: and 64 hexadecimal digits."],
        remedies: remedies)
    }
    let seconds = line["roost.wait"] ?? "30"
    guard let wait = Int(seconds), (0...3600).contains(wait) else {
      throw InitError(
        .badParameter, "the kernel command line's roost.wait= is not a number of seconds up to 3600.",
        details: ["It is: \(seconds)"], remedies: remedies)
    }
    if let download, !download.hasPrefix("http://") {
      throw InitError(
        .badParameter, "the kernel command line's roost.medium= cannot be fetched.", details: ["It is: \(download)"],
        remedies: [
          "Serve the image by plain HTTP, and add its digest: roost.image=sha256:… is what sha256sum prints of it."
        ])
    }
    let image = line["roost.image"]
    downloadDigest = image.flatMap { ContentDigest($0) }
    if let image, downloadDigest == nil {
      throw InitError(
        .badParameter, "the kernel command line's roost.image= is not a digest.", details: ["It is: \(image)"],
        remedies: ["Write sha256: and the 64 hexadecimal digits that sha256sum prints of the image."])
    }
    file = (line["iso-scan/filename"] ?? line["findiso"]).flatMap { $0.isEmpty ? nil : $0 }
    copiesToMemory = line["roost.toram"] != nil
    self.root = root
    self.wait = wait
  }
}
