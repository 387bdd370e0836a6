import Binary
import Platform
import Testing

@testable import ImageBuilder
@testable import Recipe

@Suite("What UEFI starts, and the digests of the root")
struct SecureBootTests {
  private func context(_ directory: borrowing TemporaryDirectory) throws -> StepContext {
    for name in ["output", "scratch"] { try Files.makeDirectories("\(directory.path)/\(name)") }
    return StepContext(
      output: "\(directory.path)/output", scratch: "\(directory.path)/scratch", log: "\(directory.path)/log",
      epoch: 1_754_697_600, cache: directory.path, cancellation: Cancellation(), results: [:], report: { _ in })
  }

  private func pair(_ context: borrowing StepContext) throws -> PEMPair {
    try Files.write(
      """
      name: test
      control-domain: {suite: trixie}
      image: {secure-boot: {key: db.key, certificate: db.pem}}
      domains:
        - {name: one, os: Hatchling, memory: 32 MiB, source: {hatchling: {}}, ready: {console: "> ", timeout: 60 s}}

      """, to: "\(context.cache)/recipe.yaml")
    try context.run(
      [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Lab", "-days", "30", "-keyout",
        "\(context.cache)/db.key", "-out", "\(context.cache)/db.pem",
      ], doing: "cannot make a key")
    guard case .key(let pair, _) = try SecureBoot(Recipe.load("\(context.cache)/recipe.yaml")) else {
      throw BuildError(.content, "no key")
    }
    return pair
  }

