import Manifest
import Platform
import Testing

@testable import Storage

@Suite struct LivePlanTests {
  static let plan = LivePlan(
    storage: .init(
      ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "aaaaaa", ramUUID: "bbbbbb",
      metadataTemplate: "/m/volume-group.conf", images: "/m/images.squashfs"),
    disks: [.init(imageVolume: "image-debian", volume: "debian", bytes: 2 << 30)])

  @Test func memoryIsWhatIsWantedIfThereIsTwiceAsMuch() throws {
    let (extents, warning) = try Self.plan.affordableRAM(memory: 2 << 30)
    #expect(extents == 255)
    #expect(warning == nil)
  }

  @Test func memoryIsHalfOfWhatThereIsOtherwise() throws {
    let (extents, warning) = try Self.plan.affordableRAM(memory: 1 << 30)
    #expect(extents == 127)
    #expect(warning?.contains("508 MiB of memory instead of 1024 MiB") == true, "\(warning ?? "")")
  }

  @Test func tooLittleMemoryIsRefused() {
    let error = #expect(throws: StorageError.self) { _ = try Self.plan.affordableRAM(memory: 16 << 20) }
    #expect(error?.code == .memory)
    #expect(error?.message.contains("of 16 MiB of memory") == true)
  }

  @Test func commandWordsFromTheMediumAreChecked() throws {
    try Self.plan.check()
    for bad in ["", "-n", "a b", "a;b", "../x", "é"] {
      var plan = Self.plan
      plan.disks[0].volume = bad
      #expect(throws: StorageError.self, "\(bad)") { try plan.check() }
      plan = Self.plan
      plan.storage.physicalVolumeFile = bad
      #expect(throws: StorageError.self, "\(bad)") { try plan.check() }
    }
    for bytes in [0, -1, Int.max] {
      var plan = Self.plan
      plan.disks[0].bytes = bytes
      #expect(throws: StorageError.self, "\(bytes)") { try plan.check() }
    }
    for bytes in [0, 1000, 3 << 20, 1 << 40] {
      var plan = Self.plan
      plan.storage.extentBytes = bytes
      #expect(throws: StorageError.self, "\(bytes)") { try plan.check() }
    }
  }

  /// A medium without images has an extent that nothing uses, and the group calls it free.
  @Test func extentsOfTheMediumAreNotForThePool() {
    let rows = [
      ["vg_name": "roost", "pv_allocatable": "", "pv_pe_count": "1", "pv_pe_alloc_count": "0"],
      ["vg_name": "roost", "pv_allocatable": "allocatable", "pv_pe_count": "246", "pv_pe_alloc_count": "6"],
      ["vg_name": "other", "pv_allocatable": "allocatable", "pv_pe_count": "100", "pv_pe_alloc_count": "0"],
    ]
    #expect(GuestStorage.allocatableExtents(of: "roost", in: rows) == 240)
  }

  @Test func bookkeepingGrowsWithThePool() {
    #expect(GuestStorage.poolMetadataExtents(extents: 16, extentBytes: 4 << 20) == 1)
    #expect(GuestStorage.poolMetadataExtents(extents: 2560, extentBytes: 4 << 20) == 5)
    #expect(GuestStorage.poolMetadataExtents(extents: 16, extentBytes: 1 << 20) == 2)
  }
}

@Suite struct MediumManifestTests {
  private static func plan(_ text: [UInt8]) throws -> LivePlan {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-storage-")
    defer { try? Files.removeTree(directory) }
    try Files.write(text, to: "\(directory)/manifest.json")
    return try LivePlan(manifest: "\(directory)/manifest.json", medium: "/medium")
  }

