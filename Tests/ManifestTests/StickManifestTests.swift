import Identity
import Manifest
import Testing

@Suite("A stick's identity over the image's manifest") struct StickManifestTests {
  private func domain(_ name: String, address: String?) -> ApplianceManifest.Domain {
    .init(
      name: name, os: "x", cpus: 1, memoryBytes: 64 << 20,
      boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""), disk: nil,
      network: address.map { .init(mac: "52:54:00:00:00:01", address: $0) }, autostart: true,
      ready: .init(consoleText: "l", timeoutSeconds: 1), onReboot: .restart, onCrash: .preserve)
  }

  private var manifest: ApplianceManifest {
    ApplianceManifest(
      name: "lab", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(ramBytes: 1, extentBytes: 1, mediumUUID: "m", ramUUID: "r"),
      network: .init(address: "10.77.0.1/24"),
      domains: [domain("a", address: "10.77.0.10"), domain("b", address: "10.77.0.11"), domain("c", address: nil)])
  }

  @Test func everythingIsTheSticks() {
    let identity = ApplianceIdentity(hostname: "lab-07", address: "192.168.5.1/26", autostart: ["b"])
    let (applied, problems) = manifest.applying(identity)
    #expect(problems == [])
    #expect(applied.controlDomain.hostname == "lab-07")
    #expect(applied.network.address == "192.168.5.1/26")
    #expect(applied.domains.map { $0.network?.address } == ["192.168.5.10", "192.168.5.11", nil])
    #expect(applied.domains.map(\.autostart) == [false, true, false])
  }

  @Test func whatIsNotSaidStays() {
    let (applied, problems) = manifest.applying(ApplianceIdentity())
    #expect(applied == manifest && problems == [])
    #expect(manifest.applying(ApplianceIdentity(autostart: [])).manifest.domains.allSatisfy { !$0.autostart })
  }

  @Test func whatDoesNotFitIsToldAndLeftOut() {
    let identity = ApplianceIdentity(address: "10.78.0.1/29", autostart: ["a", "zz"])
    let (applied, problems) = manifest.applying(identity)
    #expect(applied.network == manifest.network)
    #expect(applied.domains[0].network?.address == "10.77.0.10")
    #expect(problems.count == 2)
    #expect(problems.first?.contains("10.78.0.1/29") == true && problems.last?.contains("zz") == true)
    // An address that is a guest's number would be the control domain's and the guest's.
    #expect(manifest.applying(ApplianceIdentity(address: "10.78.0.10/24")).problems.count == 1)
  }
}
