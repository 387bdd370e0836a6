import Binary
import Testing

@testable import Platform

@Suite struct VerityTests {
  /// As the kernel's documentation has it: format, devices, block sizes, blocks, where the tree begins, algorithm, root, salt.
  @Test func aTableForTheKernel() {
    let root = SHA256.hash("root")
    #expect(
      Verity.target(bytes: 8 << 20, data: "/dev/loop0", tree: "/dev/loop1", root: root)
        == DeviceMapper.Target(
          length: 16384, type: "verity", parameters: "1 /dev/loop0 /dev/loop1 4096 4096 2048 0 sha256 \(root) -"))
  }

  @Test func rootsAsWords() {
    let root = SHA256.hash("root")
    #expect(Verity.root(Verity.text(root)) == root)
    for wrong in ["", "verity:", "\(root)", "sha256:\(root)", "verity:\(root)0", "verity:00"] {
      #expect(Verity.root(wrong) == nil)
    }
  }
}
