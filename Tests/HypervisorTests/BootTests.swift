import Platform
import TestMachine
import Testing

@testable import Hypervisor

@Suite("Boot protocols")
struct BootTests {
  private func ram(_ mebibytes: UInt64 = 16) throws -> GuestRAM { try GuestRAM(count: mebibytes << 20) }

  private func word<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, _ address: UInt64, _ memory: GuestRAM) -> T {
    memory.mapping.load(at: Int(address))
  }

  @Test("Linux: kernel, RAM disk, command line and zero page are where the protocol says")
  func linux() throws {
    let memory = try ram()
    let initrd = BytesImage([UInt8](repeating: 0xAB, count: 5000))
    let state = try LinuxBoot.load(
      BytesImage(SampleImages.bzImage()), initrd: initrd, commandLine: "console=ttyS0", rsdp: 0xF_0000, into: memory)
    #expect(state.general.rip == 0x10_0200)
    #expect(state.general.rsi == AddressMap.bootParameters)
    #expect(state.system.efer == 0x500 && state.system.cr0 & 0x8000_0001 == 0x8000_0001)
    let page = AddressMap.bootParameters
    #expect(word(UInt32.self, page + 0x202, memory) == 0x5372_6448)
    #expect(word(UInt64.self, page + 0x070, memory) == 0xF_0000)
    #expect(word(UInt8.self, page + 0x210, memory) == 0xFF)
    let disk = UInt64(word(UInt32.self, page + 0x218, memory))
    #expect(disk % 4096 == 0 && disk + 5000 <= 16 << 20 && disk > 0x30_0000)
    #expect(word(UInt32.self, page + 0x21C, memory) == 5000)
    #expect(word(UInt8.self, disk + 4999, memory) == 0xAB)
    #expect(word(UInt8.self, 0x10_0005, memory) == UInt8(truncatingIfNeeded: 1024 + 5))
    #expect(word(UInt8.self, AddressMap.commandLine + 13, memory) == 0)
    #expect(word(UInt8.self, AddressMap.commandLine, memory) == UInt8(ascii: "c"))
    let entries = Int(word(UInt8.self, page + 0x1E8, memory))
    #expect(entries == 4)
    #expect(word(UInt64.self, page + 0x2D0 + 60, memory) == 0x10_0000)
    #expect(word(UInt64.self, page + 0x2D8 + 60, memory) == 15 << 20)
    // The last of the 2 MiB pages maps the last 2 MiB below 4 GiB.
    let last = AddressMap.pageTables + 0x2000 + 3 * 0x1000 + 511 * 8
    #expect(word(UInt64.self, last, memory) == 0xFFE0_0083)
  }

  @Test("Linux: what is no kernel, or too much, is refused with a reason")
  func linuxRefusals() throws {
    let memory = try ram()
    func refusal(_ change: (inout [UInt8]) -> Void, initrd: Int = 0, line: String = "") -> String {
      var image = SampleImages.bzImage()
      change(&image)
      do throws(HypervisorError) {
        _ = try LinuxBoot.load(
          BytesImage(image), initrd: BytesImage([UInt8](repeating: 0, count: initrd)), commandLine: line, rsdp: 0,
          into: memory)
        return ""
      } catch {
        return error.description
      }
    }
    #expect(refusal { _ in } == "")
    #expect(refusal { $0 = Array("#!/bin/sh\n".utf8) }.contains("not a Linux kernel"))
    #expect(refusal { $0 = [] }.contains("not a Linux kernel"))
    #expect(refusal { $0[0x206] = 0x0B }.contains("too old"))
    #expect(refusal { $0[0x211] = 0 }.contains("zImage"))
    #expect(refusal { $0[0x236] = 0 }.contains("64-bit"))
    #expect(refusal { $0[0x1F1] = 64 }.contains("cut short"))
    #expect(refusal { $0[0x201] = 0x20 }.contains("impossible length"))
    #expect(refusal { $0.put(64 << 20 as UInt32, at: 0x260) }.contains("more memory"))
    #expect(refusal({ _ in }, initrd: 15 << 20).contains("more memory"))
    #expect(refusal({ _ in }, line: String(repeating: "x", count: 3000)).contains("command line"))
  }

  @Test("PVH: segments, start info, memory map and module")
  func pvh() throws {
    let memory = try ram()
    let state = try PVHBoot.load(
      BytesImage(SampleImages.pvh([0xF4, 0x90, 0x90])), modules: [BootModule(BytesImage([1, 2, 3]))],
      commandLine: "a=b",
      rsdp: 0xF_0000, map: memory.map, into: memory)
    #expect(state.general.rip == 0x10_0000 && state.general.rbx == AddressMap.startInfo)
    #expect(state.system.cr0 & 0x8000_0000 == 0 && state.system.code.big && !state.system.code.long)
    #expect(word(UInt8.self, 0x10_0000, memory) == 0xF4)
    let info = AddressMap.startInfo
    #expect(word(UInt32.self, info, memory) == 0x336E_C578)
    #expect(word(UInt32.self, info + 4, memory) == 1)
    #expect(word(UInt32.self, info + 12, memory) == 1)
    let modules = word(UInt64.self, info + 16, memory)
    #expect(word(UInt64.self, modules, memory) == 0x10_1000)
    #expect(word(UInt64.self, modules + 8, memory) == 3)
    #expect(word(UInt8.self, 0x10_1002, memory) == 3)
    #expect(word(UInt64.self, info + 24, memory) == AddressMap.commandLine)
    #expect(word(UInt64.self, info + 32, memory) == 0xF_0000)
    let map = word(UInt64.self, info + 40, memory)
    #expect(word(UInt32.self, info + 48, memory) == 4)
    #expect(word(UInt64.self, map + 72, memory) == 0x10_0000)
    #expect(word(UInt32.self, map + 72 + 16, memory) == 1)
  }

  @Test("PVH: damaged files are refused with a reason")
  func pvhRefusals() throws {
    let memory = try ram()
    func refusal(_ change: (inout [UInt8]) -> Void) -> String {
      var image = SampleImages.pvh([0xF4])
      change(&image)
      do throws(HypervisorError) {
        _ = try PVHBoot.load(
          BytesImage(image), modules: [] as [BootModule<BytesImage>], commandLine: "", rsdp: 0, map: memory.map,
          into: memory)
        return ""
      } catch {
        return error.description
      }
    }
    #expect(refusal { _ in } == "")
    #expect(refusal { $0[0] = 0 }.contains("not an ELF"))
    #expect(refusal { $0[5] = 2 }.contains("little-endian"))
    #expect(refusal { $0[18] = 40 }.contains("machine 40"))
    #expect(refusal { $0.put(0xFFFF as UInt16, at: 44) }.contains("make no sense"))
    #expect(refusal { $0.put(0x7000_0000 as UInt32, at: 52 + 4) }.contains("cut short"))
    #expect(refusal { $0.put(0x8000_0000 as UInt32, at: 52 + 12) }.contains("memory"))
    #expect(refusal { $0.put(0x1000 as UInt32, at: 52 + 12) }.contains("wants to lie"))
    #expect(refusal { $0.put(17 as UInt32, at: 0xC8) }.contains("no PVH entry"))
    #expect(refusal { $0.put(0x20_0000 as UInt32, at: 0xD0) }.contains("outside the kernel"))
    #expect(refusal { $0 = Array($0.prefix(60)) }.contains("cut short"))
  }

  @Test("mutated and truncated images throw, never trap")
  func fuzz() throws {
    let memory = try ram(4)
    var numbers = SeededNumbers(2026)
    let samples = [SampleImages.bzImage(kernelBytes: 256), SampleImages.pvh([0xF4, 0x90])]
    var accepted = 0
    for round in 0..<20_000 {
      var image = samples[round % 2]
      for _ in 0..<Int.random(in: 1...6, using: &numbers) {
        let header = round % 2 == 0 ? 0x1F0..<0x270 : 0..<0xE0
        let index = Int.random(in: header, using: &numbers)
        image[index] =
          [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &numbers)].randomElement(using: &numbers) ?? 0
      }
      if round % 5 == 0 { image = Array(image.prefix(Int.random(in: 0...image.count, using: &numbers))) }
      let source = BytesImage(image)
      do throws(HypervisorError) {
        _ =
          round % 2 == 0
          ? try LinuxBoot.load(source, initrd: source, commandLine: "x", rsdp: 0, into: memory)
          : try PVHBoot.load(
            source, modules: [BootModule(source)], commandLine: "x", rsdp: 0, map: memory.map, into: memory)
        accepted += 1
      } catch {
        #expect(error.code == .image || error.code == .configuration)
      }
    }
    #expect(accepted > 100, "the mutations are so harsh that nothing gets through")
  }
}
