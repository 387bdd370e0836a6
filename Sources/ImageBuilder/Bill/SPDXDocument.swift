internal import Binary
internal import FoundationEssentials

/// A bill of materials in the form of SPDX 2.3 as JSON. Of its fields, those that the builder fills in.
struct SPDXDocument: Codable, Sendable, Hashable {
  var spdxVersion = "SPDX-2.3"
  var dataLicense = "CC0-1.0"
  var SPDXID = "SPDXRef-DOCUMENT"
  var name: String
  /// A URI that no other document has.
  var documentNamespace: String
  var creationInfo: CreationInfo
  var packages: [Package] = []
  var relationships: [Relationship] = []
  var hasExtractedLicensingInfos: [ExtractedLicense] = []

  struct CreationInfo: Codable, Sendable, Hashable {
    let created: String
    let creators: [String]
  }

  /// Anything that ships: a package, a root file system, a domain, the appliance.
  struct Package: Codable, Sendable, Hashable {
    var SPDXID: String
    var name: String
    var versionInfo: String?
    var supplier: String?
    var downloadLocation = SPDXDocument.noAssertion
    var filesAnalyzed = false
    var checksums: [Checksum]?
    var sourceInfo: String?
    var licenseConcluded = SPDXDocument.noAssertion
    var licenseDeclared = SPDXDocument.noAssertion
    var copyrightText = SPDXDocument.noAssertion
    var primaryPackagePurpose: String?
    var externalRefs: [ExternalReference]?
    var comment: String?

    init(_ identifier: String, _ name: String, version: String? = nil) {
      SPDXID = identifier
      self.name = name
      versionInfo = version
    }

    var purl: String? {
      get { externalRefs?.first { $0.referenceType == "purl" }?.referenceLocator }
      set { externalRefs = newValue.map { [.init(referenceLocator: $0)] } }
    }

    /// SHA-256 in hexadecimal.
    var sha256: String? {
      get { checksums?.first { $0.algorithm == "SHA256" }?.checksumValue }
      set { checksums = newValue.map { [.init(checksumValue: $0)] } }
    }
  }

  struct Checksum: Codable, Sendable, Hashable {
    var algorithm = "SHA256"
    let checksumValue: String
  }

  struct ExternalReference: Codable, Sendable, Hashable {
    var referenceCategory = "PACKAGE-MANAGER"
    var referenceType = "purl"
    let referenceLocator: String
  }

  struct Relationship: Codable, Sendable, Hashable {
    let spdxElementId: String
    let relationshipType: String
    let relatedSpdxElement: String
  }

  struct ExtractedLicense: Codable, Sendable, Hashable {
    let licenseId: String
    let extractedText: String
  }

  static let noAssertion = "NOASSERTION"

  init(name: String, epoch: Int, version: String) {
    self.name = name
    documentNamespace = ""
    creationInfo = CreationInfo(
      created: Date(timeIntervalSince1970: Double(epoch)).formatted(.iso8601), creators: ["Tool: roost-\(version)"])
  }

  /// Gives it the name that belongs to a digest of what it says.
  mutating func nameSpace(by digest: SHA256.Digest) {
    documentNamespace = "https://spdx.org/spdxdocs/roost-\(name)-\(UUID(digest: digest, name: "bill of materials"))"
  }

  mutating func relate(_ element: String, _ type: String, _ other: String) {
    let relation = Relationship(spdxElementId: element, relationshipType: type, relatedSpdxElement: other)
    if !relationships.contains(relation) { relationships.append(relation) }
  }

  /// Reads a document; nil for what is none.
  static func decode(_ bytes: [UInt8]) -> SPDXDocument? {
    guard let document = try? JSONDecoder().decode(SPDXDocument.self, from: Data(bytes)),
      document.spdxVersion == "SPDX-2.3"
    else { return nil }
    return document
  }
}
