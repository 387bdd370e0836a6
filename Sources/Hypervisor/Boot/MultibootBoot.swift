internal import Binary

/// Multiboot, version 1. Multiboot Specification 0.6.96, 3.2 (machine state) and 3.3 (boot information).
enum MultibootBoot {
  /// What EAX holds at the entry.
  static let magic: UInt64 = 0x2BAD_B002

  /// Whether the file has a header of either version.
  static func isPresent(in image: some ImageSource) -> Bool {
    MultibootHeader.isPresent(in: image)
  }

  /// Puts kernel, modules and boot information into `memory`, of the version that the kernel's header names.
  ///
  /// Drives, configuration table and APM table are absent. A kernel may ask for a video mode and not get it: the
  /// information then has none.
  static func load(
    _ kernel: some ImageSource, modules: [BootModule<some ImageSource>], commandLine: String, rsdp: UInt64,
    framebuffer: Framebuffer?, into memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let image = try MultibootImage(kernel, modules: modules, framebuffer: framebuffer, into: memory)
    if image.header.version == 2 {
      return try Multiboot2Boot.start(
        image, commandLine: commandLine, rsdp: rsdp, framebuffer: framebuffer, in: memory)
    }
    return try start(image, commandLine: commandLine, framebuffer: framebuffer, in: memory)
  }

  /// Writes the boot information and leaves the machine in the state of 3.2.
  static func start(
    _ image: MultibootImage, commandLine: String, framebuffer: Framebuffer?, in memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    let information = try information(
      modules: image.modules, commandLine: commandLine, framebuffer: framebuffer, sections: image, memory)
    try MultibootImage.write(information, to: memory)
    return .protectedMode(
      GeneralRegisters(rax: magic, rbx: MultibootImage.information, rip: image.entry), in: memory)
  }

  /// Fixed part, strings, modules, memory map and section headers, one behind the other.
  static func information(
    modules: [MultibootImage.Module], commandLine: String, framebuffer: Framebuffer?, sections image: MultibootImage?,
    _ memory: GuestRAM
  ) throws(HypervisorError) -> [UInt8] {
    var area = ByteWriter()
    area.zeros(116)
    func here() -> UInt32 { UInt32(MultibootImage.information) + UInt32(area.count) }
    var flags: UInt32 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
    let basic = MultibootImage.basicMemory(memory)
    area.patchLittle(basic.lower, at: 4)
    area.patchLittle(basic.upper, at: 8)
    area.patchLittle(here(), at: 16)
    area.raw(try MultibootImage.string(commandLine))
    area.patchLittle(here(), at: 64)
    area.raw(try MultibootImage.string(MultibootImage.loaderName))

    var strings: [UInt32] = []
    for module in modules {
      strings.append(here())
      area.raw(try MultibootImage.string(module.commandLine))
    }
    area.align(4)
    area.patchLittle(UInt32(modules.count), at: 20)
    area.patchLittle(here(), at: 24)
    for (module, string) in zip(modules, strings) {
      area.little(UInt32(truncatingIfNeeded: module.range.lowerBound))
      area.little(UInt32(truncatingIfNeeded: module.range.upperBound))
      area.little(string)
      area.little(0 as UInt32)
    }
    if let image, image.sectionCount > 0 {
      flags |= 1 << 5
      area.patchLittle(UInt32(image.sectionCount), at: 28)
      area.patchLittle(UInt32(image.sectionBytes), at: 32)
      area.patchLittle(here(), at: 36)
      area.patchLittle(UInt32(image.sectionNames), at: 40)
      area.raw(image.sections)
    }
    let map = memory.map
    area.patchLittle(UInt32(map.count * 24), at: 44)
    area.patchLittle(here(), at: 48)
    for entry in map {
      area.little(20 as UInt32)  // of what follows
      area.little(entry.address)
      area.little(entry.count)
      area.little(entry.kind.rawValue)
    }
    if let framebuffer {
      flags |= 1 << 12
      area.patchLittle(framebuffer.address, at: 88)
      area.patchLittle(UInt32(truncatingIfNeeded: framebuffer.pitch), at: 96)
      area.patchLittle(UInt32(truncatingIfNeeded: framebuffer.width), at: 100)
      area.patchLittle(UInt32(truncatingIfNeeded: framebuffer.height), at: 104)
      area.patch(UInt8(truncatingIfNeeded: framebuffer.depth), at: 108)
      area.patch(framebuffer.isText ? 2 : 1, at: 109)
      if !framebuffer.isText {
        for (index, color) in framebuffer.colors.enumerated() {
          area.patch(color.position, at: 110 + index * 2)
          area.patch(color.bits, at: 111 + index * 2)
        }
      }
    }
    area.patchLittle(flags, at: 0)
    return area.bytes
  }
}
