/// A Debian package of which something is in a root file system.
struct InstalledPackage: Codable, Hashable, Sendable {
  let name: String
  let version: String
  let architecture: String
  /// The source package that it was built from, and its version.
  let source: String
  let sourceVersion: String
  /// SHA-256 of the package's file, in hexadecimal; nil where the file was not seen.
  var sha256: String?
  /// What its machine-readable copyright file declares, as an SPDX licence expression; nil where there is no such file.
  var license: String?

  /// From a paragraph of dpkg's status or a package's control file; nil for a package that is not there any more.
  init?(_ paragraph: ControlFile.Paragraph) {
    guard let name = paragraph["package"], let version = paragraph["version"],
      let architecture = paragraph["architecture"]
    else { return nil }
    if let status = paragraph["status"], !status.hasSuffix(" installed") { return nil }
    self.name = name
    self.version = version
    self.architecture = architecture
    // `Source: NAME (VERSION)`, each part only where it differs from the package's own.
    let words = (paragraph["source"] ?? name).split(separator: " ")
    source = words.first.map(String.init) ?? name
    let other = words.dropFirst().first?.drop { $0 == "(" }.prefix { $0 != ")" }
    sourceVersion = other.map(String.init) ?? version
  }

  /// The package's file as apt names it in its cache.
  var fileName: String {
    let escaped = version.split(separator: ":", omittingEmptySubsequences: false).joined(separator: "%3a")
    return "\(name)_\(escaped)_\(architecture).deb"
  }

  /// A package URL (purl-spec, type `deb`). `upstream` names the source package, as scanners for vulnerabilities read it.
  func purl(suite: String) -> String {
    var qualifiers = ["arch=\(architecture)", "distro=\(PackageURL.encode(suite))"]
    if source != name || sourceVersion != version {
      let other = sourceVersion == version ? source : "\(source)@\(sourceVersion)"
      qualifiers.append("upstream=\(PackageURL.encode(other))")
    }
    return
      "pkg:deb/debian/\(PackageURL.encode(name))@\(PackageURL.encode(version))?\(qualifiers.joined(separator: "&"))"
  }
}

/// Package URLs (purl-spec, "Character encoding").
enum PackageURL {
  /// `text` with everything percent-encoded but letters, digits and `.-_~:`.
  static func encode(_ text: String) -> String {
    text.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: ":"):
        return String(UnicodeScalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.count == 1 ? "%0\(digits)" : "%\(digits)"
      }
    }.joined()
  }
}
