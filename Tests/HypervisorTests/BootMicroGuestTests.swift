import Devices
import Platform
import Testing

@testable import Hypervisor

/// Kernels of a few instructions, each entered by its own boot protocol, on the machine's /dev/kvm.
@Suite("Micro-guests of every boot protocol", .enabled(if: Host.hasKVM, "there is no usable /dev/kvm"), .serialized)
struct BootMicroGuestTests {
  private func run(
    _ image: [UInt8], line: String = "", module: [UInt8]? = nil, memory: UInt64 = 4 << 20,
    method: Hypervisor.BootMethod = .auto
  ) throws -> (outcome: MachineOutcome, output: String) {
    let directory = "/tmp/roost-test-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    try Files.write(image, to: "\(directory)/kernel")
    var configuration = MachineConfiguration(
      name: "micro", memory: memory, bootMethod: method, kernel: "\(directory)/kernel", commandLine: line)
    if let module {
      try Files.write(module, to: "\(directory)/module")
      configuration.initrd = "\(directory)/module"
    }
    configuration.serial = .socket(path: "\(directory)/serial", log: "\(directory)/log")
    let outcome = try Machine(configuration).run()
    return (outcome, try Files.readText("\(directory)/log"))
  }

  /// mov $0x3F8, %dx; then lodsb and out until a NUL: prints what ESI (in long mode RSI) points to.
  private let printString: [UInt8] = [0x66, 0xBA, 0xF8, 0x03, 0xAC, 0x84, 0xC0, 0x74, 0x03, 0xEE, 0xEB, 0xF8]
  /// S5 by ACPI, and a halt.
  private let powerOff: [UInt8] = [0x66, 0xB8, 0x00, 0x34, 0x66, 0xBA, 0x04, 0x06, 0x66, 0xEF, 0xF4]
  /// je over a reset: what was compared must be equal.
  private let demandEqual: [UInt8] = [0x74, 0x08, 0x66, 0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE, 0xF4]

  /// cmp $value, %eax.
  private func compare(_ value: UInt32) -> [UInt8] { [0x3D] + .little(value) }

  @Test("Multiboot 1: magic, command line, module and loader's name")
  func multiboot1() throws {
    let code =
      compare(0x2BAD_B002) + demandEqual
      + [0x8B, 0x73, 0x10] + printString  // mov 16(%ebx), %esi: command line
      + [0x8B, 0x4B, 0x18, 0x8B, 0x31] + printString  // mov 24(%ebx), %ecx; mov (%ecx), %esi: the module
      + [0x8B, 0x73, 0x40] + printString + powerOff  // mov 64(%ebx), %esi
    let elf = SampleImages.multibootELF(SampleImages.multiboot1(flags: 3), code, symbols: true)
    let (outcome, output) = try run(elf, line: "one two,", module: Array("three,\0".utf8))
    #expect(outcome == .poweredOff && output == "kernel one two,three,Roost")
    let flat = SampleImages.multibootFlat(code)
    #expect(try run(flat, line: "flat,", module: Array("m,\0".utf8)).output == "kernel flat,m,Roost")
  }

  @Test("Multiboot 2: magic and the first tag")
  func multiboot2() throws {
    let code =
      compare(0x36D7_6289) + demandEqual + [0x83, 0x7B, 0x08, 0x01] + demandEqual  // cmpl $1, 8(%ebx)
      + [0x8D, 0x73, 0x10] + printString + powerOff  // lea 16(%ebx), %esi
    let image = SampleImages.multibootELF(SampleImages.multiboot2([SampleImages.tag(6, [])]), code)
    let (outcome, output) = try run(image, line: "second")
    #expect(outcome == .poweredOff && output == "second")
  }

  @Test("PVH: the module")
  func pvh() throws {
    // mov 16(%ebx), %ecx; mov (%ecx), %esi.
    let code = [0x8B, 0x4B, 0x10, 0x8B, 0x31] + printString + powerOff
    #expect(try run(SampleImages.pvh(code), module: Array("low\0".utf8)).output == "low")
  }

