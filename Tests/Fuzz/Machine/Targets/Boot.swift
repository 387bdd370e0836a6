import Fuzzing
import Platform

@testable import Hypervisor

/// Guest RAM of a few MiB that every input loads into, and watches over what no loader may write.
private struct BootMemory {
  static let shared: BootMemory? = try? BootMemory()
  private static let canary: UInt64 = 0xC0DE_C0DE_C0DE_C0DE
  /// From the firmware's data area to the end of the tables.
  private static let guarded = stride(from: Int(AddressMap.conventionalEnd), to: Int(AddressMap.highMemory), by: 64)

  let memory: GuestRAM

  private init() throws {
    memory = try GuestRAM(count: 4 << 20)
    for address in Self.guarded { memory.mapping.store(Self.canary, at: address) }
  }

  func check() {
    for address in Self.guarded {
      precondition(memory.mapping.load(at: address) == Self.canary, "a loader wrote to \(hex(UInt64(address)))")
    }
  }
}

/// An input is a byte of flags, the command line with its length before it, and the file.
private func boot(_ name: String, _ method: BootMethod, _ images: [[UInt8]], _ line: String = "a=b") -> FuzzTarget {
  FuzzTarget(
    "boot-\(name)",
    seeds: {
      images.flatMap { image in [0, 5, 22].map { flags in [flags, UInt8(line.utf8.count)] + Array(line.utf8) + image } }
    },
    run: { input in
      guard let shared = BootMemory.shared else { fatalError("there is no memory to load into") }
      let flags = input.byte()
      let line = String(decoding: input.run(), as: UTF8.self)
      let image = BytesImage(input.rest())
      let module = BootModule(image, commandLine: line)
      let framebuffer =
        flags & 16 != 0
        ? Framebuffer(address: 0xB_8000, pitch: 160, width: 80, height: 25, depth: 16, isText: true)
        : Framebuffer(address: 0xE000_0000, pitch: 2560, width: 640, height: 480, depth: 32)
      do throws(HypervisorError) {
        let loaded = try BootLoader.load(
          method: flags & 8 != 0 ? .auto : method, kernel: image,
          modules: [module, module].suffix(Int(flags & 3) % 3), commandLine: line, rsdp: 0xF_0000,
          framebuffer: flags & 4 != 0 ? framebuffer : nil, into: shared.memory)
        precondition(loaded.method != .auto && !loaded.method.isFirmware)
      } catch {
        precondition(error.code == .image || error.code == .configuration, "\(error)")
      }
      shared.check()
    })
}

private let multibootTags: [[UInt8]] = [
  SampleImages.tag(1, [1, 6]), SampleImages.tag(5, [640, 480, 32]), SampleImages.tag(10, [0, .max, 4096, 2]),
  SampleImages.tag(3, [0x10_0100]), SampleImages.tag(4, [2]),
]

/// A parser of lines, each of which it takes or refuses.
private func words(_ name: String, _ lines: [String], _ parse: @escaping @Sendable ([String]) -> Void) -> FuzzTarget {
  FuzzTarget(
    name, seeds: { [Array(lines.joined(separator: "\n").utf8)] + lines.map { Array($0.utf8) } },
    run: { input in parse(input.lines()) })
}

let bootTargets: [FuzzTarget] = [
  boot(
    "linux", .linux,
    [
      SampleImages.bzImage(kernelBytes: 64), SampleImages.vmlinux(at: 0x20_0000),
    ], "console=ttyS0 root=/dev/vda"),
  boot("pvh", .pvh, [SampleImages.pvh([0xF4])], "quiet"),
  boot(
    "multiboot", .multiboot,
    [
      SampleImages.multibootELF(SampleImages.multiboot1(flags: 7, [0, 0, 0, 0, 0, 0, 9, 9, 32]), symbols: true),
      SampleImages.multibootFlat(),
      SampleImages.multibootELF(SampleImages.multiboot2(multibootTags), symbols: true),
      SampleImages.multiboot2([
        SampleImages.tag(2, [0x10_0000, .max, 0, 0x10_1000]), SampleImages.tag(3, [0x10_0010]),
      ]),
    ], "kernel arguments"),
  boot("freebsd", .freebsd, [SampleImages.freeBSD()], "-sv kern.hz=100 vfs.root.mountfrom=\"ufs:/dev/md0\""),
  boot(
    "plan9", .plan9, [SampleImages.plan9(), SampleImages.plan9ELF(), SampleImages.plan9Front()],
    "bootargs=local!#S/sdC0/fs 'ether0=type=i82557'"),
  words("command-lines", ["-sv kern.hz=100", "vfs.root.mountfrom=\"ufs:/dev/md0\" 'a=b c'", "console=0 *e820=\"1 2\""])
  {
    for line in $0 {
      if let environment = try? FreeBSDEnvironment(line, rsdp: 1, hasMemoryDisk: true) {
        precondition(environment.bytes.suffix(2) == [0, 0])
      }
      for kind in [Plan9Boot.Kind.aout32, .multiboot] {
        guard let text = try? Plan9Configuration(line, for: kind, memory: 1 << 30) else { continue }
        precondition(text.lines.count <= 64 && !text.bytes.contains(0))
      }
    }
  },
  words(
    "machine-arguments",
    [
      "--name\ntiny\n--kernel\nk\n--memory\n16MiB\n--cpus\n2\n--cpu\nbaseline\n--no-entropy",
      "--name\nold\n--boot\nbios\n--disk\no,bus=ide,ro,id=a\n--cdrom\nc\n--floppy\nf\n--vnc\nunix:/v,password-file=p",
      "--name\nx\n--boot\nmultiboot\n--kernel\nk\n--initrd\ni\n--module\nm,cmdline=a b\n--cmdline\na\n--display\nvga",
      "--name\nn\n--kernel\nk\n--net\nt0,mac=52:54:00:00:00:01,model=e1000\n--serial\nunix:/s,log=l\n--control\nunix:/c",
      "--name\nu\n--boot\nuefi\n--uefi-vars\nv\n--firmware\nf\n--disk\nd,bus=scsi\n--serial2\nunix:/t\n--hotplug",
    ]
  ) { _ = try? MachineConfiguration(arguments: $0) },
]
