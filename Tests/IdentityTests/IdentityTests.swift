import Binary
import Testing

@testable import Identity

@Suite("A stick's identity") struct IdentityTests {
  static let key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDt3QKd8YRPhNUDAcmGiVfYqbv7WjFvLMfQ7eZCXLkQm teacher@lab"
  static let sample = ApplianceIdentity(
    hostname: "lab-07", address: "10.78.0.1/24", sshKeys: [key], autostart: ["debian"])

  @Test func comesBackAsItWas() throws {
    let all: [ApplianceIdentity] = [
      Self.sample, ApplianceIdentity(), ApplianceIdentity(autostart: []), ApplianceIdentity(hostname: "a"),
    ]
    for identity in all {
      let bytes = IdentityDocument.encode(identity)
      #expect(try IdentityDocument.decode(bytes + [UInt8](repeating: 0, count: 500)) == identity)
      #expect(try ApplianceIdentity(json: identity.json) == identity)
    }
  }

  @Test func isReadableText() {
    let text = String(decoding: IdentityDocument.encode(Self.sample), as: UTF8.self)
    let lines = text.split(separator: "\n")
    #expect(lines[0] == "roost identity 1")
    #expect(lines[1].hasSuffix(" \(SHA256.hash(Array("\(lines[2])\n".utf8)))"))
    #expect(lines[2].hasPrefix(#"{"autostart":["debian"],"hostname":"lab-07","network":{"address":"10.78.0.1/24"},"#))
  }

  @Test func aBlankPartitionHasNone() throws {
    #expect(try IdentityDocument.decode([UInt8](repeating: 0, count: 4096)) == nil)
  }

  @Test("Every flipped bit is seen")
  func damage() throws {
    let bytes = IdentityDocument.encode(Self.sample)
    for index in bytes.indices {
      var damaged = bytes
      damaged[index] ^= 1
      #expect(throws: IdentityError.self, "byte \(index)") { try IdentityDocument.decode(damaged) }
    }
    for count in bytes.indices {
      #expect(throws: IdentityError.self, "\(count) bytes") { try IdentityDocument.decode(Array(bytes.prefix(count))) }
    }
  }

  @Test(
    "What another wrote is refused",
    arguments: [
      ("{}", "version"), (#"{"version":2}"#, "version"), (#"{"version":1,"hostname":"A_b"}"#, "host name"),
      (#"{"version":1,"hostname":7}"#, "'hostname'"), (#"{"version":1,"color":"red"}"#, "'color'"),
      (#"{"version":1,"sshKeys":["x"]}"#, "SSH key"), (#"{"version":1,"sshKeys":["a\nb"]}"#, "SSH key"),
      (#"{"version":1,"autostart":["-"]}"#, "domain"), (#"{"version":1,"network":{"address":"x/24"}}"#, "address"),
      (#"{"version":1,"network":{"address":"10.0.0.1/24","mtu":1}}"#, "network"),
      (#"{"version":1,"version":1}"#, "twice"), (#"{"version":1} x"#, "behind its end"), ("[1]", "no object"),
      (#"{"version":1.5}"#, "not whole"), (#"{"version":1,"hostname":"\ud800"}"#, "half a character"),
      (String(repeating: "[", count: 1000), "too deep"), (#"{"version":99999999999999999999}"#, "no value"),
    ])
  func refusals(json: String, words: String) {
    #expect {
      try ApplianceIdentity(json: Array(json.utf8))
    } throws: { error in
      "\(error)".contains(words)
    }
  }

  @Test func escapesInTexts() throws {
    let value = try JSONValue(Array(#"{"a":"\u00e4\ud83d\udc13\n\"\\\/"}"#.utf8))
    #expect(value == .object(["a": .text("ä🐓\n\"\\/")]))
    #expect(try JSONValue(Array(value.encoded.utf8)) == value)
  }

  @Test func theLongestIdentityFits() throws {
    // 64 keys whose comments double when they are written.
    let comment = String(repeating: "\"", count: PublicKey.lengthLimit - Self.key.utf8.count - 1)
    let keys = (0..<ApplianceIdentity.listLimit).map { _ in "\(Self.key) \(comment)" }
    let identity = ApplianceIdentity(hostname: "x", sshKeys: keys)
    let bytes = IdentityDocument.encode(identity)
    #expect(bytes.count <= StickPartition.identityBytes)
    #expect(try IdentityDocument.decode(bytes) == identity)
  }
}

@Suite("SSH keys") struct PublicKeyTests {
  @Test(arguments: [
    IdentityTests.key,
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDBPHVCTvM3LTzHUYUZWPBiJCgPlr4Hsd8SB7zMq2UYwPBKu7hmuxJmzjPXbPRk7TYYcKxp",
  ])
  func wholeAndCutOff(key: String) {
    #expect((PublicKey.problem(key) == nil) == (key == IdentityTests.key))
  }

  @Test(
    "What is wrong is said",
    arguments: [
      ("", "is not a public key"), ("ssh-ed25519", "is not a public key"),
      ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"), ("ssh-dss AAAA x", "no type of key"),
      ("ssh-ed25519 AAAA?AAA", "not base64"), ("ssh-ed25519 AAA", "not base64"), ("ssh-ed25519 AAAA", "cut off"),
      ("ssh-ed25519 AAAAB3NzaC1yc2EAAAABAQ==", "says otherwise"), ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "no key in it"),
      ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA==", "no key in it"), ("ssh-ed25519\tx y", "control characters"),
    ])
  func problems(key: String, words: String) {
    #expect(PublicKey.problem(key)?.contains(words) == true, "\(PublicKey.problem(key) ?? "fine")")
  }

  @Test func base64() {
    #expect(Base64.decode("Zm9vYmFy") == Array("foobar".utf8))
    #expect(Base64.decode("Zm9vYg==") == Array("foob".utf8))
    #expect(Base64.decode("Zm9vYmE=") == Array("fooba".utf8))
    for bad in ["", "Z", "Zm9v=", "=m9v", "Zm=v", "Zm9vYh==", "Zm9vYm$y", "===="] {
      #expect(Base64.decode(bad) == nil, "\(bad)")
    }
  }

  @Test func aMediumReportIsReadAsItWasWritten() {
    for report in [MediumReport(.present), MediumReport(.missing, notice: "\"gone\"\n\u{1B}[1m")] {
      #expect(MediumReport(json: report.json) == report)
    }
    #expect(MediumReport(json: Array(#"{"state":"missing","new":[1]}"#.utf8)) == MediumReport(.missing))
    for text in ["", "{}", "null", #"{"state":"elsewhere"}"#, #"{"state":1}"#] {
      #expect(MediumReport(json: Array(text.utf8)) == nil)
    }
  }
}
