public import Devices
internal import Platform

/// The guest's RAM on a memory file: one mapping of this process, one or two runs of guest addresses, and one more where
/// blocks are plugged and unplugged.
///
/// Any thread may use it at any time. The guest's CPUs write it concurrently, so bytes are only ever copied, and ring
/// indices are loaded and stored atomically.
public final class GuestRAM: GuestMemory, Sendable {
  let mapping: Mapping
  private let file: FileDescriptor
  /// Bytes from address 0.
  let lowCount: UInt64
  /// Bytes from 4 GiB.
  let highCount: UInt64
  /// Where blocks can be plugged; empty for nowhere. Set apart from the others.
  let growth: Range<UInt64>
  /// A byte per block: 1 where it is plugged.
  private let plugged: Mapping
  /// Where the growth's first byte lies in the mapping.
  private let growthOffset: Int

  /// Bytes of a block that is plugged or unplugged.
  static let blockBytes: UInt64 = 2 << 20

  /// `count` bytes of RAM, whole MiB, all zero; nothing is taken from the host until it is written. In `growth` nothing is
  /// RAM yet.
  public convenience init(count: UInt64, name: String = "guest-ram") throws(HypervisorError) {
    try self.init(count: count, growth: 0..<0, name: name)
  }

  /// The same with room to grow in: the addresses `growth`, a multiple of `blockBytes` that is not beside RAM.
  init(count: UInt64, growth: Range<UInt64>, name: String = "guest-ram") throws(HypervisorError) {
    guard count >= 2 << 20, count <= 1 << 40, count % (1 << 20) == 0 else {
      throw HypervisorError(
        .configuration, "\(count) bytes of memory are not possible; give whole MiB, at least 2 MiB and at most 1 TiB")
    }
    // At the start of a huge page, as it is for the guest.
    let growthOffset = Int((count + Self.blockBytes - 1) / Self.blockBytes * Self.blockBytes)
    let bytes = growth.isEmpty ? Int(count) : growthOffset + growth.count
    let message = "\(count >> 20) MiB of memory cannot be had; give the domain less, or the machine more"
    let file = try refusal(.system, message) { () throws(SystemError) in
      try FileDescriptor.inMemory(name, count: bytes)
    }
    mapping = try refusal(.system, message) { () throws(SystemError) in
      try Mapping(sharingHuge: file, count: bytes)
    }
    plugged = try refusal(.system, message) { () throws(SystemError) in
      try Mapping(anonymous: max(1, growth.count / Int(Self.blockBytes)))
    }
    self.growth = growth
    self.growthOffset = growthOffset
    self.file = file
    lowCount = min(count, AddressMap.deviceHole)
    highCount = count - lowCount
  }

  /// Bytes in all.
  public var count: UInt64 { lowCount + highCount }

  /// Where the byte at `address` lies in the mapping, if `count` bytes from there are RAM.
  @inline(__always)
  func offset(of address: UInt64, count: Int) -> Int? {
    let wanted = UInt64(truncatingIfNeeded: count)
    guard count >= 0 else { return nil }
    if address <= lowCount {
      return wanted <= lowCount &- address ? Int(truncatingIfNeeded: address) : nil
    }
    if growth.contains(address) { return growthOffset(of: address, count: wanted) }
    guard address >= AddressMap.fourGiB, highCount > 0 else { return nil }
    let beyond = address &- AddressMap.fourGiB
    guard beyond <= highCount, wanted <= highCount &- beyond else { return nil }
    return Int(truncatingIfNeeded: lowCount &+ beyond)
  }

  // MARK: Blocks that come and go

  /// The same where blocks can be plugged: all of them must be.
  private func growthOffset(of address: UInt64, count: UInt64) -> Int? {
    guard count <= growth.upperBound - address else { return nil }
    let offset = address - growth.lowerBound
    let blocks = offset / Self.blockBytes...(offset + max(count, 1) - 1) / Self.blockBytes
    for block in blocks where plugged.load(UInt8.self, at: Int(block)) == 0 { return nil }
    return growthOffset + Int(offset)
  }

  /// Takes note that the blocks of `segment`, which lie in the growth, are RAM, or are not.
  func mark(_ segment: GuestSegment, isPlugged: Bool) {
    let first = Int((segment.address.rawValue - growth.lowerBound) / Self.blockBytes)
    plugged.fill(at: first, count: segment.count / Int(Self.blockBytes), with: isPlugged ? 1 : 0)
  }

  /// Where the byte at `address`, which lies in the growth, is in the mapping, whether or not it is plugged.
  func placeInGrowth(_ address: UInt64) -> Int { growthOffset + Int(address - growth.lowerBound) }

  /// All RAM that there is now, in runs of addresses. Where there would be more than `limit`, the growth is one run from the
  /// first plugged block to the last.
  func regions(limit: Int) -> [VhostNetworkDevice.Region] {
    var regions = [VhostNetworkDevice.Region(guest: 0, count: Int(lowCount), offset: 0)]
    if highCount > 0 {
      regions.append(.init(guest: AddressMap.fourGiB, count: Int(highCount), offset: Int(lowCount)))
    }
    let runs = pluggedRuns
    let room = limit - regions.count
    let shown = runs.count <= room ? runs : [runs[0].lowerBound..<runs[runs.count - 1].upperBound]
    return regions
      + shown.map { run in
        let address = growth.lowerBound + UInt64(run.lowerBound) * Self.blockBytes
        return .init(guest: address, count: run.count * Int(Self.blockBytes), offset: placeInGrowth(address))
      }
  }

