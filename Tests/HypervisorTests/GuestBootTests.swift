import Platform
import Testing

@testable import Hypervisor

@Suite("Boot protocols of FreeBSD, Plan 9, vmlinux")
struct GuestBootTests {
  private let base = FreeBSDBoot.kernelBase

  private func freeBSD(
    _ image: [UInt8], disks: [[UInt8]] = [], line: String = "", rsdp: UInt64 = 0xF_0000,
    framebuffer: Framebuffer? = nil, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    try FreeBSDBoot.load(
      BytesImage(image), disks: disks.map { BootModule(BytesImage($0)) }, commandLine: line, rsdp: rsdp,
      framebuffer: framebuffer, into: memory)
  }

  /// The records of FreeBSD's metadata.
  private func records(_ state: BootState, _ memory: GuestRAM) -> [(type: UInt32, at: UInt64, count: UInt32)] {
    var at = UInt64(memory.word(UInt32.self, state.general.rsp + 4))
    var records: [(type: UInt32, at: UInt64, count: UInt32)] = []
    while records.count < 100 {
      let record = (type: memory.word(UInt32.self, at), at: at + 8, count: memory.word(UInt32.self, at + 4))
      records.append(record)
      if record.type == 0 { break }
      at = (at + 8 + UInt64(record.count) + 7) & ~7
    }
    return records
  }

  /// FreeBSD's environment.
  private func environment(_ at: UInt64, _ memory: GuestRAM) -> [String] {
    var (at, lines) = (at, [] as [String])
    while true {
      let line = memory.text(at)
      if line.isEmpty { return lines }
      lines.append(line)
      at += UInt64(line.utf8.count) + 1
    }
  }