  @Test("A unified kernel image has its parts, a signature that holds, and the same bytes again")
  func unifiedKernelImage() throws {
    let directory = try TemporaryDirectory()
    let context = try context(directory)
    // Any program for UEFI may be the stub here.
    let stub = "\(directory.path)/stub.efi"
    try Files.rename(try GRUBImages.makeEFI(volume: VolumeUUID(digest: SHA256.hash("volume")), context), to: stub)
    try Files.write([UInt8](repeating: 0xA5, count: 10_001), to: "\(directory.path)/kernel")
    try Files.write([UInt8](repeating: 0x5A, count: 4096), to: "\(directory.path)/initramfs")
    let image = UnifiedKernelImage(
      stub: stub, kernel: "\(directory.path)/kernel", initramfs: "\(directory.path)/initramfs",
      commandLine: "roost.medium=x quiet", title: "Roost: test")
    let pair = try pair(context)
    let signed = try image.make(signedBy: pair, context)
    let first = try Files.read(signed)
    try Files.remove(signed)
    // A header's time has whole seconds.
    MonotonicClock.sleep(milliseconds: 1100)
    #expect(try Files.read(try image.make(signedBy: pair, context)) == first)
    try context.run(["sbverify", "--cert", pair.certificatePath, signed], doing: "the signature does not hold")
    for (section, file) in [(".linux", "kernel"), (".initrd", "initramfs")] {
      let out = "\(directory.path)/section"
      try context.run(["objcopy", "-O", "binary", "--only-section=\(section)", signed, out], doing: "no section")
      let content = try Files.read("\(directory.path)/\(file)")
      #expect(try Array(Files.read(out).prefix(content.count)) == content)
    }
    // A byte that is another ends the signature's truth.
    var changed = first
    let place = try #require(changed.lastIndex(of: 0x5A))
    changed[place] = 0
    try Files.write(changed, to: signed)
    #expect(throws: BuildError.self) {
      try context.run(["sbverify", "--cert", pair.certificatePath, signed], doing: "the signature does not hold")
    }
  }

  @Test("What cannot be a stub or a key is named")
  func mistakes() throws {
    let directory = try TemporaryDirectory()
    let context = try context(directory)
    let pair = try pair(context)
    for name in ["text", "kernel"] { try Files.write("text", to: "\(directory.path)/\(name)") }
    let image = UnifiedKernelImage(
      stub: "\(directory.path)/text", kernel: "\(directory.path)/kernel", initramfs: "\(directory.path)/kernel",
      commandLine: "", title: "")
    #expect(throws: BuildError.self) { try image.make(signedBy: pair, context) }
    try Files.write("text", to: pair.keyPath)
    #expect { try pair.key() } throws: { "\($0)".contains("db.key has no PEM block 'PRIVATE KEY'") }
  }

  @Test("Keys are RSA's: signatures of others differ each time")
  func kinds() throws {
    let directory = try TemporaryDirectory()
    let context = try context(directory)
    let path = try pair(context).keyPath
    #expect(PEMPair.isRSA(try Files.read(path)))
    for (options, isRSA) in [
      (["rsa", "-in", path, "-traditional"], true), (["pkcs8", "-topk8", "-nocrypt", "-in", path], true),
      (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], false),
      (["genpkey", "-algorithm", "ED25519"], false),
    ] {
      let key = "\(directory.path)/other.key"
      try context.run(["openssl"] + options + ["-out", key], doing: "cannot make a key")
      #expect(PEMPair.isRSA(try Files.read(key)) == isRSA, "\(options)")
    }
    #expect(!PEMPair.isRSA([]))
    try Files.rename("\(directory.path)/other.key", to: path)
    #expect { try SecureBoot(Recipe.load("\(context.cache)/recipe.yaml")) } throws: {
      "\($0)".contains("db.key is no key of RSA")
    }
    // What stands before the block may end its lines as it likes.
    try Files.write("Bag\r\n-----BEGIN PRIVATE KEY-----\r\n", to: path)
    _ = try PEMPair(Recipe.load("\(context.cache)/recipe.yaml"), .init(certificate: "db.pem", key: "db.key"), of: "x")
      .key()
  }

  @Test("The EFI system partition has the files in their folders")
  func partition() throws {
    let directory = try TemporaryDirectory()
    let context = try context(directory)
    try Files.write([UInt8](repeating: 1, count: 3 << 20), to: "\(directory.path)/program")
    try Files.write("menu", to: "\(directory.path)/menu")
    let image = "\(directory.path)/efi.img"
    try EFIPartition(
      files: [
        .init(EFIPartition.program, from: "\(directory.path)/program"),
        .init("EFI/debian/grub.cfg", from: "\(directory.path)/menu"),
      ], volume: VolumeUUID(digest: SHA256.hash("volume"))
    ).make(image, context)
    let environment = ["MTOOLSRC": "/dev/null"]
    let listing = try context.run(
      ["mdir", "-b", "-/", "-i", image, "::"], environment: environment, doing: "no listing")
    #expect(listing.contains("::/EFI/BOOT/BOOTX64.EFI") && listing.contains("::/EFI/debian/grub.cfg"))
    let menu = try context.run(
      ["mtype", "-i", image, "::/EFI/debian/grub.cfg"], environment: environment, doing: "no file")
    #expect(menu == "menu\n")
  }

  /// Two blocks: their digests, padded to a block, are the tree, and that block's digest is its root.
  @Test("The tree of digests is the plain one that the kernel's table describes")
  func digests() throws {
    let directory = try TemporaryDirectory()
    let context = try context(directory)
    let blocks = [UInt8](repeating: 1, count: 4096) + [UInt8](repeating: 2, count: 4096)
    try Files.write(blocks, to: "\(context.output)/\(ControlRoot.file)")
    try ControlRoot.makeTree(context)
    let leaves = SHA256.hash(Array(blocks[..<4096])).bytes + SHA256.hash(Array(blocks[4096...])).bytes
    let tree = Array(leaves) + [UInt8](repeating: 0, count: 4096 - leaves.count)
    #expect(try Files.read("\(context.output)/\(ControlRoot.tree)") == tree)
    #expect(try ControlRoot.digest(at: "\(context.output)/\(ControlRoot.rootDigest)") == SHA256.hash(tree))
    try Files.write("none", to: "\(context.output)/\(ControlRoot.rootDigest)")
    #expect(throws: BuildError.self) { try ControlRoot.digest(at: "\(context.output)/\(ControlRoot.rootDigest)") }
  }
}
