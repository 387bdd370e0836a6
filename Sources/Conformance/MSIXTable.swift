import Machine

/// The MSI-X table of a function (PCI 3.0, 6.8.2).
struct MSIXTable {
  let function: PCI.Function
  private let capability: UInt32
  private let table: UInt32
  private let pending: UInt32
  let count: UInt16

  init(_ function: PCI.Function) throws(Verdict) {
    self.function = function
    capability = PCI.capability(function, id: 0x11)
    guard capability != 0 else { throw .skip("no MSI-X") }
    count = (PCI.read16(function, capability &+ 2) & 0x7FF) &+ 1
    let place = PCI.read32(function, capability &+ 4)
    let pendingPlace = PCI.read32(function, capability &+ 8)
    let base = PCI.address(function, bar: place & 7)
    let pendingBase = PCI.address(function, bar: pendingPlace & 7)
    try require(base != 0 && pendingBase != 0, "table and pending bits are below 4 GiB")
    table = base &+ (place & ~7)
    pending = pendingBase &+ (pendingPlace & ~7)
  }

  /// Message Control: enable is bit 15, function mask bit 14.
  func setControl(isEnabled: Bool, isMasked: Bool = false) {
    PCI.write16(function, capability &+ 2, (isEnabled ? 1 << 15 : 0) | (isMasked ? 1 << 14 : 0))
  }

  func setMask(_ entry: UInt16, _ isMasked: Bool) {
    machine_store32(UInt(table &+ 16 &* UInt32(entry) &+ 12), isMasked ? 1 : 0)
  }

  func isMasked(_ entry: UInt16) -> Bool { machine_load32(UInt(table &+ 16 &* UInt32(entry) &+ 12)) & 1 != 0 }

  /// Leads `entry` to `vector` of this processor.
  func route(_ entry: UInt16, to vector: UInt8) throws(Verdict) {
    let address = table &+ 16 &* UInt32(entry)
    setMask(entry, true)
    machine_store32(UInt(address), LocalAPIC.base | LocalAPIC.id << 12)
    machine_store32(UInt(address &+ 4), 0)
    machine_store32(UInt(address &+ 8), UInt32(vector))
    try require(machine_load32(UInt(address &+ 8)), equals: UInt32(vector), "message data")
    setMask(entry, false)
  }

  func isPending(_ entry: UInt16) -> Bool {
    machine_load32(UInt(pending &+ 4 &* UInt32(entry >> 5))) >> UInt32(entry & 31) & 1 != 0
  }
}