  @Test("FreeBSD: segments, long mode, metadata, symbols, environment, memory disk")
  func freeBSDContract() throws {
    let memory = try GuestRAM(count: 16 << 20)
    let disk = [UInt8](repeating: 0xD1, count: 5000)
    let mode = Framebuffer(address: 0xE000_0000, pitch: 4096, width: 800, height: 600, depth: 32)
    let state = try freeBSD(
      SampleImages.freeBSD([0xF4, 0x90]), disks: [disk], line: "-s name='a b' hint.uart.0.irq=5", framebuffer: mode,
      into: memory)
    #expect(state.general.rip == base + 0x20_0000 && state.general.rsp == 0x1000)
    #expect(state.system.cr3 == 0x2000 && state.system.efer == 0x500 && state.system.code.long)
    #expect(memory.word(UInt64.self, AddressMap.gdt + 8) == 0x0020_9A00_0000_0000)
    #expect(memory.word(UInt64.self, AddressMap.gdt + 16) == 0x0000_9200_0000_0000)
    // Every GiB is the first.
    for entry in [0, 255, 511] as [UInt64] {
      #expect(memory.word(UInt64.self, 0x2000 + entry * 8) == 0x3007)
      #expect(memory.word(UInt64.self, 0x3000 + entry * 8) == 0x4007)
      #expect(memory.word(UInt64.self, 0x4000 + entry * 8) == entry << 21 | 0x87)
    }
    #expect(memory.word(UInt16.self, 0x20_0000) == 0x90F4)
    #expect(memory.word(UInt32.self, 0x20_1008) == 0x0403_0201)

    let records = records(state, memory)
    func record(_ type: UInt32) throws -> (type: UInt32, at: UInt64, count: UInt32) {
      try #require(records.first { $0.type == type })
    }
    func value(_ type: UInt32) throws -> UInt64 { memory.word(try record(type).at) }
    #expect(
      records.map(\.type) == [
        1, 2, 3, 4, 0x8002, 0x8003, 0x8004, 0x8007, 0x9007, 0x9001, 0x8006, 0x8008, 0x9006, 1, 2, 3, 4, 0,
      ])
    #expect(try memory.text(record(1).at) == "/boot/kernel/kernel" && memory.text(record(2).at) == "elf kernel")
    #expect(try value(3) == 0x20_0000 && value(4) == value(0x8004) - 0x20_0000)
    #expect(try memory.word(UInt32.self, record(0x8002).at) == 0x464C_457F && records[4].count == 64)
    let symbols = try value(0x8003)
    #expect(memory.word(UInt64.self, symbols) == 48 && memory.word(UInt8.self, symbols + 8 + 47) == 0x51)
    #expect(memory.word(UInt64.self, symbols + 56) == 13 && memory.word(UInt8.self, symbols + 64 + 12) == 0x52)
    #expect(try value(0x8004) == symbols + 80)
    #expect(try memory.word(UInt32.self, record(0x8007).at) == 0x1002)
    #expect(try record(0x9001).count == 4 * 20)
    #expect(try memory.word(UInt64.self, record(0x9001).at + 60) == 0x10_0000)
    let screen = try record(0x9007)
    #expect(screen.count == 48 && memory.word(UInt32.self, screen.at + 24) == 1024)
    #expect(memory.word(UInt32.self, screen.at + 28) == 0xFF_0000 && memory.word(UInt32.self, screen.at + 44) == 32)
    #expect(memory.text(records[14].at) == "md_image")
    let image: UInt64 = memory.word(records[15].at)
    #expect(image % 4096 == 0 && memory.word(UInt8.self, image + 4999) == 0xD1)
    #expect(memory.word(UInt64.self, records[16].at) == 5000)
    let end = try value(0x8008)
    #expect(end == UInt64(memory.word(UInt32.self, state.general.rsp + 8)) && end % 4096 == 0)
    #expect(end > image + 5000 && end >= records.last.map { $0.at } ?? .max)
    #expect(try value(0x9006) == UInt64(memory.word(UInt32.self, state.general.rsp + 4)))
    let lines = environment(try value(0x8006), memory)
    for line in [
      "name=a b", "hint.uart.0.irq=5", "console=comconsole", "hint.uart.0.port=0x3F8",
      "vfs.root.mountfrom=ufs:/dev/md0", "acpi.rsdp=0xf0000",
    ] {
      #expect(lines.contains(line), "\(line) is not in \(lines)")
    }
    #expect(!lines.contains("hint.uart.0.irq=4"))
  }

  @Test("FreeBSD: what words mean")
  func freeBSDWords() throws {
    func words(_ line: String) throws -> FreeBSDEnvironment {
      try FreeBSDEnvironment(line, rsdp: 0, hasMemoryDisk: false)
    }
    #expect(try words("").howTo == 0x1000)
    #expect(try words("").value(of: "vfs.root.mountfrom") == "ufs:/dev/vtbd0")
    #expect(try words("").value(of: "acpi.rsdp") == nil)
    #expect(try words("-sv").howTo == 0x1802)
    #expect(try words("-v boot_single=YES boot_mute=NO").howTo == 0x1802)
    #expect(try words("console=vidconsole").howTo == 0)
    #expect(try words("console=vidconsole,comconsole").howTo == 0x2000_1000)
    #expect(try words("a=1 a=2").value(of: "a") == "2")
    #expect(try words("a=\"x 'y'\"").value(of: "a") == "x 'y'")
    for line in ["single", "-", "=x", "-q", "a='b"] { #expect(throws: HypervisorError.self) { try words(line) } }
    #expect(throws: HypervisorError.self) { try words("a=" + String(repeating: "x", count: 70_000)) }
    #expect(throws: HypervisorError.self) { try words("a=\0") }
  }

  @Test("FreeBSD: what is no kernel of it is refused with a reason")
  func freeBSDRefusals() throws {
    let memory = try GuestRAM(count: 4 << 20)
    func message(_ change: (inout [UInt8]) -> Void, disk: Int = 0) -> String {
      var image = SampleImages.freeBSD()
      change(&image)
      return refusal { () throws(HypervisorError) in
        _ = try freeBSD(image, disks: [[UInt8](repeating: 0, count: disk)], into: memory)
      }
    }
    let segment = 64
    #expect(message { _ in } == "")
    #expect(message { $0[0] = 0 }.contains("not an ELF"))
    #expect(message { $0 = SampleImages.pvh([0xF4]) }.contains("not a 64-bit FreeBSD kernel"))
    #expect(message { $0.put(0x40_0000 as UInt64, at: segment + 16) }.contains("not a kernel"))
    #expect(message { $0.put(base + 0x50_0000, at: segment + 16) }.contains("more memory"))
    #expect(message { $0.put(UInt64.max, at: segment + 16) }.contains("more memory"))
    #expect(message { $0.put(base + 0x1000, at: segment + 16) }.contains("below 1 MiB"))
    #expect(message { $0.put(base + 0x20_1008, at: segment + 16) }.contains("overlaps"))
    #expect(message { $0.put(UInt64.max - 3, at: segment + 40) }.contains("more memory"))
    #expect(message { $0.put(UInt64.max, at: segment + 8) }.contains("makes no sense"))
    #expect(message { $0.put(0 as UInt64, at: segment + 40) }.contains("outside the kernel"))
    #expect(message { $0.put(base + 0x30_0000, at: 24) }.contains("outside the kernel"))
    #expect(message { $0.put(9999 as UInt16, at: 60) }.contains("section headers make no sense"))
    #expect(message { $0.put(100_000 as UInt64, at: $0.count - 64 + 24) }.contains("past its end"))
    #expect(message({ _ in }, disk: 2 << 20).contains("more memory"))
  }

  @Test("Plan 9, 32 bits: text, data, memory size, boot line and plan9.ini")
  func plan9() throws {
    let memory = try GuestRAM(count: 16 << 20)
    let state = try Plan9Boot.load(
      BytesImage(SampleImages.plan9([0xF4, 0x90], data: [7, 8, 9])), modules: noModules,
      commandLine: "user=bob 'bootargs=tcp -g gw' *NOMP=0", rsdp: 0, framebuffer: nil, into: memory)
    #expect(state.general.rip == 0x10_0020 && state.system.cr0 & 0x8000_0001 == 1 && state.system.code.big)
    #expect(memory.word(UInt16.self, 0x413) == 639)
    #expect(memory.word(UInt32.self, 0x10_0000) == 0xEB01_0000 && memory.word(UInt16.self, 0x10_0020) == 0x90F4)
    #expect(memory.word(UInt32.self, 0x10_1000) == 0x0009_0807)
    #expect(memory.text(0x1200) == "")
    let lines = memory.text(0x1240).split(separator: "\n")
    for line in [
      "user=bob", "bootargs=tcp -g gw", "*NOMP=0", "console=0", "*maxmem=0x1000000", "*norealmode=1", "sysname=gnot",
      "factotumopts=-n", "nobootprompt=local!#S/sdF0/data", "nousbboot=1", "*nowatchdog=1",
    ] {
      #expect(lines.contains(Substring(line)), "\(line) is not in \(lines)")
    }
    #expect(!lines.contains("user=glenda") && !lines.contains("*nomp=1"))
  }

  @Test("Plan 9, 64 bits and 9front: entered as Multiboot says, each with its text")
  func plan9Multiboot() throws {
    let memory = try GuestRAM(count: 16 << 20)
    func load(_ image: [UInt8], _ text: String = "") throws -> LoadedKernel {
      try BootLoader.load(
        method: .auto, kernel: BytesImage(image), modules: noModules, commandLine: text, rsdp: 0, framebuffer: nil,
        into: memory)
    }
    let legacy = try load(SampleImages.plan9ELF(), "# a comment\nfoo=a b\n\nioexclude=0x300-0x301\n")
    #expect(legacy.method == .plan9 && legacy.state.general.rip == 0x11_0100)
    #expect(legacy.state.general.rax == 0x2BAD_B002)
    let text = memory.text(0x1240)
    #expect(text.hasPrefix("foo=a b\nioexclude=0x300-0x301\nconsole=0\n"), "\(text)")
    #expect(!text.contains("*") && !text.contains("0x3f8"))

    var words: [UInt32] = [0x8A97, 3, 2, 100, 0, 0x0011_0000, 0, 0, 0xFFFF_FFFF, 0xF011_0000]
    let wide = try load(words.flatMap { [UInt8].little($0.byteSwapped) } + [0xF4, 0x90, 0x91, 5, 6])
    #expect(wide.method == .plan9 && wide.state.general.rip == 0x11_0000 && wide.state.general.rax == 0x2BAD_B002)
    #expect(
      memory.word(UInt32.self, 0x11_0000) & 0xFF_FFFF == 0x91_90F4 && memory.word(UInt16.self, 0x11_1000) == 0x0605)
    #expect(memory.word(UInt32.self, MultibootImage.information) & 1 << 6 != 0)

    let front = try load(SampleImages.plan9Front([0xF4]))
    #expect(front.method == .plan9 && front.state.general.rip == 0x10_0060)
    #expect(front.framebufferRequest == FramebufferRequest())
    let modules = memory.word(UInt32.self, MultibootImage.information + 24)
    let start = memory.word(UInt32.self, modules)
    let count = memory.word(UInt32.self, modules + 4) - start
    let ini = memory.text(start).prefix(Int(count))
    #expect(ini == "console=0\nuser=glenda\nnobootprompt=local!/dev/sdF0/fs\n")
    words[0] = 0
    #expect(throws: HypervisorError.self) { try load(words.flatMap { [UInt8].little($0.byteSwapped) }) }
  }

  @Test("Plan 9: what cannot be is refused with a reason")
  func plan9Refusals() throws {
    let memory = try GuestRAM(count: 16 << 20)
    func message(_ image: [UInt8] = SampleImages.plan9(), _ text: String = "", module: Int = 0) -> String {
      refusal { () throws(HypervisorError) in
        _ = try Plan9Boot.load(
          BytesImage(image), modules: [BootModule(BytesImage([UInt8](repeating: 0, count: module)))],
          commandLine: text, rsdp: 0, framebuffer: nil, into: memory)
      }
    }
    func header(_ word: Int, _ value: UInt32) -> [UInt8] {
      var image = SampleImages.plan9()
      image.put(value.byteSwapped, at: word * 4)
      return image
    }
    #expect(message() == "")
    #expect(message([]).contains("not a Plan 9 kernel"))
    #expect(message(SampleImages.bzImage()).contains("not a Plan 9 kernel"))
    #expect(message(header(1, 0xFFFF_FFFF)).contains("not a Plan 9 kernel"))
    #expect(message(header(3, 0xFFFF_FFFF)).contains("below 8 MiB"))
    #expect(message(header(5, 0xF010_0000)).contains("entered"))
    #expect(message(header(0, 0x8A97) + [UInt8](repeating: 0, count: 8)).contains("more memory") == false)
    #expect(message(module: 1).contains("as a disk"))
    #expect(message(SampleImages.plan9(), "[menu]\na=b").contains("menus"))
    #expect(message(SampleImages.plan9(), "plain").contains("name=value"))
    #expect(message(SampleImages.plan9(), "a='").contains("never closed"))
    #expect(message(SampleImages.plan9(), (0..<60).map { "n\($0)=1" }.joined(separator: "\n")).contains("limits"))
    #expect(message(SampleImages.plan9(), "a=" + String(repeating: "x", count: 3500)).contains("limits"))
    #expect(message(SampleImages.plan9(), "a=\0").contains("NUL"))
  }

  @Test("vmlinux: entered at its physical entry with a zero page of its own")
  func vmlinux() throws {
    let memory = try GuestRAM(count: 32 << 20)
    let image = BytesImage(SampleImages.vmlinux([0xF4]))
    #expect(try BootLoader.method(for: image) == .linux)
    func load(_ image: BytesImage) throws -> BootState {
      try LinuxBoot.load(image, initrd: BytesImage([1, 2, 3]), commandLine: "quiet", rsdp: 0xF_0000, into: memory)
    }
    let state = try load(image)
    let page = AddressMap.bootParameters
    #expect(state.general.rip == 0x100_0000 && state.general.rsi == page && state.system.efer == 0x500)
    #expect(memory.word(UInt16.self, page + 0x1FE) == 0xAA55 && memory.word(UInt32.self, page + 0x202) == 0x5372_6448)
    #expect(memory.word(UInt8.self, page + 0x210) == 0xFF && memory.word(UInt64.self, page + 0x70) == 0xF_0000)
    #expect(memory.text(memory.word(UInt32.self, page + 0x228)) == "quiet")
    let ramdisk = memory.word(UInt32.self, page + 0x218)
    #expect(ramdisk > 0x100_0000 && memory.word(UInt8.self, ramdisk + 2) == 3)
    #expect(memory.word(UInt8.self, page + 0x1E8) == 4)
    // An entry among the virtual addresses means the same place.
    var high = image.contents
    high.put(0xFFFF_FFFF_8100_0000 as UInt64, at: 24)
    #expect(try load(BytesImage(high)).general.rip == 0x100_0000)
    high.put(0x5000 as UInt64, at: 24)
    #expect(throws: HypervisorError.self) { try load(BytesImage(high)) }
    #expect(
      refusal { () throws(HypervisorError) in
        _ = try LinuxBoot.load(
          BytesImage(SampleImages.pvh([0xF4])), initrd: nil as BytesImage?, commandLine: "", rsdp: 0, into: memory)
      }.contains("64-bit"))
  }

  @Test("PVH: modules have command lines of their own, and lie behind the kernel")
  func modules() throws {
    let memory = try GuestRAM(count: 4 << 20)
    let modules = [
      BootModule(BytesImage([1]), commandLine: "first"), BootModule(BytesImage([2])),
      BootModule(BytesImage([3]), commandLine: "third"),
    ]
    _ = try PVHBoot.load(
      BytesImage(SampleImages.pvh([0xF4])), modules: modules, commandLine: "line", rsdp: 0, map: memory.map,
      into: memory)
    let info = AddressMap.startInfo
    #expect(memory.word(UInt32.self, info + 12) == 3)
    let list = memory.word(UInt64.self, info + 16)
    for index in 0..<3 as Range<UInt64> {
      let address = memory.word(UInt64.self, list + index * 32)
      #expect(address == 0x10_1000 + index * 0x1000 && memory.word(UInt8.self, address) == UInt8(index + 1))
      #expect(memory.word(UInt64.self, list + index * 32 + 8) == 1)
    }
    #expect(memory.text(memory.word(UInt64.self, list + 16)) == "first")
    #expect(memory.word(UInt64.self, list + 32 + 16) == 0)
    #expect(memory.text(memory.word(UInt64.self, list + 64 + 16)) == "third")
    #expect(memory.text(memory.word(UInt64.self, info + 24)) == "line")
    #expect(memory.word(UInt64.self, info + 40) == list + 96)
    #expect(throws: HypervisorError.self) {
      try PVHBoot.load(
        BytesImage(SampleImages.pvh([0xF4])), modules: Array(repeating: modules[0], count: 33), commandLine: "",
        rsdp: 0, map: memory.map, into: memory)
    }
  }

  @Test("the protocol is chosen by what the file is")
  func detection() throws {
    func method(_ image: [UInt8]) -> BootMethod? { try? BootLoader.method(for: BytesImage(image)) }
    #expect(method(SampleImages.bzImage()) == .linux && method(SampleImages.vmlinux()) == .linux)
    #expect(method(SampleImages.pvh([0xF4])) == .pvh)
    #expect(method(SampleImages.freeBSD()) == .freebsd)
    #expect(method(SampleImages.plan9()) == .plan9 && method(SampleImages.plan9ELF()) == .plan9)
    #expect(method(SampleImages.plan9Front()) == .plan9)
    #expect(method(SampleImages.multibootELF(SampleImages.multiboot1(flags: 3))) == .multiboot)
    #expect(method(SampleImages.multibootELF(SampleImages.multiboot2())) == .multiboot)
    #expect(method(SampleImages.multibootFlat()) == .multiboot)
    #expect(method([]) == nil && method(Array("#!/bin/sh\n".utf8)) == nil)
    // A program for FreeBSD is no kernel.
    var program = SampleImages.freeBSD()
    program.put(0x20_0000 as UInt64, at: 24)
    #expect(method(program) == nil)
    let memory = try GuestRAM(count: 4 << 20)
    for method in [.bios, .uefi] as [BootMethod] {
      #expect(throws: HypervisorError.self) {
        try BootLoader.load(
          method: method, kernel: BytesImage([]), modules: noModules, commandLine: "", rsdp: 0, framebuffer: nil,
          into: memory)
      }
    }
  }
}
