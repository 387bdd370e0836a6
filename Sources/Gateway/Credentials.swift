internal import Binary
public import NIOSSL
internal import Platform

/// Why the gateway cannot start.
public struct GatewayError: Error, CustomStringConvertible {
  /// What failed, where, and what to do about it.
  public let message: String

  /// An error of this text.
  public init(_ message: String) {
    self.message = message
  }

  /// The message.
  public var description: String { message }
}

/// A certificate and its key.
public struct Credentials: Sendable {
  /// What TLS is spoken with.
  public let configuration: TLSConfiguration
  /// SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint -sha256` show it.
  public let fingerprint: String

  /// Reads both from PEM files.
  public init(certificate: String, key: String) throws(GatewayError) {
    do {
      let chain = try NIOSSLCertificate.fromPEMBytes(try Files.read(certificate))
      let key = try NIOSSLPrivateKey(bytes: try Files.read(key), format: .pem)
      guard let first = chain.first else { throw GatewayError("it has no certificate") }
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["http/1.1"]
      // The one place where a key that is not the certificate's is seen.
      _ = try NIOSSLContext(configuration: configuration)
      self.configuration = configuration
      fingerprint = Self.text(SHA256.hash(try first.toDERBytes()).bytes)
    } catch {
      throw GatewayError(
        "cannot use the certificate \(certificate) with the key \(key): \(error). Correct 'certificate' and 'key' in "
          + "the recipe's 'api', and build the image anew.")
    }
  }

  /// Makes a certificate for `names` that signs itself, in `directory`, which only the superuser may read; or takes
  /// what an earlier life of this program made there.
  public static func selfSigned(in directory: String, names: [String]) throws(GatewayError) -> Credentials {
    let certificate = "\(directory)/certificate.pem"
    let key = "\(directory)/key.pem"
    if !Files.exists(certificate) {
      do throws(SystemError) {
        try Files.makeDirectories(directory, permissions: 0o700)
        try Files.setPermissions(directory, 0o700)
        var request = ChildRequest([
          "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
          "-keyout", key, "-out", "\(certificate).new", "-days", "3650", "-subj", "/CN=\(names.first ?? "roost")",
          "-addext", "subjectAltName=\(names.map { "DNS:\($0)" }.joined(separator: ","))",
        ])
        let silence = try FileDescriptor(opening: "/dev/null", .readWrite)
        request.descriptors = [silence.rawValue, silence.rawValue, 2]
        guard try ChildProcess.start(request).wait().isSuccess else {
          throw SystemError("run openssl", path: directory, errno: .inputOutput)
        }
        try Files.rename("\(certificate).new", to: certificate)
      } catch {
        throw GatewayError(
          "cannot make a certificate: \(error). Name one with 'certificate' and 'key' in the recipe's 'api'.")
      }
    }
    return try Credentials(certificate: certificate, key: key)
  }

  private static func text(_ bytes: [UInt8]) -> String {
    bytes.map { Hex.encode([$0]).uppercased() }.joined(separator: ":")
  }
}