  private static func manifest() -> ApplianceManifest {
    func domain(_ name: String, disk: ApplianceManifest.Disk?) -> ApplianceManifest.Domain {
      ApplianceManifest.Domain(
        name: name, os: "none", cpus: 1, memoryBytes: 64 << 20,
        boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""), disk: disk, network: nil,
        autostart: true, ready: .init(consoleText: "x", timeoutSeconds: 1), onReboot: .restart, onCrash: .preserve)
    }
    return ApplianceManifest(
      name: "test", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
      storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "aaaaaa", ramUUID: "bbbbbb"),
      network: .init(address: "10.77.0.1/24"),
      domains: [
        domain("debian", disk: .init(imageVolume: "image-debian", volume: "debian", bytes: 2 << 30)),
        domain("hatchling", disk: nil),
      ])
  }

  @Test func whatTheBuilderWritesIsThePlan() throws {
    var expected = LivePlanTests.plan
    expected.storage.metadataTemplate = "/medium/roost/volume-group.conf"
    expected.storage.images = "/medium/roost/images.squashfs"
    #expect(try Self.plan(Self.manifest().encoded()) == expected)
  }

  @Test func othersAreRefused() throws {
    let good = String(decoding: try Self.manifest().encoded(), as: UTF8.self)
    for (old, new, reason) in [
      ("\"version\" : 1", "\"version\" : 2", "version 2"), ("\"ramUUID\"", "\"ram\"", "write the medium again"),
      ("/roost/images.squashfs", "/../images", "outside of the medium"), ("{", "", "write the medium again"),
    ] {
      let bad = good.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
      #expect(bad != good)
      #expect { _ = try Self.plan(Array(bad.utf8)) } throws: { "\($0)".contains(reason) }
    }
  }
}

@Suite struct MetadataTemplateTests {
  static let text = """
    roost {
    \tphysical_volumes {
    \t\tpv_medium {
    \t\t\tdev_size = 100
    \t\t\tpe_start = 2048
    \t\t\tpe_count = 3
    \t\t}

    \t\tpv_ram {
    \t\t\tdev_size = 200
    \t\t\tpe_start = 2048
    \t\t\tpe_count = 4
    \t\t}
    \t}
    }

    """

  @Test func onlyTheMemoryIsResized() throws {
    let new = try MetadataTemplate(text: Self.text).withRAM(extents: 10, extentBytes: 4 << 20).text
    let words = new.split { $0.isWhitespace }.joined(separator: " ")
    #expect(words.contains("pv_medium { dev_size = 100 pe_start = 2048 pe_count = 3 }"))
    #expect(words.contains("pv_ram { dev_size = \(2048 + 10 * 8192) pe_start = 2048 pe_count = 10 }"))
  }

  @Test func otherTextIsRefused() {
    for text in ["", "pv_ram {", "pv_ram {\n}\n", "pv_ram {\ndev_size = x\n}"] {
      #expect(throws: StorageError.self, "\(text)") {
        _ = try MetadataTemplate(text: text).withRAM(extents: 1, extentBytes: 4 << 20)
      }
    }
  }
}

@Suite struct StorageStateTests {
  @Test func jsonIsWhatTheApplianceReads() throws {
    let state = StorageState(
      .ready, volumeGroup: "roost", ramBytes: 5, domains: ["debian": .init(device: "/dev/roost/debian", bytes: 7)])
    #expect(
      String(decoding: try state.json(), as: UTF8.self) == """
        {
          "created" : {

          },
          "devices" : [

          ],
          "disks" : [

          ],
          "domains" : {
            "debian" : {
              "bytes" : 7,
              "device" : "/dev/roost/debian"
            }
          },
          "home" : "memory",
          "ramBytes" : 5,
          "remotes" : [

          ],
          "state" : "ready",
          "volumeGroup" : "roost",
          "waitingFor" : [

          ],
          "warnings" : [

          ]
        }

        """)
  }

  @Test func fileIsWrittenAndReadBack() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-storage-")
    defer { try? Files.removeTree(directory) }
    let path = "\(directory)/storage.json"
    #expect(try StorageState.load(path) == nil)
    let state = StorageState(.failed, error: "no medium", warnings: ["w"], volumeGroup: "roost")
    try state.write(to: path)
    #expect(try StorageState.load(path) == state)
    try Files.write("{", to: path)
    #expect(throws: StorageError.self) { _ = try StorageState.load(path) }
  }
}