  @Test("PVH on Xen: a page of hypercalls by the register that CPUID names, the console, the end")
  func xen() throws {
    // The page is at 2 MiB; structures are at 0x5000, as the stack is.
    let page: UInt32 = 0x20_0000
    func call(_ number: UInt32, _ first: UInt32, _ second: UInt32, _ third: UInt32 = 0) -> [UInt8] {
      // mov $first, %ebx; mov $second, %ecx; mov $third, %edx; mov $stub, %eax; call *%eax
      [0xBB] + .little(first) + [0xB9] + .little(second) + [0xBA] + .little(third)
        + [0xB8] + .little(page + 32 * number) + [0xFF, 0xD0]
    }
    // movl $value, address
    func store(_ value: UInt32, _ address: UInt32) -> [UInt8] { [0xC7, 0x05] + .little(address) + .little(value) }
    let code: [UInt8] =
      // mov $0x4000, %esp; mov $0x40000000, %eax; cpuid; cmp $"XenV", %ebx
      [0xBC] + .little(0x4000 as UInt32) + [0xB8] + .little(0x4000_0000 as UInt32) + [0x0F, 0xA2]
      + [0x81, 0xFB] + .little(0x566E_6558 as UInt32) + demandEqual
      // mov $0x40000002, %eax; cpuid; mov %ebx, %ecx; mov $page, %eax; xor %edx, %edx; wrmsr
      + [0xB8] + .little(0x4000_0002 as UInt32) + [0x0F, 0xA2, 0x89, 0xD9] + [0xB8] + .little(page)
      + [0x31, 0xD2, 0x0F, 0x30]
      // HVMOP_get_param of HVM_PARAM_CONSOLE_PFN: 0, and the page in 0x5008
      + store(0x7FF0, 0x5000) + store(17, 0x5004) + call(34, 1, 0x5000) + compare(0) + demandEqual
      // mov 0x5008, %edi; shl $12, %edi; "ok" into the ring; movl $2, 3084(%edi): two bytes
      + [0x8B, 0x3D] + .little(0x5008 as UInt32) + [0xC1, 0xE7, 12]
      + [0x66, 0xC7, 0x87] + .little(1024 as UInt32) + Array("ok".utf8)
      + [0xC7, 0x87] + .little(3084 as UInt32) + .little(2 as UInt32)
      // SCHEDOP_yield; what there is not; SCHEDOP_shutdown for a reboot
      + call(29, 0, 0) + compare(0) + demandEqual + call(55, 0, 0) + compare(UInt32(bitPattern: -38)) + demandEqual
      + store(1, 0x5000) + call(29, 2, 0x5000) + [0xF4]
    let (outcome, output) = try run(SampleImages.pvh(code), method: .xenPVH)
    #expect(outcome == .reset && output == "ok")
    // Without Xen it is not there: the first comparison fails, which powers nothing off.
    #expect(try run(SampleImages.pvh(code)).output.isEmpty)
  }

  @Test("FreeBSD: long mode in the upper half, metadata on the stack, the environment behind it")
  func freeBSD() throws {
    // mov 4(%rsp), %ebx; cmpl $1, (%rbx); lea 8(%rbx), %rsi: the first record's name.
    var code: [UInt8] = [0x8B, 0x5C, 0x24, 0x04, 0x83, 0x3B, 0x01] + demandEqual
    code += [0x48, 0x8D, 0x73, 0x08] + printString
    // Walk to record 0x8006: add the length of each, rounded up to 8, and its head.
    // 1: cmpl $0x8006, (%rbx); je 2f; mov 4(%rbx), %eax; add $15, %eax; and $-8, %eax; add %rax, %rbx; jmp 1b
    code += [0x81, 0x3B] + .little(0x8006 as UInt32) + [0x74, 0x0E]
    code += [0x8B, 0x43, 0x04, 0x83, 0xC0, 0x0F, 0x83, 0xE0, 0xF8, 0x48, 0x01, 0xC3, 0xEB, 0xEA]
    // 2: mov 8(%rbx), %rsi
    code += [0x48, 0x8B, 0x73, 0x08] + printString + powerOff
    let (outcome, output) = try run(SampleImages.freeBSD(code), line: "-v hello=world", memory: 8 << 20)
    #expect(outcome == .poweredOff && output == "/boot/kernel/kernelhello=world")
  }

  @Test("Plan 9: plan9.ini and the size of conventional memory")
  func plan9() throws {
    // cmpw $639, 0x413; mov $0x1240, %esi.
    let code =
      [0x66, 0x81, 0x3D] + .little(0x413 as UInt32) + .little(639 as UInt16) + demandEqual
      + [0xBE] + .little(0x1240 as UInt32) + printString + powerOff
    let (outcome, output) = try run(SampleImages.plan9(code), line: "sysname=tiny", memory: 16 << 20)
    #expect(outcome == .poweredOff)
    #expect(output.hasPrefix("sysname=tiny\nconsole=0\nuser=glenda\n") && output.contains("*maxmem=0x1000000\n"))
    let wide = compare(0x2BAD_B002) + demandEqual + [0xBE] + .little(0x1240 as UInt32) + printString + powerOff
    #expect(try run(SampleImages.plan9ELF(wide)).output.hasSuffix("ioexclude=0x3f8-0x3ff\n"))
    // 9front: the first module is the text.
    let front = compare(0x2BAD_B002) + demandEqual + [0x8B, 0x4B, 0x18, 0x8B, 0x31] + printString + powerOff
    #expect(try run(SampleImages.plan9Front(front), line: "user=bob").output.hasPrefix("user=bob\nconsole=0\n"))
  }

  @Test("vmlinux: the zero page and its command line")
  func vmlinux() throws {
    // cmpl $"HdrS", 0x202(%rsi); mov 0x228(%rsi), %esi.
    let code =
      [0x81, 0xBE] + .little(0x202 as UInt32) + .little(0x5372_6448 as UInt32) + demandEqual
      + [0x8B, 0xB6] + .little(0x228 as UInt32) + printString + powerOff
    let (outcome, output) = try run(SampleImages.vmlinux(code), line: "console=ttyS0", memory: 32 << 20)
    #expect(outcome == .poweredOff && output == "console=ttyS0")
  }
}
