import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("OCI: images")
struct OCIImageTests {
  private func refusal(_ code: BuildError.Code = .badFile, _ body: () throws -> Void) -> BuildError? {
    let error = #expect(throws: BuildError.self, performing: body)
    #expect(error?.code == code, "\(String(describing: error))")
    return error
  }

  @Test("Layers may be plain, gzip or zstd; a layout may be a folder or a tar, packed or not")
  func forms() throws {
    let fixture = try OCIFixture()
    let layers = try [nil, "gzip", "zstd"].enumerated().map { number, tool in
      try fixture.layer([.init("f\(number)", "content")], packedBy: tool)
    }
    try fixture.index([try fixture.manifest(layers, execution: #"{"Cmd":["/f0","a b"],"Env":["A=1"]}"#)])
    let script = "cd \"$1/image\"; tar -cf ../plain.tar .; tar -czf ../packed.tar oci-layout index.json blobs"
    let outcome = try Command(["sh", "-c", script, "sh", fixture.directory.path]).run(cancellation: Cancellation())
    #expect(outcome.status.isSuccess, "\(outcome.text)")
    for path in [fixture.path, "\(fixture.directory.path)/plain.tar", "\(fixture.directory.path)/packed.tar"] {
      let image = try fixture.image(path)
      #expect(image.config.config?.command == ["/f0", "a b"] && image.config.config?.environment == ["A=1"])
      let root = try fixture.root(of: image)
      #expect(try Tree.paths(root, cancellation: Cancellation()) { _ in true } == ["f0", "f1", "f2"])
    }
  }

  @Test("The image for linux/amd64 is chosen, of lists of lists as well; others are named")
  func platforms() throws {
    let fixture = try OCIFixture()
    let layer = try fixture.layer([.init("a", "1")])
    let arm = try fixture.manifest(
      [layer], architecture: "arm64", more: #","platform":{"architecture":"arm64","os":"linux"}"#)
    let unknown = try fixture.manifest([layer], more: #","platform":{"architecture":"unknown","os":"unknown"}"#)
    let wanted = try fixture.manifest([layer], execution: #"{"User":"me"}"#)
    let list = try fixture.blob(
      Array(#"{"manifests":[\#(arm),\#(unknown),\#(wanted)]}"#.utf8), "application/vnd.oci.image.index.v1+json")
    try fixture.index([list])
    #expect(try fixture.image().config.config?.user == "me")
    try fixture.index([arm])
    #expect(refusal { _ = try fixture.image() }?.message.contains("it is for linux/arm64") == true)
    // Without a platform in the list the configuration tells.
    try fixture.index([try fixture.manifest([layer], architecture: "riscv64", more: "")])
    #expect(refusal { _ = try fixture.image() }?.message.contains("linux/riscv64") == true)
    try fixture.index([])
    #expect(refusal { _ = try fixture.image() }?.message.contains("no image for linux/amd64") == true)
  }

  @Test("Of several images the recipe says which")
  func references() throws {
    let fixture = try OCIFixture()
    let layer = try fixture.layer([.init("a", "1")])
    func named(_ name: String) throws -> String {
      try fixture.manifest(
        [layer], execution: #"{"User":"\#(name)"}"#,
        more: OCIFixture.platform + #","annotations":{"org.opencontainers.image.ref.name":"\#(name)"}"#)
    }
    try fixture.index([try named("docker.io/library/app:1"), try named("2")])
    #expect(try fixture.image(reference: "app:1").config.config?.user == "docker.io/library/app:1")
    #expect(try fixture.image(reference: "2").config.config?.user == "2")
    let several = refusal { _ = try fixture.image() }
    #expect(several?.hint?.contains("2, docker.io/library/app:1") == true)
    let none = refusal { _ = try fixture.image(reference: "3") }
    #expect(none?.message.contains("no image '3'") == true && none?.hint?.contains("app:1") == true)
  }

  @Test("A blob whose content is another is refused with both digests, whichever it is")
  func digests() throws {
    for number in 0..<3 {
      let fixture = try OCIFixture()
      let layer = try fixture.layer([.init("a", "1")])
      let descriptor = try fixture.manifest([layer])
      try fixture.index([descriptor])
      _ = try fixture.root(of: fixture.image())
      let blobs = try Files.list("\(fixture.path)/blobs/sha256").map { "\(fixture.path)/blobs/sha256/\($0)" }
      var bytes = try Files.read(blobs[number])
      bytes[bytes.count / 2] ^= 1
      try Files.write(bytes, to: blobs[number])
      let error = refusal(.wrongDigest) { _ = try fixture.root(of: fixture.image()) }
      let digest = blobs[number].split(separator: "/").last ?? ""
      #expect(error?.details.contains { $0.contains(digest) } == true)
      #expect(error?.details.contains { $0.contains("\(SHA256.hash(bytes))") } == true)
    }
  }

  @Test("A layer must unpack to what the configuration says")
  func unpacked() throws {
    let fixture = try OCIFixture()
    let layer = try fixture.layer([.init("a", "1")], packedBy: "gzip")
    let other = "sha256:\(SHA256.hash("another"))"
    try fixture.index([try fixture.manifest([.init(descriptor: layer.descriptor, unpacked: other)])])
    let error = refusal(.wrongDigest) { _ = try fixture.root(of: fixture.image()) }
    #expect(error?.details.contains { $0.contains(other) } == true)
    #expect(error?.details.contains { $0.contains(layer.unpacked) } == true)
  }

  @Test("What is missing, cut off, a link, or of another kind of digest is refused in words")
  func missing() throws {
    let fixture = try OCIFixture()
    #expect(refusal { _ = try fixture.image() }?.message.contains("has no index.json") == true)
    let layer = try fixture.layer([.init("a", "1")])
    let manifest = try fixture.manifest([layer])
    try fixture.index([manifest])
    let blob = "\(fixture.path)/blobs/sha256/\(SHA256.hash(TarFile.bytes([.init("a", "1")])))"
    let bytes = try Files.read(blob)
    try Files.write(Array(bytes.prefix(600)), to: blob)
    _ = refusal(.wrongDigest) { _ = try fixture.root(of: fixture.image()) }
    // A link to the same bytes elsewhere is no blob: it could be any file of this machine.
    try Files.write(bytes, to: "\(fixture.directory.path)/elsewhere")
    try Files.remove(blob)
    try Files.link(blob, to: "\(fixture.directory.path)/elsewhere")
    #expect(refusal { _ = try fixture.root(of: fixture.image()) }?.message.contains("lacks layer 1") == true)
    let upper = "sha256:" + String(repeating: "A", count: 64)
    for (digest, words) in [
      (upper, "'sha256:AAA"), ("md5:00", "'md5:00'"), ("sha256:../../../etc/passwd", "'sha256:../"), ("", "''"),
    ] {
      try fixture.index([#"{"digest":"\#(digest)","size":3}"#])
      #expect(refusal { _ = try fixture.image() }?.message.contains(words) == true)
    }
    for (text, words) in [("{", "no JSON"), (#"{"manifests":3}"#, "another type"), ("{}", "no 'manifests'")] {
      try Files.write(text, to: "\(fixture.path)/index.json")
      #expect(refusal { _ = try fixture.image() }?.message.contains(words) == true, "\(text)")
    }
    try Files.write([UInt8](repeating: 0x20, count: 5 << 20), to: "\(fixture.path)/index.json")
    #expect(refusal { _ = try fixture.image() }?.message.contains("more than 4 MiB") == true)
  }

  @Test("A tar of a layout is unpacked by its layout's names only")
  func names() throws {
    let fixture = try OCIFixture()
    let path = "\(fixture.directory.path)/image.tar"
    let digits = String(repeating: "a", count: 64)
    try Files.write(
      TarFile.bytes([
        .init("index.json", #"{"manifests":[]}"#), .init("evil", "x"), .init("blobs/sha256/\(digits)", "x"),
        .init("blobs/sha256/\(String(digits.dropLast()))b", kind: .link, target: "/etc/passwd"),
      ]), to: path)
    _ = refusal { _ = try fixture.image(path) }
    #expect(try Files.list("\(fixture.directory.path)/blobs") == ["blobs", "index.json"])
    #expect(try Files.list("\(fixture.directory.path)/blobs/blobs/sha256") == [digits])
  }

  @Test("Lists that name each other more often than there are images are given up, empty as they may be")
  func lists() throws {
    let fixture = try OCIFixture()
    func list(_ entries: [String]) throws -> String {
      try fixture.blob(
        Array(#"{"manifests":[\#(entries.joined(separator: ","))]}"#.utf8), "application/vnd.oci.image.index.v1+json")
    }
    let empty = try list([])
    let many = try list(Array(repeating: empty, count: 900))
    try fixture.index(Array(repeating: many, count: 900))
    let error = #expect(throws: BuildError.self) { try fixture.image() }
    #expect(error?.message.contains("more lists of images than can be") == true)
    let cancellation = Cancellation()
    cancellation.cancel()
    try fixture.index([many])
    let layout = try OCILayout(
      fixture.path, called: "the image", scratch: "\(fixture.directory.path)/blobs", limits: .standard,
      cancellation: Cancellation())
    let ended = #expect(throws: BuildError.self) { try OCIImage(layout, reference: nil, cancellation: cancellation) }
    #expect(ended?.code == .cancelled)
  }
}
