import Binary
import Platform

/// Wraps a 64-bit FreeBSD kernel so that QEMU's `-kernel` starts it as FreeBSD's own loader would: the peer of our
/// `freebsd` start. QEMU itself knows PVH only, for which the kernel wants facts about the clock that QEMU may not have.
///
/// The result is the kernel with other program headers, and behind it a block of memory: metadata, environment, page
/// tables, and a start in 32 bits that PVH's note names and that goes on in long mode. FreeBSD,
/// stand/i386/libi386/amd64_tramp.S and sys/sys/linker.h; Linux, Documentation/arch/x86/ (PVH); System V ABI, ELF-64.
struct FreeBSDForQEMU {
  /// The file for `-kernel`.
  let image: [UInt8]

  /// Virtual address of physical address 0.
  private static let kernelBase: UInt64 = 0xFFFF_FFFF_8000_0000
  private static let headerCount = 56
  private static let pageCount = 4096

  /// - Parameters:
  ///   - variables: `name=value`, the kernel's environment.
  ///   - memory: of the guest, in bytes; below 3 GiB.
  init(_ kernel: [UInt8], variables: [String], memory: UInt64) throws {
    let reader = ByteReader(kernel)
    let entry: UInt64 = try reader.little(at: 24)
    let table = Int(try reader.little(UInt64.self, at: 32))
    var headers: [[UInt8]] = []
    var start = UInt64.max
    var end: UInt64 = 0
    for index in 0..<Int(try reader.little(UInt16.self, at: 56)) {
      let place = table + index * Self.headerCount
      guard try reader.little(UInt32.self, at: place) == 1 else { continue }
      let address = try reader.little(UInt64.self, at: place + 16) &- Self.kernelBase
      start = min(start, address)
      end = max(end, address + (try reader.little(UInt64.self, at: place + 40)))
      var header = ByteWriter(capacity: Self.headerCount)
      header.raw(try reader.slice(at: place, length: Self.headerCount))
      header.patchLittle(address, at: 24)
      headers.append(header.bytes)
    }
    end = (end + 0x1F_FFFF) & ~0x1F_FFFF

    let block = try Block(
      at: end, entry: entry, kernel: start..<end, elfHeader: Array(kernel.prefix(64)), variables: variables,
      memory: memory)
    var file = ByteWriter()
    file.raw(kernel)
    file.align(Self.pageCount)
    let offset = file.count
    file.raw(block.bytes)
    let note = file.count
    for word in [4, 4, 18] as [UInt32] { file.little(word) }  // XEN_ELFNOTE_PHYS32_ENTRY
    file.raw(Array("Xen\0".utf8))
    file.little(UInt32(block.start))
    file.align(8)
    headers.append(Self.header(type: 1, offset: offset, address: end, count: block.bytes.count))
    headers.append(Self.header(type: 4, offset: note, address: 0, count: 20))
    file.patchLittle(UInt64(file.count), at: 32)
    file.patchLittle(UInt16(headers.count), at: 56)
    for header in headers { file.raw(header) }
    image = file.bytes
  }

  private static func header(type: UInt32, offset: Int, address: UInt64, count: Int) -> [UInt8] {
    var writer = ByteWriter(capacity: headerCount)
    writer.little(type)
    writer.little(7 as UInt32)  // read, write, execute
    for word in [UInt64(offset), address, address, UInt64(count), UInt64(count), 4] { writer.little(word) }
    return writer.bytes
  }

  /// What lies behind the kernel in memory.
  private struct Block {
    let bytes: [UInt8]
    /// Physical address of the start in 32 bits.
    let start: UInt64

    init(
      at base: UInt64, entry: UInt64, kernel: Range<UInt64>, elfHeader: [UInt8], variables: [String], memory: UInt64
    ) throws {
      // Three pages of tables, then what the kernel reads, then the start.
      let tables = base
      var writer = ByteWriter()
      for _ in 0..<512 { writer.little((tables + 0x1000) | 7) }
      for _ in 0..<512 { writer.little((tables + 0x2000) | 7) }
      for index in 0..<512 as Range<UInt64> { writer.little(index << 21 | 0x87) }

      let environment = base + UInt64(writer.count)
      for variable in variables { writer.raw(Array(variable.utf8) + [0]) }
      writer.zeros(1)
      writer.align(8)

      let metadata = base + UInt64(writer.count)
      func add(_ type: UInt32, _ body: [UInt8]) {
        writer.little(type)
        writer.little(UInt32(body.count))
        writer.raw(body)
        writer.align(8)
      }
      add(1, Array("/boot/kernel/kernel\0".utf8))
      add(2, Array("elf kernel\0".utf8))
      add(3, Self.words(kernel.lowerBound))
      add(4, Self.words(kernel.upperBound - kernel.lowerBound))
      add(0x8002, elfHeader)
      add(0x8007, [0, 0x10, 0, 0])  // RB_SERIAL
      // The memory that SeaBIOS leaves on a machine with ACPI.
      var map = ByteWriter()
      for (address, count) in [(0, 0x9FC00), (0x10_0000, memory - 0x12_0000)] as [(UInt64, UInt64)] {
        map.little(address)
        map.little(count)
        map.little(1 as UInt32)
      }
      add(0x9001, map.bytes)
      add(0x8006, Self.words(environment))
      let end = (base + UInt64(writer.count) + 0x2000) & ~0xFFF
      add(0x8008, Self.words(end))
      add(0x9006, Self.words(metadata))
      writer.zeros(8)

      // The kernel pushes before it has a stack of its own.
      writer.zeros(256)
      let stack = base + UInt64(writer.count)
      for word in [0, metadata, end, 0] { writer.little(UInt32(word)) }
      let gdt = base + UInt64(writer.count)
      for descriptor in [0, 0x0020_9A00_0000_0000, 0x0000_9200_0000_0000] as [UInt64] { writer.little(descriptor) }
      let pointer = base + UInt64(writer.count)
      writer.little(23 as UInt16)
      writer.little(gdt)
      writer.align(8)

      start = base + UInt64(writer.count)
      func address(_ value: UInt64) -> [UInt8] { Array(Self.words(value).prefix(4)) }
      writer.raw([0x0F, 0x01, 0x15] + address(pointer))  // lgdt
      writer.raw([0x0F, 0x20, 0xE0, 0x83, 0xC8, 0x20, 0x0F, 0x22, 0xE0])  // CR4.PAE
      writer.raw([0xB8] + address(tables) + [0x0F, 0x22, 0xD8])  // CR3
      writer.raw([0xB9] + address(0xC000_0080) + [0x0F, 0x32, 0x0D] + address(0x100) + [0x0F, 0x30])  // EFER.LME
      writer.raw([0x0F, 0x20, 0xC0, 0x0D] + address(0x8000_0000) + [0x0F, 0x22, 0xC0])  // CR0.PG
      let long = base + UInt64(writer.count) + 7
      writer.raw([0xEA] + address(long) + [8, 0])  // ljmp
      writer.raw([0xBC] + address(stack))  // mov esp
      writer.raw([0x48, 0xB8] + Self.words(entry) + [0xFF, 0xE0])  // mov rax; jmp rax
      precondition(base + UInt64(writer.count) <= end)
      bytes = writer.bytes
    }

    private static func words(_ value: UInt64) -> [UInt8] {
      var writer = ByteWriter(capacity: 8)
      writer.little(value)
      return writer.bytes
    }
  }
}
