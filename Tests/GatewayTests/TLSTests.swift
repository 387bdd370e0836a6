import Control
import Manifest
import Platform
import Testing
@testable import Gateway

@Suite("The HTTP interface over TLS")
struct TLSTests {
  static let hasTools = ["openssl", "curl"].allSatisfy { tool in
    ["/usr/bin", "/bin", "/usr/local/bin"].contains { Files.exists("\($0)/\(tool)") }
  }

  /// Runs a program and returns what it prints; nil where it fails.
  private static func run(_ arguments: [String], in directory: String) throws -> String? {
    let output = "\(directory)/output"
    let file = try FileDescriptor(opening: output, [.writeOnly, .create, .truncate])
    var request = ChildRequest(arguments)
    request.descriptors = [-1, file.rawValue, 2]
    guard try ChildProcess.start(request).wait().isSuccess else { return nil }
    return try Files.readText(output)
  }

  @Test(
    "It speaks TLS with a certificate of its own making, which curl and openssl understand",
    .enabled(if: hasTools, "skipped: openssl and curl are not installed"))
  func ownCertificate() async throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-tls-")
    defer { try? Files.removeTree(directory) }
    let credentials = try await blocking {
      try Credentials.selfSigned(in: "\(directory)/own", names: ["lab-07", "localhost"])
    }
    #expect(try Files.status("\(directory)/own")?.permissions == 0o700)
    #expect(try Files.status("\(directory)/own/key.pem")?.permissions == 0o600)
    // The same again, and not another.
    #expect(try Credentials.selfSigned(in: "\(directory)/own", names: ["x"]).fingerprint == credentials.fingerprint)
    let certificate = "\(directory)/own/certificate.pem"
    let shown = try await blocking {
      try Self.run(["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"], in: directory)
    }
    #expect(shown?.split(separator: "=").last.map(String.init) == "\(credentials.fingerprint)\n")
    let gateway = try GatewayFixture(credentials: credentials)
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    func fetch(_ more: [String]) async throws -> String? {
      try await blocking {
        try Self.run(
          [
            "curl", "-sS", "-m", "120", "--noproxy", "*", "-w", " %{http_code} %{http_version}", "--resolve",
            "lab-07:\(port):127.0.0.1",
          ] + more
            + ["https://lab-07:\(port)/v1/appliance"], in: directory)
      }
    }
    let secret = try #require(GatewayFixture.secrets[.viewer])
    let body = try Samples.json(Samples.appliance)
    #expect(
      try await fetch(["--cacert", certificate, "-H", "Authorization: Bearer \(secret)"]) == "\(body) 200 1.1")
    #expect(try await fetch(["--cacert", certificate])?.hasSuffix(" 401 1.1") == true)
    // Who does not know the certificate says nothing.
    #expect(try await fetch(["-H", "Authorization: Bearer \(secret)"]) == nil)
    _ = manager
  }

  @Test(
    "A client that does not speak TLS is let go",
    .enabled(if: hasTools, "skipped: openssl and curl are not installed"))
  func plainClient() async throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-tls-")
    defer { try? Files.removeTree(directory) }
    let credentials = try await blocking { try Credentials.selfSigned(in: directory, names: ["lab-07"]) }
    let gateway = try GatewayFixture(credentials: credentials) { $0.headSeconds = 1 }
    let port = gateway.port
    for text in ["GET / HTTP/1.1\r\n\r\n", ""] {
      let isEnded = try await blocking {
        let connection = try HTTPConnection(port: port)
        try connection.send(text)
        return try connection.isEnded()
      }
      #expect(isEnded)
    }
  }

  @Test("A certificate that is none says where it was looked for")
  func badCertificate() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-tls-")
    defer { try? Files.removeTree(directory) }
    try Files.write("nothing", to: "\(directory)/c.pem")
    let error = #expect(throws: GatewayError.self) {
      try Credentials(certificate: "\(directory)/c.pem", key: "\(directory)/k.pem")
    }
    #expect(error?.message.contains("\(directory)/c.pem") == true)
  }
}
