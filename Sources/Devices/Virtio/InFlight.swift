/// A queue's requests that a backend works on. Each has an id that none before it had, by which its result is told.
///
/// What a driver has left behind by a reset is still awaited, as its backend may reach the guest's memory until then.
/// A value; its device guards it.
struct InFlight<Request: Sendable>: Sendable {
  private struct Slot: Sendable {
    var id: UInt64
    var request: Request
  }

  /// For a driver that is still there.
  private var slots: [Slot?]
  /// For a driver that has reset the device meanwhile.
  private var orphans: Set<UInt64> = []
  private var occupied = 0
  private var serial: UInt64 = 0

  /// Room for `limit` requests, at most 2^16.
  init(limit: Int) {
    slots = Array(repeating: nil, count: limit)
  }

  /// Whether nothing is in flight, for this driver or one before its reset.
  var isIdle: Bool { occupied == 0 && orphans.isEmpty }

  /// Takes `request` in. Its id; nil when there is no room.
  mutating func insert(_ request: Request) -> UInt64? {
    guard let index = slots.firstIndex(where: { $0 == nil }) else { return nil }
    // The slot is in the low 16 bits, so that a completion finds it without a search.
    serial &+= 1
    let id = serial << 16 | UInt64(index)
    slots[index] = Slot(id: id, request: request)
    occupied += 1
    return id
  }

  /// Request `id` is over. Nil where it is none of this driver's: nobody is to be told.
  mutating func remove(_ id: UInt64) -> Request? {
    if orphans.remove(id) != nil { return nil }
    guard let index = index(of: id), let slot = slots[index] else { return nil }
    slots[index] = nil
    occupied -= 1
    return slot.request
  }

  /// The ids of this driver's requests that `isWanted`.
  func ids(where isWanted: (Request) -> Bool) -> [UInt64] {
    slots.compactMap { slot in slot.flatMap { isWanted($0.request) ? $0.id : nil } }
  }

  /// Changes request `id`, if it is in flight for this driver.
  mutating func update(_ id: UInt64, _ change: (inout Request) -> Void) {
    guard let index = index(of: id), var slot = slots[index] else { return }
    change(&slot.request)
    slots[index] = slot
  }

  /// The driver has reset the device: what is in flight is awaited, and told to nobody.
  mutating func abandon() {
    for index in slots.indices {
      guard let slot = slots[index] else { continue }
      orphans.insert(slot.id)
      slots[index] = nil
    }
    occupied = 0
  }

  private func index(of id: UInt64) -> Int? {
    let index = Int(id & 0xFFFF)
    return index < slots.count && slots[index]?.id == id ? index : nil
  }
}
