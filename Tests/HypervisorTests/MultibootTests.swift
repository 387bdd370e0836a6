import Platform
import Testing

@testable import Hypervisor

@Suite("Multiboot")
struct MultibootTests {
  private let information = MultibootImage.information

  private func load(
    _ image: [UInt8], modules: [BootModule<BytesImage>] = [], line: String = "", rsdp: UInt64 = 0,
    framebuffer: Framebuffer? = nil, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    try MultibootBoot.load(
      BytesImage(image), modules: modules, commandLine: line, rsdp: rsdp, framebuffer: framebuffer, into: memory)
  }

  @Test("1: machine state, strings, memory, modules and sections are where 3.2 and 3.3 say")
  func first() throws {
    let memory = try GuestRAM(count: 16 << 20)
    let image = SampleImages.multibootELF(SampleImages.multiboot1(flags: 3), [0xF4, 0x90], symbols: true)
    let state = try load(
      image, modules: [.init(BytesImage([1, 2, 3]), commandLine: "one"), .init(BytesImage([4]))], line: "a=b c",
      into: memory)
    #expect(state.general.rax == 0x2BAD_B002 && state.general.rbx == information && state.general.rip == 0x10_0100)
    #expect(state.system.cr0 & 0x8000_0001 == 1 && state.system.code.big && state.system.code.limit == .max)
    #expect(state.general.rflags & 0x200 == 0)
    #expect(memory.word(UInt8.self, 0x10_0100) == 0xF4)
    let flags = memory.word(UInt32.self, information)
    #expect(flags == 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 9)
    #expect(memory.word(UInt32.self, information + 4) == 639)
    #expect(memory.word(UInt32.self, information + 8) == 15 << 10)
    #expect(memory.text(memory.word(UInt32.self, information + 16)) == "a=b c")
    #expect(memory.text(memory.word(UInt32.self, information + 64)) == "Roost")

    #expect(memory.word(UInt32.self, information + 20) == 2)
    let modules = memory.word(UInt32.self, information + 24)
    let start = memory.word(UInt32.self, modules)
    #expect(start % 4096 == 0 && start >= 0x10_1000)
    #expect(memory.word(UInt32.self, modules + 4) == start + 3)
    #expect(memory.text(memory.word(UInt32.self, modules + 8)) == "one")
    #expect(memory.word(UInt8.self, start + 2) == 3)
    #expect(memory.word(UInt32.self, modules + 16) == start + 4096)
    #expect(memory.word(UInt8.self, start + 4096) == 4)

    // Entry sizes do not count themselves.
    let (length, map) = (memory.word(UInt32.self, information + 44), memory.word(UInt32.self, information + 48))
    #expect(length == 4 * 24)
    #expect(memory.word(UInt32.self, map) == 20)
    #expect(memory.word(UInt64.self, map + 72 + 4) == 0x10_0000)
    #expect(memory.word(UInt64.self, map + 72 + 12) == 15 << 20)
    #expect(memory.word(UInt32.self, map + 72 + 20) == 1)

    #expect(memory.word(UInt32.self, information + 28) == 3 && memory.word(UInt32.self, information + 32) == 40)
    #expect(memory.word(UInt32.self, information + 40) == 2)
    let sections = memory.word(UInt32.self, information + 36)
    let symbols = memory.word(UInt32.self, sections + 40 + 12)
    let strings = memory.word(UInt32.self, sections + 80 + 12)
    #expect(symbols >= 0x10_0100 && memory.word(UInt8.self, symbols + 31) == 0x51)
    #expect(memory.word(UInt8.self, strings + 12) == 0x52)
  }

  @Test("1: a file with addresses is loaded from the byte that its header implies, and its BSS is zero")
  func addresses() throws {
    let memory = try GuestRAM(count: 4 << 20)
    memory.mapping.store(0xFFFF_FFFF as UInt32, at: 0x10_0062)
    let state = try load(SampleImages.multibootFlat([0xF4, 0x91]), into: memory)
    #expect(state.general.rip == 0x10_0060)
    #expect(memory.word(UInt8.self, 0x10_0000) == 0xAA)
    #expect(memory.word(UInt32.self, 0x10_0060) == 0x91F4)
    #expect(memory.word(UInt32.self, information) & 1 << 5 == 0)
  }

