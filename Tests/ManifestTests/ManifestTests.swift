import Manifest
import Testing

@Suite struct ManifestTests {
  private var sample: ApplianceManifest {
    ApplianceManifest(
      name: "quickstart", recipeDigest: "ab", epoch: 1_700_000_000,
      controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "m", ramUUID: "r"),
      network: .init(address: "10.77.0.1/24"),
      domains: [
        .init(
          name: "debian", os: "Debian 13", cpus: 1, memoryBytes: 384 << 20,
          boot: .init(method: .linux, kernel: "/k", initrd: "/i", commandLine: "console=ttyS0"),
          disk: .init(imageVolume: "image-debian", volume: "debian", bytes: 2 << 30),
          network: .init(mac: "52:54:00:00:00:01", address: "10.77.0.10"), autostart: true,
          ready: .init(consoleText: "debian login:", timeoutSeconds: 300), onReboot: .restart, onCrash: .preserve),
        .init(
          name: "hatchling", os: "Hatchling", cpus: 1, memoryBytes: 32 << 20,
          boot: .init(method: .pvh, kernel: "/h", initrd: nil, commandLine: ""), disk: nil, network: nil,
          autostart: true, ready: .init(consoleText: "hatchling> ", timeoutSeconds: 60), onReboot: .destroy,
          onCrash: .preserve),
      ])
  }

  @Test func comesBackAsItWas() throws {
    let bytes = try sample.encoded()
    #expect(try ApplianceManifest.decode(bytes) == sample)
    #expect(try sample.encoded() == bytes)
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(text.hasSuffix("}\n"))
    #expect(text.contains("\"metadataTemplate\" : \"/roost/volume-group.conf\""))
    #expect(text.contains("\"method\" : \"pvh\""))
  }

  @Test func whatIsAsUsualIsNotWritten() throws {
    let text = String(decoding: try sample.encoded(), as: UTF8.self)
    for key in ["bus", "model", "display", "vnc", "cpuModel", "cdrom", "floppy", "modules", "hotplug", "balancer"] {
      #expect(!text.contains("\"\(key)\""), "\(key)")
    }
  }

  @Test func firmwareAndEveryDeviceComeBack() throws {
    var other = sample
    other.domains[0].boot = .init(method: .uefi, kernel: nil, initrd: nil, commandLine: "")
    other.domains[0].disk?.bus = .ide
    other.domains[0].network?.model = .e1000
    other.domains[0].cdrom = "/c"
    other.domains[0].floppy = "/f"
    other.domains[0].display = .vga
    other.domains[0].vnc = .init(passwordFile: "/p")
    other.domains[0].cpuModel = .baseline
    other.domains[0].hotplug = true
    other.balancer = true
    other.domains[1].boot.modules = [.init(file: "/m", commandLine: "a, b")]
    #expect(try ApplianceManifest.decode(try other.encoded()) == other)
  }

  @Test func aMediumOfBeforeThereWasHotplugHasNone() throws {
    var other = sample
    other.domains[0].hotplug = true
    let text = String(decoding: try other.encoded(), as: UTF8.self)
    let line = "      \"hotplug\" : true,\n"
    let range = try #require(text.firstRange(of: line))
    let old = String(text[..<range.lowerBound]) + String(text[range.upperBound...])
    #expect(try ApplianceManifest.decode(Array(old.utf8)).domains[0].hotplug == nil)
    let wrong = String(text[..<range.lowerBound]) + "      \"hotplug\" : \"yes\",\n" + String(text[range.upperBound...])
    #expect(failure(wrong).contains("hotplug"))
  }

  @Test func aKernelIsNeededWhereNoFirmwareRuns() throws {
    var other = sample
    other.domains[1].boot.kernel = nil
    #expect(failure(String(decoding: try other.encoded(), as: UTF8.self)).contains("'hatchling' has no kernel"))
  }

  private func failure(_ text: String) -> String {
    do {
      _ = try ApplianceManifest.decode(Array(text.utf8), path: "m.json")
      return "accepted"
    } catch {
      return error.description
    }
  }

  @Test("An order of starts comes back; one that nobody could keep is refused")
  func order() throws {
    var other = sample
    other.domains[1].after = ["debian"]
    #expect(try ApplianceManifest.decode(try other.encoded()) == other)
    #expect(!String(decoding: try sample.encoded(), as: UTF8.self).contains("\"after\""))
    for (after, words) in [
      (["hatchling"], "'debian' comes after itself"), (["debain"], "'debain', which is no domain"),
      (["hatchling"], "hatchling comes after debian"), (["hatchling", "hatchling"], "'hatchling' twice"),
    ] {
      var wrong = sample
      wrong.domains[0].after = after
      if words.contains("comes after debian") { wrong.domains[1].after = ["debian"] }
      if words.contains("itself") { wrong.domains[0].after = ["debian"] }
      #expect(failure(String(decoding: try wrong.encoded(), as: UTF8.self)).contains(words), "\(words)")
    }
  }

  @Test func anotherVersionIsRefusedByName() throws {
    var other = sample
    other.version = 2
    let message = failure(String(decoding: try other.encoded(), as: UTF8.self))
    #expect(message.contains("it has version 2 and this Roost reads version 1"), "\(message)")
    #expect(message.hasPrefix("m.json: "))
  }

  @Test func missingKeysAndBrokenTextAreNamed() throws {
    #expect(failure("{}").contains("'version' is missing"))
    #expect(failure("{\"version\": 1}").contains("is missing"))
    #expect(failure("{\"version\": ").contains("not a usable appliance manifest"))
    #expect(failure("").contains("not a usable appliance manifest"))
  }

  @Test func twoDomainsOfOneNameAndHostileNamesAreRefused() throws {
    var other = sample
    other.domains[1].name = "debian"
    #expect(failure(String(decoding: try other.encoded(), as: UTF8.self)).contains("two domains are named 'debian'"))
    other.domains[1].name = "../x"
    #expect(failure(String(decoding: try other.encoded(), as: UTF8.self)).contains("lower-case letters"))
    other = sample
    other.domains[0].cpus = 0
    #expect(failure(String(decoding: try other.encoded(), as: UTF8.self)).contains("0 CPUs"))
  }
}
