public import Manifest

/// What is in an image that Roost made.
public struct ImageReport: Codable, Sendable, Hashable {
  /// Path of the image as it was given.
  public var path: String
  /// Bytes of the file or device.
  public var bytes: Int
  /// The ISO 9660 volume.
  public var volume: Volume
  /// What firmware boots from an optical drive.
  public var bootEntries: [BootEntry]
  /// The titles of GRUB's menu.
  public var menu: [String]
  /// What the control domain's kernel is told, for other boot loaders.
  public var commandLine: String?
  /// What readers of sticks and disks see.
  public var partitions: [Partition]
  /// The version of Roost that made it; nil where the image has no bill of materials.
  public var roostVersion: String?
  /// The control domain's kernel.
  public var kernelVersion: String?
  /// SHA-256 of the lock file that it was built by; nil where there is none in it.
  public var lockDigest: String?
  /// What the image tells the appliance.
  public var manifest: ApplianceManifest
  /// The files, in the order in which they lie.
  public var files: [File]
  /// The root file systems and their Debian packages; empty where the image has no bill of materials.
  public var roots: [Root]

  /// An ISO 9660 volume.
  public struct Volume: Codable, Sendable, Hashable {
    /// Its name.
    public var identifier: String
    /// As libblkid writes it.
    public var uuid: String?
    /// Bytes that belong to it.
    public var bytes: Int
  }

  /// An entry of El Torito's catalogue.
  public struct BootEntry: Codable, Sendable, Hashable {
    /// `bios`, `uefi`, or the number.
    public var platform: String
    /// Whether firmware is to boot it.
    public var isBootable: Bool
    /// `none`, or the number of what the BIOS pretends it to be.
    public var emulation: String
    /// Where it begins, in blocks of 2048 bytes.
    public var block: Int
    /// Bytes that are loaded.
    public var loadBytes: Int
  }

  /// An entry of a partition table.
  public struct Partition: Codable, Sendable, Hashable {
    /// `mbr` or `gpt`.
    public var table: String
    /// Counted from 1.
    public var number: Int
    /// Two hexadecimal digits, or a GUID.
    public var type: String
    /// Its name, in a GPT.
    public var name: String?
    /// First byte.
    public var start: Int
    /// Its size.
    public var bytes: Int
    /// Marked as the one to boot, in an MBR.
    public var isActive: Bool
  }

  /// A file on the medium.
  public struct File: Codable, Sendable, Hashable {
    /// From the medium's root.
    public var path: String
    /// Its size.
    public var bytes: Int
    /// SHA-256 in hexadecimal; nil where it was not asked for.
    public var sha256: String?
  }

  /// A root file system.
  public struct Root: Codable, Sendable, Hashable {
    /// What it is.
    public var name: String
    /// Its Debian packages.
    public var packages: [Package]
  }

  /// A Debian package.
  public struct Package: Codable, Sendable, Hashable {
    /// Its name.
    public var name: String
    /// Debian's version.
    public var version: String
    /// A package URL.
    public var purl: String?
    /// An SPDX licence expression, or `NOASSERTION`.
    public var license: String
  }

  /// How root file systems' identifiers begin in the bill of materials.
  static let rootPrefix = "SPDXRef-root-"
  /// Where the lock file lies that an image was built by.
  static let lockPath = "/roost/recipe.lock"

  /// The report as JSON, indented, with keys sorted.
  public func json() throws(BuildError) -> String {
    EscapedText.make(String(decoding: try StableJSON.encode(self), as: UTF8.self), lines: true)
  }
}
