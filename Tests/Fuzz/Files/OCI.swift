import Fuzzing
import Platform
import Recipe

@testable import ImageBuilder

extension FuzzTarget {
  /// An image's documents: a list, a manifest, a configuration; and the armour of keys.
  static let ociDocuments = FuzzTarget(
    "oci-documents",
    seeds: {
      let digest = "sha256:" + String(repeating: "ab", count: 32)
      let descriptor = #"{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\#(digest)","size":7}"#
      return [
        #"{"manifests":[\#(descriptor)]}"#, #"{"config":\#(descriptor),"layers":[\#(descriptor)]}"#,
        #"{"architecture":"amd64","os":"linux","config":{"User":"a:b","Env":["A=1"],"Cmd":["x"],"WorkingDir":"/w"},"#
          + #""rootfs":{"diff_ids":["\#(digest)"]}}"#,
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
      ].map { Array($0.utf8) }
    },
    run: { input in
      let bytes = input.rest()
      _ = SignatureCheck.dearmored(String(decoding: bytes, as: UTF8.self))
      let index = try? OCIDocument.decode(bytes, as: OCIIndex.self, called: "it")
      let manifest = try? OCIDocument.decode(bytes, as: OCIManifest.self, called: "it")
      for descriptor in (index?.manifests ?? []) + (manifest?.layers ?? []) {
        // Nothing but a digest becomes a path.
        if let digest = descriptor.sha256 { precondition(descriptor.digest == "sha256:\(digest)") }
      }
      guard let config = try? OCIDocument.decode(bytes, as: OCIConfig.self, called: "it") else { return }
      let launch = Launch(suite: "s", hostname: "h")
      guard let program = try? LaunchProgram(config.config, launch, TreeIndex(), called: "it") else { return }
      precondition(!program.words.isEmpty && !program.environment.contains { $0.contains("\0") })
      precondition(!program.directory.split(separator: "/").contains(".."))
    })

  /// Layers over each other: tar files, each after its length in 512 bytes.
  static let ociLayers = FuzzTarget(
    "oci-layers",
    seeds: {
      try [
        [
          [.directory("etc"), .text("etc/a", "1"), .link("lib", to: "usr/lib"), .text("gone", "")],
          [.text("etc/.wh.a", ""), .text("lib/b", "2"), .text(".wh.gone", ""), .text("etc/.wh..wh..opq", "")],
        ],
        [
          [.text("a", "1"), TreeEntry(path: "b", content: .hardLink(to: "a"), permissions: 0o644)], [.text("b/c", "2")],
        ],
      ].map { (layers: [[TreeEntry]]) in
        var bytes: [UInt8] = []
        for layer in layers {
          let path = "/tmp/roost-fuzz.seed"
          let writer = try ArchiveWriter(path, .tar, epoch: 0)
          for entry in layer { try writer.add(entry) }
          try writer.finish()
          let tar = try Files.read(path)
          bytes += [UInt8(tar.count / 512)] + tar
        }
        return bytes
      }
    },
    run: { input in
      let path = "/tmp/roost-fuzz.\(ProcessEnvironment.processID)"
      let limits = ArchiveLimits(entries: 200, bytes: 1 << 20)
      var tree = LayerTree(called: "it", limit: limits.entries)
      var bytes = input.rest()[...]
      var layer = 0
      while let count = bytes.popFirst() {
        try Files.write(Array(bytes.prefix(Int(count) * 512)), to: path)
        bytes = bytes.dropFirst(Int(count) * 512)
        do throws(BuildError) {
          let reader = try ArchiveReader(path, .tar, limits: limits)
          var entries: [ArchiveEntry] = []
          while let entry = try reader.next() { entries.append(entry) }
          try tree.apply(layer, entries)
        } catch {
          precondition(!error.message.isEmpty)
          break
        }
        layer += 1
      }
      var nodes = [(tree.root, 0)]
      var total = 0
      while let (node, depth) = nodes.popLast() {
        total += 1
        precondition(depth <= LayerWalk.depth + 1 && (node.isFolder || node.children.isEmpty))
        precondition(node.isFolder == (node.member == nil))
        for (bytes, child) in node.children {
          precondition(!bytes.isEmpty && !bytes.contains(UInt8(ascii: "/")) && !bytes.starts(with: ".wh.".utf8))
          precondition(bytes != Array(".".utf8) && bytes != Array("..".utf8))
          nodes.append((child, depth + 1))
        }
      }
      precondition(total <= limits.entries + 1)
    })
}
