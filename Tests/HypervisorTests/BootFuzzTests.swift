import Platform
import TestMachine
import Testing

@testable import Hypervisor

@Suite("Boot protocols against damaged files")
struct BootFuzzTests {
  @Test("mutated and truncated images throw or load, never trap, and leave the tables below 1 MiB alone")
  func mutations() throws {
    let memory = try GuestRAM(count: 4 << 20)
    let canary: UInt64 = 0xC0DE_C0DE_C0DE_C0DE
    for address in stride(from: Int(AddressMap.conventionalEnd), to: 0x10_0000, by: 8) {
      memory.mapping.store(canary, at: address)
    }
    var numbers = SeededNumbers(20_261)
    let relocatable = SampleImages.multiboot2([
      SampleImages.tag(1, [1, 6]), SampleImages.tag(5, [640, 480, 32]), SampleImages.tag(10, [0, .max, 4096, 2]),
      SampleImages.tag(3, [0x10_0100]), SampleImages.tag(4, [2]),
    ])
    let address = SampleImages.multiboot2([
      SampleImages.tag(2, [0x10_0000, .max, 0, 0x10_1000]), SampleImages.tag(3, [0x10_0010]),
    ])
    let samples: [(method: BootMethod, image: [UInt8])] = [
      (
        .multiboot,
        SampleImages.multibootELF(SampleImages.multiboot1(flags: 7, [0, 0, 0, 0, 0, 0, 9, 9, 32]), symbols: true)
      ),
      (.multiboot, SampleImages.multibootFlat()),
      (.multiboot, SampleImages.multibootELF(relocatable, symbols: true)),
      (.multiboot, address),
      (.freebsd, SampleImages.freeBSD()), (.plan9, SampleImages.plan9()), (.plan9, SampleImages.plan9ELF()),
      (.plan9, SampleImages.plan9Front()), (.linux, SampleImages.vmlinux(at: 0x20_0000)),
      (.pvh, SampleImages.pvh([0xF4])),
    ]
    var accepted = [Int](repeating: 0, count: samples.count)
    for round in 0..<4_000 {
      let index = round % samples.count
      var image = samples[index].image
      for _ in 0..<Int.random(in: 1...2, using: &numbers) {
        let place = Int.random(in: 0..<min(image.count, 640), using: &numbers)
        let value: UInt8 =
          [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &numbers)].randomElement(using: &numbers) ?? 0
        let width = [1, 1, 4, 8].randomElement(using: &numbers) ?? 1
        for byte in place..<min(place + width, image.count) { image[byte] = value }
      }
      // Now and then a number that means the tables, or the borders of RAM, to whatever field takes it for an address.
      if round % 4 == 0 {
        let word = Int.random(in: 0..<min(image.count, 256) / 4, using: &numbers) * 4
        let address: UInt32 =
          [0xF_0000, 0xA_0000, 0x9_FC00, 0x1000, 0x3F_FFFF, 0x40_0000].randomElement(using: &numbers) ?? 0
        image.put(address, at: word)
      }
      repair(&image)
      if round % 7 == 0 { image = Array(image.prefix(Int.random(in: 0...image.count, using: &numbers))) }
      let source = BytesImage(image)
      do throws(HypervisorError) {
        let modules = samples[index].method == .plan9 ? [] : [BootModule(source, commandLine: "m")]
        let loaded = try BootLoader.load(
          method: round % 3 == 0 ? .auto : samples[index].method, kernel: source, modules: modules,
          commandLine: "a=b", rsdp: 0xF_0000, framebuffer: nil, into: memory)
        #expect(loaded.method != .auto)
        accepted[index] += 1
      } catch {
        #expect(error.code == .image || error.code == .configuration)
      }
    }
    for (index, count) in accepted.enumerated() {
      #expect(count > 20, "sample \(index) gets through \(count) times: the mutations are too harsh")
    }
    for address in stride(from: Int(AddressMap.conventionalEnd), to: 0x10_0000, by: 8) {
      #expect(memory.word(UInt64.self, address) == canary)
      if memory.word(UInt64.self, address) != canary { break }
    }
  }

  /// Makes Multiboot's checksums right again, so that what they guard is looked at.
  private func repair(_ image: inout [UInt8]) {
    var at = 0
    while at + 16 <= min(image.count, 512) {
      if image.little(UInt32.self, at: at) == 0x1BAD_B002 {
        image.put(0 &- 0x1BAD_B002 &- image.little(UInt32.self, at: at + 4), at: at + 8)
        return
      }
      if image.little(UInt32.self, at: at) == 0xE852_50D6 {
        let sum: UInt32 = 0xE852_50D6 &+ image.little(UInt32.self, at: at + 4) &+ image.little(UInt32.self, at: at + 8)
        image.put(0 &- sum, at: at + 12)
        return
      }
      at += 4
    }
  }

  @Test("random command lines: words, environments and plan9.ini throw or fit")
  func commandLines() {
    var numbers = SeededNumbers(20_262)
    let alphabet = Array("ab=  '\"\n\t-sv[#*\0é")
    var taken = 0
    for _ in 0..<5_000 {
      let count = Int.random(in: 0..<40, using: &numbers)
      let line = String((0..<count).map { _ in alphabet.randomElement(using: &numbers) ?? "x" })
      if let environment = try? FreeBSDEnvironment(line, rsdp: 1, hasMemoryDisk: true) {
        #expect(environment.bytes.suffix(2) == [0, 0])
        taken += 1
      }
      if let text = try? Plan9Configuration(line, for: .aout32, memory: 1 << 30) {
        #expect(text.bytes.count < 3520 && text.lines.count <= 64 && !text.bytes.contains(0))
        taken += 1
      }
    }
    #expect(taken > 500)
  }
}
