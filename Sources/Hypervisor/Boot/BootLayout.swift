/// Which addresses from 1 MiB on are taken while a kernel and what belongs to it are laid out.
struct BootLayout {
  private(set) var taken: [Range<UInt64>] = []
  /// Bytes of RAM below 4 GiB.
  let top: UInt64

  /// All of `memory` below 4 GiB is free.
  init(_ memory: GuestRAM) {
    top = memory.lowCount
  }

  /// The first byte behind everything that is taken.
  var end: UInt64 { taken.reduce(AddressMap.highMemory) { max($0, $1.upperBound) } }

  /// The first byte that is taken.
  var start: UInt64 { taken.reduce(top) { min($0, $1.lowerBound) } }

  /// Takes exactly this range, which must be RAM above 1 MiB and free; `header` is the byte of the file that asks for it.
  mutating func claim(_ address: UInt64, _ count: UInt64, _ what: String, header: Int? = nil) throws(HypervisorError) {
    guard address >= AddressMap.highMemory else {
      throw HypervisorError(
        .image,
        "\(what), of \(count) bytes, wants to lie at \(hex(address)), below 1 MiB, where the tables of the machine are;"
          + " link the kernel to 1 MiB or higher", offset: header)
    }
    guard address <= top, count <= top - address else {
      throw HypervisorError(
        .image,
        "\(what), of \(count) bytes, wants to lie at \(hex(address)), and the domain's memory is 1 MiB to"
          + " \(top >> 20) MiB; give the domain more memory", offset: header)
    }
    let range = address..<(address + count)
    if let other = taken.first(where: { $0.overlaps(range) }) {
      throw HypervisorError(
        .image,
        "\(what), at \(hex(address)), overlaps what lies at \(hex(other.lowerBound)): the file is damaged",
        offset: header)
    }
    taken.append(range)
  }

  /// Takes the lowest free `count` bytes from `floor` on that end at `limit` at most; `alignment` is a power of two.
  mutating func place(
    _ count: Int, alignment: UInt64 = 4096, from floor: UInt64 = AddressMap.highMemory, below limit: UInt64 = .max,
    _ what: String
  ) throws(HypervisorError) -> UInt64 {
    let wanted = UInt64(count)
    let limit = min(limit, top)
    var address = (max(floor, AddressMap.highMemory) + alignment - 1) & ~(alignment - 1)
    for range in taken.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.upperBound > address {
      if range.lowerBound >= address, wanted <= range.lowerBound - address { break }
      address = (range.upperBound + alignment - 1) & ~(alignment - 1)
    }
    guard address <= limit, wanted <= limit - address else {
      throw HypervisorError(
        .image,
        "\(what), of \(count) bytes, does not fit between the kernel's end and \(limit >> 20) MiB;"
          + (limit == top ? " give the domain more memory" : " everything that the kernel is handed lies below that"))
    }
    if count > 0 { taken.append(address..<(address + wanted)) }
    return address
  }
}
