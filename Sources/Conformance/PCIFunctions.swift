import Machine

/// What a base address register decodes.
struct BaseAddress {
  let index: UInt32
  let address: UInt64
  let count: UInt64  // bytes
  let isIO: Bool
  let isWide: Bool
}

extension PCI {
  private static func select(_ function: Function, _ offset: UInt32) {
    machine_out32(0xCF8, 0x8000_0000 | function.device << 11 | function.function << 8 | offset & 0xFC)
  }

  static func read32(_ function: Function, _ offset: UInt32) -> UInt32 {
    select(function, offset)
    return machine_in32(0xCFC)
  }

  static func read16(_ function: Function, _ offset: UInt32) -> UInt16 {
    select(function, offset)
    return machine_in16(0xCFC &+ UInt16(offset & 2))
  }

  static func read8(_ function: Function, _ offset: UInt32) -> UInt8 {
    select(function, offset)
    return machine_in8(0xCFC &+ UInt16(offset & 3))
  }

  static func write32(_ function: Function, _ offset: UInt32, _ value: UInt32) {
    select(function, offset)
    machine_out32(0xCFC, value)
  }

  static func write16(_ function: Function, _ offset: UInt32, _ value: UInt16) {
    select(function, offset)
    machine_out16(0xCFC &+ UInt16(offset & 2), value)
  }

  /// The address in base address register `index`, of memory or I/O; 0 where it decodes nothing that we can reach.
  static func address(_ function: Function, bar index: UInt32) -> UInt32 {
    let value = read32(function, 0x10 &+ 4 &* index)
    if value & 1 != 0 { return value & ~3 }
    if value & 6 == 4, read32(function, 0x14 &+ 4 &* index) != 0 { return 0 }
    return value & ~0xF
  }

  /// The first capability with that id behind `offset`; 0 when there is none. At most 48 fit.
  static func capability(_ function: Function, id: UInt8, after offset: UInt32 = 0) -> UInt32 {
    guard read16(function, 0x06) & 0x10 != 0 else { return 0 }
    var next = UInt32(read8(function, offset == 0 ? 0x34 : offset &+ 1)) & 0xFC
    for _ in 0..<48 where next != 0 {
      if read8(function, next) == id { return next }
      next = UInt32(read8(function, next &+ 1)) & 0xFC
    }
    return 0
  }

  /// Sizes base address register `index` (PCI 3.0, 6.2.5.1), with decoding switched off meanwhile.
  static func size(_ function: Function, bar index: UInt32) throws(Verdict) -> BaseAddress? {
    let offset = 0x10 &+ 4 &* index
    let before = read32(function, offset)
    let command = read16(function, 0x04)
    write16(function, 0x04, command & ~3)
    write32(function, offset, 0xFFFF_FFFF)
    let low = read32(function, offset)
    write32(function, offset, before)
    let isWide = before & 7 == 4
    var high: UInt32 = 0
    var mask = low == 0 ? 0 : 0xFFFF_FFFF_0000_0000 | UInt64(low & (before & 1 != 0 ? ~3 : ~0xF))
    if isWide {
      high = read32(function, offset &+ 4)
      write32(function, offset &+ 4, 0xFFFF_FFFF)
      mask = UInt64(read32(function, offset &+ 4)) << 32 | UInt64(low & ~0xF)
      write32(function, offset &+ 4, high)
    }
    let isRestored = read32(function, offset) == before
    write16(function, 0x04, command)
    guard mask != 0 else { return nil }
    try require(isRestored, "a base address register keeps what is written")
    // The upper half of an I/O register may read zero (6.2.5.1).
    if before & 1 != 0 { mask |= 0xFFFF_FFFF_FFFF_0000 }
    let count = ~mask &+ 1
    try require(count & (count &- 1), equals: 0, "a size is a power of two")
    try require(low & 0xF & (before & 1 != 0 ? 3 : 0xF) == before & (before & 1 != 0 ? 3 : 0xF), "type bits are fixed")
    let address = UInt64(before & (before & 1 != 0 ? ~3 : ~0xF)) | UInt64(high) << 32
    try require(address & (count &- 1), equals: 0, "an address is a multiple of the size")
    return BaseAddress(index: index, address: address, count: count, isIO: before & 1 != 0, isWide: isWide)
  }
}