  @Test("1: the mode that the kernel asks for, and the one that it is told of")
  func framebuffer() throws {
    let memory = try GuestRAM(count: 4 << 20)
    let header = SampleImages.multiboot1(flags: 7, [0, 0, 0, 0, 0, 0, 1024, 768, 32])
    let image = SampleImages.multibootELF(header)
    #expect(
      try BootLoader.framebufferRequest(of: BytesImage(image), method: .auto)
        == FramebufferRequest(width: 1024, height: 768, depth: 32))
    let mode = Framebuffer(address: 0xE000_0000, pitch: 4096, width: 1024, height: 768, depth: 32)
    _ = try load(image, framebuffer: mode, into: memory)
    #expect(memory.word(UInt32.self, information) & 1 << 12 != 0)
    #expect(memory.word(UInt64.self, information + 88) == 0xE000_0000)
    #expect(memory.word(UInt32.self, information + 96) == 4096)
    #expect(memory.word(UInt32.self, information + 100) == 1024 && memory.word(UInt32.self, information + 104) == 768)
    #expect(memory.word(UInt16.self, information + 108) == 0x0120)
    #expect(
      memory.word(UInt32.self, information + 110) == 0x0808_0810
        && memory.word(UInt16.self, information + 114) == 0x0800)
    _ = try load(image, into: memory)
    #expect(memory.word(UInt32.self, information) & 1 << 12 == 0)
    let none = SampleImages.multibootELF(SampleImages.multiboot1(flags: 3, [0, 0, 0, 0, 0, 0, 1024, 768, 32]))
    #expect(try BootLoader.framebufferRequest(of: BytesImage(none), method: .auto) == nil)
    let text = SampleImages.multibootELF(SampleImages.multiboot1(flags: 7, [0, 0, 0, 0, 0, 1, 80, 25, 0]))
    #expect(
      try BootLoader.framebufferRequest(of: BytesImage(text), method: .multiboot)
        == FramebufferRequest(isText: true, width: 80, height: 25))
  }

  /// The tags of version 2's information: type, address, size.
  private func tags(_ memory: GuestRAM) -> [(type: UInt32, at: UInt64, size: UInt32)] {
    let end = information + UInt64(memory.word(UInt32.self, information))
    var tags: [(type: UInt32, at: UInt64, size: UInt32)] = []
    var at = information + 8
    while at < end {
      let size = memory.word(UInt32.self, at + 4)
      tags.append((memory.word(at), at, size))
      if size < 8 { break }
      at = (at + UInt64(size) + 7) & ~7
    }
    return tags
  }

  @Test("2: machine state and every tag")
  func second() throws {
    let memory = try GuestRAM(count: 16 << 20)
    let root = ACPITables(
      ACPIDescription(
        cpus: 1, powerManagement: 0x600, powerOffType: 5, memoryWindow: AddressMap.pciWindow,
        pciInterrupts: [10, 10, 11, 11], wire: { Int($0 &+ $1) }))
    try root.write(to: memory)
    let header = SampleImages.multiboot2([
      SampleImages.tag(1, [1, 2, 3, 4, 6, 8, 9, 14, 15]), SampleImages.tag(4, [1]),
      SampleImages.tag(5, [800, 600, 16]), SampleImages.tag(6, []), SampleImages.tag(77, [1], isOptional: true),
    ])
    let image = SampleImages.multibootELF(header, symbols: true)
    #expect(
      try BootLoader.framebufferRequest(of: BytesImage(image), method: .auto)
        == FramebufferRequest(width: 800, height: 600, depth: 16, isRequired: true))
    #expect(refusal { () throws(HypervisorError) in _ = try load(image, into: memory) }.contains("display"))
    let mode = Framebuffer(address: 0xE000_0000, pitch: 1600, width: 800, height: 600, depth: 16)
    let state = try load(
      image, modules: [.init(BytesImage([9, 8]), commandLine: "mod")], line: "x y", rsdp: root.rootPointer,
      framebuffer: mode, into: memory)
    #expect(state.general.rax == 0x36D7_6289 && state.general.rbx == information && state.general.rip == 0x10_0100)
    let tags = tags(memory)
    #expect(tags.map(\.type) == [1, 2, 3, 4, 6, 8, 9, 14, 15, 0])
    #expect(memory.word(UInt32.self, information) % 8 == 0 && memory.word(UInt32.self, information + 4) == 0)
    #expect(memory.text(tags[0].at + 8) == "x y" && tags[0].size == 12)
    #expect(memory.text(tags[1].at + 8) == "Roost")
    let module = memory.word(UInt32.self, tags[2].at + 8)
    #expect(module % 4096 == 0 && memory.word(UInt32.self, tags[2].at + 12) == module + 2)
    #expect(memory.word(UInt16.self, module) == 0x0809 && memory.text(tags[2].at + 16) == "mod")
    #expect(memory.word(UInt32.self, tags[3].at + 8) == 639 && memory.word(UInt32.self, tags[3].at + 12) == 15 << 10)
    #expect(memory.word(UInt32.self, tags[4].at + 8) == 24 && tags[4].size == 16 + 4 * 24)
    #expect(memory.word(UInt64.self, tags[4].at + 16 + 72) == 0x10_0000)
    #expect(
      memory.word(UInt64.self, tags[5].at + 8) == 0xE000_0000 && memory.word(UInt16.self, tags[5].at + 28) == 0x0110)
    #expect(memory.word(UInt32.self, tags[5].at + 32) == 0x0605_050B && tags[5].size == 38)
    #expect(memory.word(UInt32.self, tags[6].at + 8) == 3 && memory.word(UInt32.self, tags[6].at + 12) == 40)
    #expect(tags[7].size == 28 && tags[8].size == 44)
    for (tag, count) in [(tags[7], 20), (tags[8], 36)] {
      #expect(memory.text(tag.at + 8).hasPrefix("RSD PTR "))
      let sum = (0..<count).reduce(0 as UInt8) { $0 &+ memory.word(UInt8.self, Int(tag.at) + 8 + $1) }
      #expect(sum == 0)
    }
    #expect(memory.word(UInt8.self, tags[7].at + 8 + 15) == 0 && memory.word(UInt8.self, tags[8].at + 8 + 15) == 2)
  }

  @Test("2: entry and address tags, and a kernel that may lie anywhere")
  func placement() throws {
    let memory = try GuestRAM(count: 16 << 20)
    let entry = SampleImages.multibootELF(SampleImages.multiboot2([SampleImages.tag(3, [0x10_0104])]))
    #expect(try load(entry, into: memory).general.rip == 0x10_0104)
    func relocated(_ words: [UInt32]) throws -> (entry: UInt64, base: UInt32) {
      let image = SampleImages.multibootELF(SampleImages.multiboot2([SampleImages.tag(10, words)]), [0xF4, 0x55])
      let state = try load(image, into: memory)
      let tag = try #require(tags(memory).first { $0.type == 21 })
      #expect(memory.word(UInt8.self, state.general.rip + 1) == 0x55)
      return (state.general.rip, memory.word(tag.at + 8))
    }
    #expect(try relocated([0, .max, 4096, 0]) == (0x10_0100, 0x10_0000))
    #expect(try relocated([0x20_0001, .max, 0x10_0000, 0]) == (0x30_0100, 0x30_0000))
    #expect(try relocated([0x20_0000, .max, 4096, 1]) == (0x20_0100, 0x20_0000))
    #expect(try relocated([0, 0x7F_FFFF, 0x10_0000, 2]) == (0x70_0100, 0x70_0000))
    // A module finds room below a kernel at the top.
    let top = SampleImages.multibootELF(
      SampleImages.multiboot2([SampleImages.tag(10, [0, .max, 4096, 2])]), symbols: true)
    let state = try load(top, modules: [.init(BytesImage([7]))], into: memory)
    #expect(state.general.rip == 0xFF_F100)
    let module = try #require(tags(memory).first { $0.type == 3 })
    #expect(memory.word(UInt32.self, module.at + 8) < 0xFF_F000)
    for words in [[0, .max, 3, 0], [0x7F_FFF0, 0x7F_FFFF, 1, 0], [0x4000_0000, .max, 1, 0]] as [[UInt32]] {
      let image = SampleImages.multibootELF(SampleImages.multiboot2([SampleImages.tag(10, words)]))
      #expect(refusal { () throws(HypervisorError) in _ = try load(image, into: memory) }.contains("wants to lie"))
    }
    var flat = SampleImages.multiboot2([
      SampleImages.tag(2, [0x10_0000, .max, 0, 0x10_1000]), SampleImages.tag(3, [0x10_0080]),
    ])
    while flat.count < 0x90 { flat.append(0x90) }
    #expect(try load(flat, into: memory).general.rip == 0x10_0080)
    #expect(memory.word(UInt32.self, 0x10_0000) == 0xE852_50D6)
  }

  @Test("damaged files and impossible wishes are refused with a reason")
  func refusals() throws {
    let memory = try GuestRAM(count: 4 << 20)
    func message(_ image: [UInt8]) -> String {
      refusal { () throws(HypervisorError) in _ = try load(image, into: memory) }
    }
    let good = SampleImages.multibootELF(SampleImages.multiboot1(flags: 3))
    #expect(message(good) == "")
    #expect(message([]).contains("no Multiboot header"))
    #expect(message(Array(good.prefix(100))).contains("no Multiboot header"))
    #expect(
      message([UInt8](repeating: 0, count: 8192) + SampleImages.multiboot1(flags: 3)).contains("no Multiboot header"))
    #expect(message(SampleImages.multibootELF(SampleImages.multiboot1(flags: 8))).contains("requires features"))
    #expect(message(SampleImages.multibootFlat(entry: 0x20_0000)).contains("outside the kernel"))
    #expect(message(Array(SampleImages.multibootFlat().prefix(160))).contains("cut short"))
    func flat(_ words: [UInt32]) -> String {
      message([UInt8](repeating: 0, count: 32) + SampleImages.multiboot1(flags: 0x1_0000, words) + [0xF4, 0xF4])
    }
    #expect(flat([0x10_0020, 0x10_0000, 0, 0, 0x10_0020]) == "")
    #expect(flat([0x10_0040, 0x10_0000, 0, 0, 0x10_0040]).contains("make no sense"))
    #expect(flat([0x10_0000, 0x10_0020, 0, 0, 0x10_0020]).contains("make no sense"))
    #expect(flat([0x10_0020, 0x10_0000, 0x10_0000, 0, 0x10_0020]).contains("make no sense"))
    #expect(flat([0x10_0020, 0x10_0000, 0x10_0030, 0x10_0020, 0x10_0020]).contains("make no sense"))
    #expect(flat([0x10_0020, 0x10_0000, 0, 0xFFFF_FFFF, 0x10_0020]).contains("more memory"))
    #expect(flat([0x1020, 0x1000, 0, 0, 0x1020]).contains("below 1 MiB"))
    #expect(flat([0xFFFF_FFF0, 0xFFFF_FFD0, 0, 0, 0xFFFF_FFF0]).contains("more memory"))

    func second(_ tags: [[UInt8]], architecture: UInt32 = 0) -> String {
      message(SampleImages.multibootELF(SampleImages.multiboot2(tags, architecture: architecture)))
    }
    #expect(second([]) == "")
    #expect(second([], architecture: 4).contains("architecture 4"))
    #expect(second([SampleImages.tag(1, [99])]).contains("Multiboot tag 99"))
    #expect(second([SampleImages.tag(1, [99], isOptional: true)]) == "")
    #expect(second([SampleImages.tag(42, [])]).contains("tag 42"))
    #expect(second([SampleImages.tag(3, [])]).contains("too short"))
    #expect(second([.little(3 as UInt16) + .little(0 as UInt16) + .little(7 as UInt32)]).contains("impossible size"))
    #expect(second([.little(3 as UInt16) + .little(0 as UInt16) + .little(UInt32.max)]).contains("impossible size"))
    #expect(second([SampleImages.tag(3, [0x30_0000])]).contains("outside the kernel"))

    #expect(
      refusal { () throws(HypervisorError) in
        _ = try load(good, modules: [.init(BytesImage([UInt8](repeating: 0, count: 3 << 20)))], into: memory)
      }.contains("give the domain more memory"))
    #expect(
      refusal { () throws(HypervisorError) in
        _ = try load(good, line: String(repeating: "x", count: 400_000), into: memory)
      }.contains("there is room for"))
    #expect(refusal { () throws(HypervisorError) in _ = try load(good, line: "a\0b", into: memory) }.contains("NUL"))
  }
}
