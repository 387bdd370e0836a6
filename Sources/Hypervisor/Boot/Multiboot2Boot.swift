internal import Binary
internal import Platform

/// Multiboot, version 2. Multiboot2 Specification 2.0, 3.3 (machine state on i386) and 3.6 (boot information).
enum Multiboot2Boot {
  /// What EAX holds at the entry.
  static let magic: UInt64 = 0x36D7_6289

  /// Writes the tags and leaves the machine in the i386 state. There are no EFI tags: the machine was not started by EFI.
  static func start(
    _ image: MultibootImage, commandLine: String, rsdp: UInt64, framebuffer: Framebuffer?, in memory: GuestRAM
  ) throws(HypervisorError) -> BootState {
    var tags = Tags()
    tags.add(1, try MultibootImage.string(commandLine))
    tags.add(2, try MultibootImage.string(MultibootImage.loaderName))
    for module in image.modules {
      let string = try MultibootImage.string(module.commandLine)
      tags.add(3) { tag in
        tag.little(UInt32(truncatingIfNeeded: module.range.lowerBound))
        tag.little(UInt32(truncatingIfNeeded: module.range.upperBound))
        tag.raw(string)
      }
    }
    let basic = MultibootImage.basicMemory(memory)
    tags.add(4) { tag in
      tag.little(basic.lower)
      tag.little(basic.upper)
    }
    let map = memory.map
    tags.add(6) { tag in
      tag.little(24 as UInt32)
      tag.little(0 as UInt32)  // version
      for entry in map {
        tag.little(entry.address)
        tag.little(entry.count)
        tag.little(entry.kind.rawValue)
        tag.little(0 as UInt32)
      }
    }
    if let framebuffer { tags.add(framebuffer) }
    if image.sectionCount > 0 {
      tags.add(9) { tag in
        tag.little(UInt32(image.sectionCount))
        tag.little(UInt32(image.sectionBytes))
        tag.little(UInt32(image.sectionNames))
        tag.raw(image.sections)
      }
    }
    tags.add(rootPointer: rsdp, memory)
    if image.header.relocation != nil {
      tags.add(21) { $0.little(UInt32(truncatingIfNeeded: image.base)) }
    }
    try MultibootImage.write(tags.finished, to: memory)
    return .protectedMode(
      GeneralRegisters(rax: magic, rbx: MultibootImage.information, rip: image.entry), in: memory)
  }

  /// The information under construction: total size, a reserved word, tags at multiples of 8.
  private struct Tags {
    private var area = ByteWriter()

    init() {
      area.zeros(8)
    }

    mutating func add(_ type: UInt32, _ body: (inout ByteWriter) -> Void) {
      var tag = ByteWriter()
      body(&tag)
      add(type, tag.bytes)
    }

    mutating func add(_ type: UInt32, _ body: [UInt8]) {
      area.align(8)
      area.little(type)
      area.little(UInt32(8 + body.count))
      area.raw(body)
    }

    mutating func add(_ framebuffer: Framebuffer) {
      add(8) { tag in
        tag.little(framebuffer.address)
        tag.little(UInt32(truncatingIfNeeded: framebuffer.pitch))
        tag.little(UInt32(truncatingIfNeeded: framebuffer.width))
        tag.little(UInt32(truncatingIfNeeded: framebuffer.height))
        tag.little(UInt8(truncatingIfNeeded: framebuffer.depth))
        tag.little((framebuffer.isText ? 2 : 1) as UInt8)
        // The text says one byte; multiboot2.h and the loaders have two.
        tag.little(0 as UInt16)
        if !framebuffer.isText {
          for color in framebuffer.colors { tag.raw([color.position, color.bits]) }
        }
      }
    }

    /// Copies of ACPI's root pointer: of version 2 and, made from it, of version 1 (ACPI 6.5, 5.2.5.3).
    mutating func add(rootPointer address: UInt64, _ memory: GuestRAM) {
      guard address > 0, let offset = memory.offset(of: address, count: 36) else { return }
      var copy = [UInt8](repeating: 0, count: 36)
      var span = copy.mutableSpan
      memory.mapping.read(at: offset, into: &span)
      guard copy.starts(with: Array("RSD PTR ".utf8)) else { return }
      var old = Array(copy.prefix(20))
      (old[8], old[15]) = (0, 0)
      old[8] = ACPITables.checksum(old)
      add(14, old)
      if copy[15] >= 2 { add(15, copy) }
    }

    /// With the end tag and the total size.
    var finished: [UInt8] {
      var area = area
      area.align(8)
      area.little(0 as UInt32)
      area.little(8 as UInt32)
      area.patchLittle(UInt32(area.count), at: 0)
      return area.bytes
    }
  }
}
