import Binary
import DiskImages
import Fuzzing
import Manifest
import Platform
import Recipe

@testable import Control
@testable import ImageBuilder

extension FuzzTarget {
  /// A recipe's text.
  static let recipe = FuzzTarget(
    "recipe",
    seeds: {
      // This file is three below the package's root.
      let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
      let text = try Files.readText("/\(root)/recipes/quickstart.yaml")
      let lines = text.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("#") }
      return [Array(lines.joined(separator: "\n").utf8), Array("name: a\ndomains: &a [*a, {b: |\n  c}]\n".utf8)]
    },
    run: { input in
      do throws(RecipeError) {
        _ = try Recipe.parse(String(decoding: input.rest(), as: UTF8.self), file: "r.yaml").digest
      } catch { precondition(!error.description.isEmpty) }
    })

  /// The medium's manifest; one that is taken must come back as it was.
  static let manifest = FuzzTarget(
    "manifest",
    seeds: {
      let domain = ApplianceManifest.Domain(
        name: "debian", os: "Debian 13", cpus: 1, memoryBytes: 384 << 20,
        boot: .init(method: .linux, kernel: "/k", initrd: "/i", commandLine: "console=ttyS0"),
        disk: .init(imageVolume: "image-debian", volume: "debian", bytes: 2 << 30, bus: .ide),
        network: .init(mac: "52:54:00:00:00:01", address: "10.77.0.10"), autostart: true,
        ready: .init(consoleText: "debian login:", timeoutSeconds: 300), onReboot: .restart, onCrash: .preserve)
      let manifest = ApplianceManifest(
        name: "quickstart", recipeDigest: "ab", epoch: 1_700_000_000,
        controlDomain: .init(hostname: "roost", suite: "trixie"),
        storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "m", ramUUID: "r"),
        network: .init(address: "10.77.0.1/24"), domains: [domain])
      return [try manifest.encoded()]
    },
    run: { input in
      guard let manifest = try? ApplianceManifest.decode(input.rest()) else { return }
      let copy = try ApplianceManifest.decode(manifest.encoded())
      precondition(copy == manifest, "a manifest does not come back as it was")
    })

  /// Bytes of a client of roostd, in pieces: each begins with its length.
  static let request = FuzzTarget(
    "control-request",
    seeds: {
      let lines = [
        #"{"id":3,"op":"tail","domain":"debian","bytes":10}"#, #"{"id":1,"op":"list"}"#, #"{"id":4}"#,
        #"{"id":1,"op":"reboot-host","future":[1,null,{"a":"\u00e4"}]}"#,
      ].map { Array("\($0)\r\n".utf8) }
      return [lines.flatMap { (line: [UInt8]) -> [UInt8] in [UInt8(line.count)] + line }]
    },
    run: { input in
      var framer = LineFramer(limit: 512)
      while !input.isEmpty {
        for case .line(let line) in framer.append(input.run()) {
          precondition(line.count <= 512)
          guard case .success(let request) = ControlCoding.request(from: line) else { continue }
          let copy = try? ControlCoding.request(from: ControlCoding.encode(request)).get()
          precondition(copy == request, "a request does not come back as it was")
        }
      }
    })

  /// A file that a recipe calls a kernel.
  static let kernelFile = FuzzTarget(
    "kernel-file",
    seeds: {
      let multiboot: [UInt8] = [0x02, 0xB0, 0xAD, 0x1B, 3, 0, 0, 0, 0xFB, 0x4F, 0x52, 0xE4]
      let plan9: [UInt8] = [0, 0, 1, 0xEB, 0, 0, 0, 1, 0, 0, 0, 3] + [UInt8](repeating: 0, count: 24)
      return [SampleImages.bzImage(kernelBytes: 64), SampleImages.pvh([0xF4]), multiboot, plan9]
    },
    run: { input in
      let bytes = input.rest()
      if let method = KernelFile.detect(bytes) { try? KernelFile.check(bytes, method, path: "k") }
      for method in BootMethod.allCases { _ = try? KernelFile.method(of: bytes, wanted: method, path: "k") }
    })

  /// A program or library of a root file system, and what it is linked with.
  static let program = FuzzTarget(
    "program",
    seeds: { [SampleProgram.linked(with: ["libc.so.6", "libblkid.so.1"]), SampleProgram.linked(with: [])] },
    run: { input in _ = try? SharedObject.needed(input.rest()) })

  /// The head of a disk's image.
  static let diskImage = FuzzTarget(
    "disk-image",
    seeds: {
      func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
      return [
        [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3] + zeros(96), [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 2] + zeros(64),
        Array("KDMV".utf8) + [3] + zeros(8) + [1] + zeros(498) + Array("CID=1\nparentCID=ffffffff\n".utf8),
        Array("# Disk DescriptorFile\n".utf8), [0x1F, 0x8B, 8, 0],
      ]
    },
    run: { input in
      let bytes = input.rest()
      if ImageForm(of: bytes) == .raw { precondition(ImageForm.objection(bytes) == nil) }
      _ = ImageForm.objection(bytes)
    })

  /// A whole qcow2 file; what it says it holds must lie on its disk, in order.
  static let qcow2 = FuzzTarget(
    "qcow2",
    seeds: {
      // Clusters of 512 bytes: the header, a table of one entry, a table of 64, and a cluster of ones.
      func file(version: UInt32, entry: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.raw([0x51, 0x46, 0x49, 0xFB])
        writer.big(version)
        writer.zeros(12)
        writer.big(9 as UInt32)
        writer.big(32768 as UInt64)
        writer.zeros(4)
        writer.big(1 as UInt32)
        writer.big(512 as UInt64)
        writer.zeros(52)
        writer.big(104 as UInt32)
        writer.zeros(512 - writer.count)
        writer.big(1024 as UInt64)
        writer.zeros(504)
        writer.big(entry)
        writer.zeros(504)
        writer.raw([UInt8](repeating: 1, count: 512))
        return writer.bytes
      }
      return [
        file(version: 3, entry: 1536 | 1 << 63), file(version: 2, entry: 1536), file(version: 3, entry: 1),
        file(version: 3, entry: 1 << 62 | 1536),
      ]
    },
    run: { input in
      let bytes = input.rest()
      let largest = 1 << 24
      do throws(ImageError) {
        var image = try QCOW2Image(ByteArray(bytes: bytes), largest: largest)
        var end = 0
        while let cluster = try image.nextCluster() {
          precondition(cluster.place >= end && cluster.count > 0, "clusters out of order")
          end = cluster.place + cluster.count
          precondition(end <= image.size && image.size <= largest, "a cluster behind the disk's end")
          let content = try image.bytes(of: cluster)
          precondition(content.count == cluster.count, "a cluster of another size")
        }
      } catch { precondition(!error.description.isEmpty) }
    })

  private struct ByteArray: ImageBytes {
    let bytes: [UInt8]

    var length: Int { bytes.count }

    func bytes(at offset: Int, count: Int) throws(ImageError) -> [UInt8] {
      Array(bytes[offset..<(offset + count)])
    }
  }

  /// A packed file. What libarchive makes of it is its own affair; that its memory is used as it should be is ours.
  static let archive = FuzzTarget(
    "archive",
    seeds: {
      [
        // gzip of "roost", and plain text.
        [
          0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 0xFF, 0x2B, 0xCA, 0xCF, 0x2F, 0x2E, 1, 0, 0xEA, 0xB0, 0x84, 0x36, 5, 0, 0, 0,
        ],
        Array("plain".utf8),
      ]
    },
    run: { input in
      let bytes = input.rest()
      guard let unpacked = try? ArchiveReader.decompress(bytes, name: "a") else { return }
      precondition(unpacked.count <= 1100 * max(bytes.count, 64), "more than deflate can make of it")
    })
}
