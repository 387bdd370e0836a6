/// One 8237A: four channels behind sixteen registers (Intel 8237A, 231466-005, "Register Description").
struct DMAController: Sendable {
  /// Which way a device moves data.
  enum Direction: Sendable {
    case toMemory, fromMemory
  }

  /// Bytes that one step moves: consecutive addresses within the 64 KiB of a page.
  struct Run: Hashable, Sendable {
    var address: UInt16
    var count: Int
    /// False for a verify transfer, which only counts.
    var touchesMemory: Bool
  }

  private struct Channel: Sendable {
    var baseAddress: UInt16 = 0
    var baseCount: UInt16 = 0
    var address: UInt16 = 0
    /// One less than what is left.
    var count: UInt16 = 0
    var mode: UInt8 = 0
  }

  /// Mode register bits.
  private enum Mode {
    static let decrement: UInt8 = 0x20
    static let automatic: UInt8 = 0x10
  }

  private var channels = [Channel](repeating: Channel(), count: 4)
  private var command: UInt8 = 0
  private var mask: UInt8 = 0x0F
  /// Channels that have reached terminal count since the status was read.
  private var terminal: UInt8 = 0
  /// The next byte of an address or count is the upper one.
  private var isUpper = false

  // MARK: Transfers

  /// The next bytes of a device on `channel`, at most `limit`; nil when the channel does not serve it.
  func run(_ channel: Int, _ direction: Direction, limit: Int) -> Run? {
    let state = channels[channel]
    // The controller is off; the channel is masked; it is the cascade's.
    guard command & 0x04 == 0, mask & 1 << UInt8(channel) == 0, state.mode >> 6 != 3 else { return nil }
    switch (state.mode >> 2 & 3, direction) {
    case (0, _), (1, .toMemory), (2, .fromMemory): break
    default: return nil
    }
    // Downwards goes byte by byte; upwards as far as the page.
    let span = state.mode & Mode.decrement != 0 ? 1 : 0x1_0000 - Int(state.address)
    let count = min(limit, min(Int(state.count) + 1, span))
    return Run(address: state.address, count: count, touchesMemory: state.mode >> 2 & 3 != 0)
  }

  /// `count` bytes of a run were moved. True at terminal count.
  mutating func moved(_ channel: Int, _ count: Int) -> Bool {
    let step = UInt16(truncatingIfNeeded: count)
    let isTerminal = count > Int(channels[channel].count)
    channels[channel].address =
      channels[channel].mode & Mode.decrement != 0
      ? channels[channel].address &- step : channels[channel].address &+ step
    channels[channel].count &-= step
    guard isTerminal else { return false }
    terminal |= 1 << UInt8(channel)
    if channels[channel].mode & Mode.automatic != 0 {
      channels[channel].address = channels[channel].baseAddress
      channels[channel].count = channels[channel].baseCount
    } else {
      mask |= 1 << UInt8(channel)
    }
    return true
  }

  // MARK: Registers

  /// Reads register `index`, 0 to 15.
  mutating func read(_ index: Int) -> UInt8 {
    switch index {
    case 0...7:
      let channel = channels[index >> 1]
      let value = index & 1 == 0 ? channel.address : channel.count
      defer { isUpper.toggle() }
      return UInt8(truncatingIfNeeded: isUpper ? value >> 8 : value)
    case 8:
      defer { terminal = 0 }
      return terminal
    case 13: return 0  // temporary register, of memory-to-memory transfers
    case 15: return 0xF0 | mask
    default: return 0xFF
    }
  }

  /// Writes register `index`, 0 to 15.
  mutating func write(_ value: UInt8, _ index: Int) {
    let bit: UInt8 = 1 << (value & 3)
    switch index {
    case 0...7: writeHalf(value, index)
    case 8: command = value
    case 10: mask = value & 0x04 == 0 ? mask & ~bit : mask | bit
    case 11: channels[Int(value & 3)].mode = value
    case 12: isUpper = false
    case 13:
      command = 0
      terminal = 0
      isUpper = false
      mask = 0x0F
    case 14: mask = 0
    case 15: mask = value & 0x0F
    default: break  // software requests, of memory-to-memory transfers
    }
  }

  private mutating func writeHalf(_ value: UInt8, _ index: Int) {
    func merged(_ old: UInt16) -> UInt16 {
      isUpper ? old & 0x00FF | UInt16(value) << 8 : old & 0xFF00 | UInt16(value)
    }
    if index & 1 == 0 {
      channels[index >> 1].baseAddress = merged(channels[index >> 1].baseAddress)
      channels[index >> 1].address = channels[index >> 1].baseAddress
    } else {
      channels[index >> 1].baseCount = merged(channels[index >> 1].baseCount)
      channels[index >> 1].count = channels[index >> 1].baseCount
    }
    isUpper.toggle()
  }
}
