/// What Roost's programs are statically linked with, and so ships in each image.
struct LinkedLibrary: Sendable, Hashable {
  let name: String
  /// Nil for a library of the machine that the programs were built on.
  let version: String?
  /// Where its source is.
  let location: String?
  /// SPDX licence expression.
  let license: String
  /// The HTTP interface alone has it.
  var isGateways = false

  /// A package URL (purl-spec, type `swift`).
  var purl: String? {
    guard let version, let location else { return nil }
    let path = location.split(separator: "/").dropFirst().map { PackageURL.encode(String($0)) }.joined(separator: "/")
    return "pkg:swift/\(path)@\(PackageURL.encode(version))"
  }

  private static let apache = "Apache-2.0"
  private static let swift = "Apache-2.0 WITH Swift-exception"

  /// All of them. A test holds the versions against the package's lock file.
  static let all = [
    package("apple/swift-argument-parser", "1.8.2", swift),
    package("apple/swift-async-algorithms", "1.1.4", swift, isGateways: true),
    package("apple/swift-atomics", "1.3.0", swift, isGateways: true),
    package("apple/swift-collections", "1.6.0", swift, isGateways: true),
    package("apple/swift-distributed-tracing", "1.7.3", apache, isGateways: true),
    package("apple/swift-http-types", "1.8.0", apache, isGateways: true),
    package("hummingbird-project/hummingbird", "2.28.1", apache, isGateways: true),
    package("apple/swift-log", "1.16.2", apache, isGateways: true),
    package("apple/swift-metrics", "2.13.0", apache, isGateways: true),
    package("apple/swift-nio", "2.101.2", apache, isGateways: true),
    package("apple/swift-nio-extras", "1.35.2", apache, isGateways: true),
    package("apple/swift-nio-ssl", "2.37.6", apache, isGateways: true),
    package("apple/swift-service-context", "1.5.1", apache, isGateways: true),
    package("swift-server/swift-service-lifecycle", "2.13.0", apache, isGateways: true),
    package("apple/swift-system", "1.8.1", swift, isGateways: true),
    LinkedLibrary(
      name: "Swift standard library", version: languageVersion, location: "https://github.com/swiftlang/swift",
      license: swift),
    LinkedLibrary(name: "libblkid", version: nil, location: nil, license: "LGPL-2.1-or-later"),
    LinkedLibrary(name: "libvterm", version: nil, location: nil, license: "MIT"),
    LinkedLibrary(name: "libyaml", version: nil, location: nil, license: "MIT"),
  ]

  #if compiler(>=6.4)
    private static let languageVersion: String? = nil
  #else
    private static let languageVersion: String? = "6.3"
  #endif

  private static func package(
    _ path: String, _ version: String, _ license: String, isGateways: Bool = false
  ) -> LinkedLibrary {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return LinkedLibrary(
      name: name, version: version, location: "https://github.com/\(path)", license: license, isGateways: isGateways)
  }
}