extension Probe {
  /// Every function of bus 0.
  mutating func testPCI() {
    guard PCI.isPresent else {
      test("pci: configuration mechanism 1") { (_) throws(Verdict) in throw .skip("no PCI configuration ports") }
      return
    }
    test("pci: an empty place and another bus read as ones, writes to them do nothing") { (_) throws(Verdict) in
      machine_out32(0xCF8, 0x80FF_F800)
      try require(machine_in32(0xCFC), equals: 0xFFFF_FFFF, "bus 255")
      machine_out32(0xCFC, 0)
      machine_out32(0xCF8, 0x0000_0000)
      try require(machine_in32(0xCFC), equals: 0xFFFF_FFFF, "a function that is not selected")
    }
    test("pci: the host bridge is an 82441FX, the ISA bridge an 82371SB") { (_) throws(Verdict) in
      guard let host = PCI.function(device: 0, function: 0) else { throw .failed("there is something at 00:00.0") }
      guard host.vendor == 0x8086, host.product == 0x1237 else { throw .skip("another host bridge") }
      guard let bridge = PCI.function(device: 1, function: 0) else { throw .failed("there is something at 00:01.0") }
      try require(bridge.vendor, equals: 0x8086, "vendor of the ISA bridge")
      try require(bridge.product, equals: 0x7000, "device of the ISA bridge")
      try require(bridge.code >> 8, equals: 0x0601, "class of the ISA bridge")
      try require(PCI.read8(bridge, 0x0E), equals: 0x80, "the ISA bridge's header says that there are more functions")
    }
    PCI.forEachFunction { function in
      test("identity and header", of: function) { (_) throws(Verdict) in
        try require(PCI.read8(function, 0x0E) & 0x7F, equals: 0, "header type")
        let identity = PCI.read32(function, 0)
        PCI.write32(function, 0, 0)
        PCI.write32(function, 8, 0)
        try require(PCI.read32(function, 0), equals: identity, "vendor and device, after a write")
        try require(PCI.read32(function, 8) >> 8, equals: function.code, "class, after a write")
        let pin = PCI.read8(function, 0x3D)
        try require(pin <= 4, "the interrupt pin is one of four")
        guard pin != 0 else { return }
        let line = PCI.read8(function, 0x3C)
        PCI.write32(function, 0x3C, PCI.read32(function, 0x3C) ^ 0xFF)
        try require(PCI.read8(function, 0x3C), equals: line ^ 0xFF, "interrupt line")
        PCI.write32(function, 0x3C, PCI.read32(function, 0x3C) ^ 0xFF)
      }
      test("base address registers", of: function) { (_) throws(Verdict) in
        var index: UInt32 = 0
        while index < 6 {
          let bar = try PCI.size(function, bar: index)
          if let bar { try Self.requireAlone(bar, function) }
          index += bar?.isWide == true ? 2 : 1
        }
      }
      test("capability list", of: function) { (_) throws(Verdict) in
        guard PCI.read16(function, 0x06) & 0x10 != 0 else { throw .skip("no capabilities") }
        var next = PCI.read8(function, 0x34)
        var seen: UInt64 = 0
        while next != 0 {
          try require(next >= 0x40 && next & 3 == 0, "a capability is aligned and behind the header")
          let bit: UInt64 = 1 << UInt64(next >> 2)
          try require(seen & bit, equals: 0, "the list does not loop")
          seen |= bit
          next = PCI.read8(function, UInt32(next) &+ 1)
        }
      }
    }
  }

  /// That no other function's register decodes what `bar` does.
  private static func requireAlone(_ bar: BaseAddress, _ owner: PCI.Function) throws(Verdict) {
    guard bar.address != 0 else { return }
    var failure: Verdict?
    PCI.forEachFunction { function in
      for index in UInt32(0)..<6 where function.device != owner.device || function.function != owner.function {
        let other = UInt64(PCI.address(function, bar: index))
        let isIO = PCI.read32(function, 0x10 &+ 4 &* index) & 1 != 0
        if other != 0, isIO == bar.isIO, other >= bar.address, other &- bar.address < bar.count {
          failure = .differs("a range overlaps another function's", found: bar.address, wanted: other)
        }
      }
    }
    if let failure { throw failure }
  }
}