  /// Numbers of plugged blocks that follow one another.
  private var pluggedRuns: [Range<Int>] {
    var runs: [Range<Int>] = []
    for block in 0..<growth.count / Int(Self.blockBytes) where plugged.load(UInt8.self, at: block) != 0 {
      if let last = runs.last, last.upperBound == block {
        runs[runs.count - 1] = last.lowerBound..<block + 1
      } else {
        runs.append(block..<block + 1)
      }
    }
    return runs
  }

  /// Shows the RAM to a virtual machine, but for what lies behind the VGA's window: only devices reach that. This object must outlive the machine's CPUs.
  func attach(to machine: borrowing VirtualMachine) throws(HypervisorError) {
    let window = AddressMap.videoWindow
    // SAFETY: the slots lie in the mapping, which lives as long as this object.
    try unsafe machine.setMemory(slot: MemorySlot.conventional, at: 0, mapping.base, count: Int(window.lowerBound))
    try unsafe machine.setMemory(
      slot: MemorySlot.low, at: window.upperBound, mapping.base + Int(window.upperBound),
      count: Int(lowCount - window.upperBound))
    if highCount > 0 {
      try unsafe machine.setMemory(
        slot: MemorySlot.high, at: AddressMap.fourGiB, mapping.base + Int(lowCount), count: Int(highCount))
    }
  }

  /// RAM and where it may grow, where a guest must know that from the beginning: it grows beyond 4 GiB, and did not reach
  /// there. Otherwise its devices reach all of it, or it knows that they do not.
  var affinity: [ACPIDescription.MemoryRun] {
    guard growth.lowerBound >= AddressMap.fourGiB, highCount == 0 else { return [] }
    return [.init(addresses: 0..<lowCount), .init(addresses: growth, isPluggable: true)]
  }

  /// The addresses of the machine as firmware would report them.
  var map: [MemoryMapEntry] {
    var entries = [
      MemoryMapEntry(address: 0, count: AddressMap.conventionalEnd, kind: .ram),
      MemoryMapEntry(
        address: AddressMap.conventionalEnd, count: AddressMap.legacyHole - AddressMap.conventionalEnd, kind: .reserved),
      MemoryMapEntry(
        address: AddressMap.tables, count: AddressMap.highMemory - AddressMap.tables, kind: .reserved),
      MemoryMapEntry(address: AddressMap.highMemory, count: lowCount - AddressMap.highMemory, kind: .ram),
    ]
    if highCount > 0 { entries.append(MemoryMapEntry(address: AddressMap.fourGiB, count: highCount, kind: .ram)) }
    return entries
  }

  /// The same for a guest that finds Xen, with what it shares with it.
  var xenMap: [MemoryMapEntry] {
    [
      MemoryMapEntry(address: 0, count: AddressMap.xenGap, kind: .ram),
      MemoryMapEntry(
        address: AddressMap.xenConsole, count: AddressMap.legacyHole - AddressMap.xenConsole, kind: .reserved),
    ] + map.dropFirst(2)
  }
}

extension GuestRAM {
  /// Whether all of the segment is RAM.
  public func contains(_ segment: GuestSegment) -> Bool {
    segment.count == 0 || offset(of: segment.address.rawValue, count: segment.count) != nil
  }

  /// Copies bytes out of the guest.
  public func read(at address: GuestAddress, into destination: inout MutableSpan<UInt8>) throws(GuestMemoryError) {
    if destination.isEmpty { return }
    mapping.read(at: try place(address, destination.count, .read), into: &destination)
  }

  /// Copies bytes into the guest.
  public func write(at address: GuestAddress, from source: Span<UInt8>) throws(GuestMemoryError) {
    if source.isEmpty { return }
    mapping.write(at: try place(address, source.count, .write), from: source)
  }

  /// A 16-bit load.
  public func loadUInt16(at address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
    mapping.load(at: try place(address, 2, .read))
  }

  /// A 32-bit load.
  public func loadUInt32(at address: GuestAddress) throws(GuestMemoryError) -> UInt32 {
    mapping.load(at: try place(address, 4, .read))
  }

  /// A 64-bit load.
  public func loadUInt64(at address: GuestAddress) throws(GuestMemoryError) -> UInt64 {
    mapping.load(at: try place(address, 8, .read))
  }

  /// A 16-bit store.
  public func storeUInt16(_ value: UInt16, at address: GuestAddress) throws(GuestMemoryError) {
    mapping.store(value, at: try place(address, 2, .write))
  }

  /// A 32-bit store.
  public func storeUInt32(_ value: UInt32, at address: GuestAddress) throws(GuestMemoryError) {
    mapping.store(value, at: try place(address, 4, .write))
  }

  /// A 64-bit store.
  public func storeUInt64(_ value: UInt64, at address: GuestAddress) throws(GuestMemoryError) {
    mapping.store(value, at: try place(address, 8, .write))
  }

  /// A 16-bit load with acquire ordering; throws when `address` is odd.
  public func loadAcquiringUInt16(at address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
    guard address.isAligned(to: 2) else { throw GuestMemoryError(.atomic, address: address, count: 2) }
    return mapping.loadAcquiring(at: try place(address, 2, .atomic))
  }

  /// A 16-bit store with release ordering; throws when `address` is odd.
  public func storeReleasingUInt16(_ value: UInt16, at address: GuestAddress) throws(GuestMemoryError) {
    guard address.isAligned(to: 2) else { throw GuestMemoryError(.atomic, address: address, count: 2) }
    mapping.storeReleasing(value, at: try place(address, 2, .atomic))
  }

  @inline(__always)
  private func place(
    _ address: GuestAddress, _ count: Int, _ operation: GuestMemoryError.Operation
  ) throws(GuestMemoryError) -> Int {
    guard let offset = offset(of: address.rawValue, count: count) else {
      throw GuestMemoryError(operation, address: address, count: count)
    }
    return offset
  }
}
