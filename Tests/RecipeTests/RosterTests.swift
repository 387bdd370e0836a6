import Manifest
import Recipe
import Testing

@Suite("Rosters") struct RosterTests {
  static let key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDt3QKd8YRPhNUDAcmGiVfYqbv7WjFvLMfQ7eZCXLkQm teacher@lab"
  static let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"

  static let manifest = ApplianceManifest(
    name: "lab", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
    storage: .init(ramBytes: 1, extentBytes: 1, mediumUUID: "m", ramUUID: "r"), network: .init(address: "10.77.0.1/24"),
    domains: ["debian", "plan9"].enumerated().map { index, name in
      .init(
        name: name, os: "x", cpus: 1, memoryBytes: 64 << 20,
        boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""), disk: nil,
        network: .init(mac: "52:54:00:00:00:0\(index)", address: "10.77.0.\(10 + index)"), autostart: true,
        ready: .init(consoleText: "l", timeoutSeconds: 1), onReboot: .restart, onCrash: .preserve)
    })

  private func parse(_ text: String) throws(RecipeError) -> Roster {
    try Roster.parse(text, file: "lab.yaml", for: Self.manifest)
  }

  @Test func whatStandsAboveHoldsForAll() throws {
    let roster = try parse(
      """
      ssh-keys: ["\(Self.key)"]
      autostart: [debian]
      sticks:
        - hostname: lab-01
        - hostname: lab-02
          device: /dev/disk/by-id/usb-x
          network: {subnet: 10.78.0.0/24}
          ssh-keys: ["\(Self.other)", "\(Self.key)"]
          autostart: []
      """)
    #expect(
      roster.sticks.map(\.hostname) == ["lab-01", "lab-02"]
        && roster.sticks.map(\.device) == [nil, "/dev/disk/by-id/usb-x"]
        && roster.sticks.map { $0.subnet?.gatewayDescription } == [nil, "10.78.0.1/24"]
        && roster.sticks.map(\.sshKeys) == [[Self.key], [Self.key, Self.other]]
        && roster.sticks.map(\.autostart) == [["debian"], []])
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let text: String
    let place: String
    let words: String

    init(_ text: String, _ place: String, _ words: String) {
      self.text = text
      self.place = place
      self.words = words
    }

    var testDescription: String { words }
  }

  @Test(
    "Mistakes have a line and a column",
    arguments: [
      Case("sticks:\n  - hostnam: a\n", "2:5", "unknown key 'hostnam' in a stick; did you mean 'hostname'?"),
      Case("stick: []\n", "1:1", "unknown key 'stick' in the roster; did you mean 'sticks'?"),
      Case("sticks: []\n", "1:1", "'sticks' is empty"),
      Case("sticks: lab\n", "1:9", "'sticks' must be a list"),
      Case("sticks:\n  - device: /dev/sdb\n", "2:5", "a stick needs the key 'hostname'"),
      Case(
        "sticks:\n  - hostname: a\n  - hostname: b\n  - hostname: a\n", "4:15",
        "the host name 'a' is that of another stick in line 2"),
      Case(
        "sticks:\n  - {hostname: a, device: /dev/x}\n  - {hostname: b, device: /dev/x}\n", "3:27",
        "the device '/dev/x' is that of another stick in line 2"),
      Case("sticks:\n  - hostname: Lab_1\n", "2:15", "may only have lower-case letters"),
      Case(
        "sticks:\n  - hostname: a\n    ssh-keys: [ssh-ed25519 AAAA]\n", "3:16", "is damaged: the key in it is cut off"),
      Case("sticks:\n  - hostname: a\n    ssh-keys: ssh-ed25519\n", "3:15", "must be a list"),
      Case(
        "sticks:\n  - hostname: a\n    autostart: [debia]\n", "3:17",
        "'debia' is no domain of the image; did you mean 'debian'?"),
      Case("autostart: [plan9, plan9]\nsticks:\n  - hostname: a\n", "1:20", "has 'plan9' twice"),
      Case("sticks:\n  - hostname: a\n    network: {subnet: 10.78.0.0/29}\n", "3:23", "from 8 to 28"),
      Case(
        "sticks:\n  - hostname: a\n    network: {subnet: 10.78.0.1/24}\n", "3:23", "write the subnet as 10.78.0.0/24"),
      Case("sticks:\n  - hostname: a\n    network: {}\n", "3:14", "needs the key 'subnet'"),
      Case("sticks:\n  - hostname: a\n    hostname: b\n", "3:5", "has the key 'hostname' twice"),
    ])
  func mistakes(_ mistake: Case) {
    #expect {
      try parse(mistake.text)
    } throws: { error in
      let lines = "\(error)".split(separator: "\n")
      return lines.contains { $0.hasPrefix("lab.yaml:\(mistake.place): error: ") && $0.contains(mistake.words) }
    }
  }

  @Test func allMistakesAtOnce() {
    #expect {
      try parse("sticks:\n  - hostname: A\n    autostart: [x]\n  - {hostname: b, color: red}\n")
    } throws: { error in
      "\(error)".split(separator: "\n").count == 3
    }
  }

  @Test func anEmptyFileIsNoRoster() {
    #expect {
      try parse("")
    } throws: { error in
      "\(error)" == "lab.yaml: error: the roster is empty; see docs/provisioning.md for one to start from"
    }
  }
}
