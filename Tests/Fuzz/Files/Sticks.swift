import Fuzzing
import Identity
import Manifest
import Recipe

@testable import ImageBuilder

extension FuzzTarget {
  private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"

  /// A stick's identity: the JSON alone, as a digest would keep everything else out; and a partition that begins with
  /// whatever it may be. One that is taken must come back as it was.
  static let identity = FuzzTarget(
    "identity",
    seeds: {
      let identity = ApplianceIdentity(
        hostname: "lab-07", address: "10.78.0.1/24", sshKeys: [key], autostart: ["debian"])
      return [identity.json, ApplianceIdentity().json, IdentityDocument.encode(identity), [0, 0]]
    },
    run: { input in
      let bytes = input.rest()
      _ = try? IdentityDocument.decode(bytes)
      guard let identity = try? ApplianceIdentity(json: bytes) else { return }
      precondition(identity.problem == nil)
      let copy = try IdentityDocument.decode(IdentityDocument.encode(identity))
      precondition(copy == identity, "an identity does not come back as it was")
      precondition(identity.sshKeys.allSatisfy { !$0.contains("\n") }, "a key is more than a line")
    })

  /// A roster's text.
  static let roster = FuzzTarget(
    "roster",
    seeds: {
      let stick = "  - hostname: b\n    device: /dev/x\n    network: {subnet: 10.78.0.0/24}\n    autostart: []\n"
      return [Array("ssh-keys: [\(key)]\nsticks:\n  - {hostname: a}\n\(stick)".utf8), Array("sticks: &a [*a]\n".utf8)]
    },
    run: { input in
      let manifest = ApplianceManifest(
        name: "lab", recipeDigest: "", epoch: 0, controlDomain: .init(hostname: "roost", suite: "trixie"),
        storage: .init(ramBytes: 1, extentBytes: 1, mediumUUID: "m", ramUUID: "r"),
        network: .init(address: "10.77.0.1/24"), domains: [])
      do throws(RecipeError) {
        for stick in try Roster.parse(String(decoding: input.rest(), as: UTF8.self), file: "r", for: manifest).sticks {
          let identity = ApplianceIdentity(
            hostname: stick.hostname, address: stick.subnet?.gatewayDescription, sshKeys: stick.sshKeys,
            autostart: stick.autostart)
          precondition(identity.problem == nil, "a roster gives an identity that is none")
        }
      } catch { precondition(!error.description.isEmpty) }
    })

  /// The beginning of a medium: boot record and partition table, checksums made right so that what they guard is read.
  static let partitionTable = FuzzTarget(
    "partition-table",
    seeds: {
      guard var table = GUIDPartitionTable(head: emptyTable) else { return [] }
      table.partitions = [
        .init(number: 3, type: table.disk, identifier: table.disk, first: 64, last: 100, attributes: 1, name: "x")
      ]
      return [[UInt8](repeating: 0, count: 512) + table.encoded(sectors: 4096).primary, emptyTable]
    },
    run: { input in
      var head = input.rest()
      rectify(&head)
      guard let table = GUIDPartitionTable(head: head) else { return }
      let sectors = 1 << 21
      let (primary, backup) = table.encoded(sectors: sectors)
      precondition(primary.count == backup.count)
      let copy = GUIDPartitionTable(head: [UInt8](repeating: 0, count: 512) + primary)
      precondition(copy?.partitions.map(\.first) == table.partitions.map(\.first))
      _ = ProtectiveMBR.fitted(Array(head.prefix(512)), sectors: sectors)
    })

  /// Four entries, all of them free.
  private static var emptyTable: [UInt8] {
    var head = [UInt8](repeating: 0, count: 1536)
    head.replaceSubrange(512..<520, with: Array("EFI PART".utf8))
    let words: [(UInt32, Int)] = [
      (0x1_0000, 520), (92, 524), (1, 536), (4095, 544), (34, 552), (4062, 560), (7, 568), (2, 584), (4, 592),
      (128, 596),
    ]
    for (value, offset) in words { head.put(value, at: offset) }
    rectify(&head)
    return head
  }

  /// Makes the checksums right, where their ranges are sane.
  private static func rectify(_ head: inout [UInt8]) {
    guard head.count >= 1024 else { return }
    let array = Int(head.little(UInt32.self, at: 584)) * 512
    let bytes = Int(head.little(UInt32.self, at: 592)) * 128
    if array >= 1024, bytes <= 1 << 17, array + bytes <= head.count {
      head.put(checksum(head[array..<(array + bytes)]), at: 600)
    }
    let size = Int(head.little(UInt32.self, at: 524))
    guard (92...512).contains(size) else { return }
    head.put(0 as UInt32, at: 528)
    head.put(checksum(head[512..<(512 + size)]), at: 528)
  }

  /// CRC-32, bit by bit.
  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var register: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      register ^= UInt32(byte)
      for _ in 0..<8 { register = register & 1 == 1 ? 0xEDB8_8320 ^ (register >> 1) : register >> 1 }
    }
    return ~register
  }
}
