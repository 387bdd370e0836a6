import Identity
import Manifest
import Platform
import TestMachine
import Testing

@testable import Control

@Suite("An appliance on a stick with an identity", .ownThreads, .timeLimit(.minutes(60)))
struct StickTests {
  private func fixture(_ identity: [UInt8]?, problem: String? = nil) throws -> DaemonFixture {
    let fixture = try DaemonFixture()
    let directory = fixture.configuration.runtimeDirectory
    try Files.makeDirectories(directory)
    if let identity { try Files.write(identity, to: "\(directory)/identity.json") }
    if let problem { try Files.write(problem, to: "\(directory)/identity.problem") }
    return fixture
  }

  @Test("Its host name is shown, and the domains that it names start")
  func identity() throws {
    let fixture = try fixture(ApplianceIdentity(hostname: "lab-07", address: "10.9.0.1/24", autostart: ["b"]).json)
    try fixture.start([Samples.domain("a"), Samples.domain("b", autostart: false)])
    try eventually("b starts") { fixture.starts("b").count == 1 }
    let overview = try fixture.client().list()
    #expect(overview.appliance.hostname == "lab-07")
    #expect(overview.domain("a")?.state == .defined && overview.domain("a")?.autostart == false)
    #expect(overview.domain("b")?.address == "10.9.0.10")
    #expect(overview.appliance.notices.isEmpty)
    var model = ScreenModel(allowsQuit: false)
    model.set(overview)
    #expect(model.lines(columns: 80, rows: 23, now: 1).first?.text == "Roost - sample on lab-07")
  }

  @Test("Without one, everything is as the image says")
  func none() throws {
    let fixture = try fixture(nil)
    try fixture.start([Samples.domain("a", autostart: false)])
    let overview = try fixture.client().list()
    #expect(overview.appliance.hostname == "roost" && overview.appliance.notices.isEmpty)
    #expect(overview.domain("a")?.address == "10.77.0.10")
  }

  @Test("One that cannot be used is told, and everything is as the image says")
  func problems() throws {
    let damaged = try fixture(nil, problem: "it is damaged: its digest is another\n")
    try damaged.start([Samples.domain("a")])
    #expect(
      try damaged.client().list().appliance.notices == [
        "this stick's identity is not used: it is damaged: its digest is another; provision the stick again"
      ])
    let hostile = try fixture(Array(#"{"version":1,"hostname":"x\u001b[2J"}"#.utf8))
    try hostile.start([Samples.domain("a")])
    let overview = try hostile.client().list()
    #expect(overview.appliance.hostname == "roost" && overview.appliance.notices.count == 1)
    let strange = try fixture(ApplianceIdentity(address: "10.9.0.1/30", autostart: ["a", "zz"]).json)
    try strange.start([Samples.domain("a")])
    let notices = try strange.client().list().appliance.notices
    #expect(notices.count == 2 && notices.last?.contains("zz") == true)
  }

  @Test("Guests of another network ask the name server that their images name")
  func names() throws {
    var manifest = Samples.manifest([Samples.domain("a")])
    #expect(!(try NetworkPlan(manifest, builtAddress: "10.77.0.1/24")).firewallRules().contains("redirect"))
    manifest = manifest.applying(ApplianceIdentity(address: "10.9.0.1/24")).manifest
    let plan = try NetworkPlan(manifest, builtAddress: "10.77.0.1/24")
    let rules = plan.firewallRules()
    #expect(rules.contains("    iifname \"roost0\" ip daddr 10.77.0.1 udp dport 53 redirect\n"))
    #expect(rules.contains("table inet roost {\n  chain names {\n"), "\(rules)")
    #expect(rules.contains("ip saddr 10.9.0.0/24"))
    #expect(plan.ports.map(\.card.address) == ["10.9.0.10"])
  }
}
