internal import Synchronization

/// The two 8237A DMA controllers of the PC AT with their page registers (Intel 8237A, 231466-005; IBM PC AT Technical
/// Reference, 1984, "DMA"). Devices use channels 0 to 3, which move bytes; channels 4 to 7 have registers only.
///
/// Concurrency model: safe from any thread. A device calls it with its own lock held; it calls no device.
public final class ISADMA<Memory: GuestMemory>: Sendable {
  private struct State: Sendable {
    var controllers = [DMAController(), DMAController()]
    /// Ports 0x80 to 0x8F. The first is where firmware shows how far it has come.
    var pages = [UInt8](repeating: 0, count: 16)
  }

  private let state = Mutex(State())
  private let memory: Memory

  /// Both controllers, after reset: every channel is masked.
  public init(memory: Memory) {
    self.memory = memory
  }

  /// How far a transfer has come.
  public struct Progress: Hashable, Sendable {
    /// Bytes that were moved: 0 when the channel is masked or set for something else.
    public var count: Int
    /// Terminal count: the channel has moved all that it was set for.
    public var isTerminal: Bool
  }

  /// Index of a channel's page register (AT Technical Reference, "Page Register Addresses").
  private static func page(of channel: Int) -> Int { [7, 3, 1, 2][channel] }

  /// A device on `channel` (0 to 3) gives `bytes` to memory.
  public func move(channel: Int, toMemory bytes: Span<UInt8>) -> Progress {
    state.withLock { state in
      var moved = 0
      while moved < bytes.count {
        guard let run = state.controllers[0].run(channel & 3, .toMemory, limit: bytes.count - moved) else { break }
        let page = UInt64(state.pages[Self.page(of: channel & 3)]) << 16
        if run.touchesMemory {
          // What is no RAM takes nothing, and the channel goes on.
          try? memory.write(
            at: GuestAddress(page | UInt64(run.address)), from: bytes.extracting(moved..<(moved + run.count)))
        }
        moved += run.count
        if state.controllers[0].moved(channel & 3, run.count) { return Progress(count: moved, isTerminal: true) }
      }
      return Progress(count: moved, isTerminal: false)
    }
  }

  /// A device on `channel` (0 to 3) takes bytes from memory; what is no RAM reads as ones.
  public func move(channel: Int, fromMemory bytes: inout MutableSpan<UInt8>) -> Progress {
    var progress = Progress(count: 0, isTerminal: false)
    let count = bytes.count
    let copy = state.withLock { state -> [UInt8] in
      var copy: [UInt8] = []
      while copy.count < count, !progress.isTerminal {
        guard let run = state.controllers[0].run(channel & 3, .fromMemory, limit: count - copy.count) else { break }
        let page = UInt64(state.pages[Self.page(of: channel & 3)]) << 16
        let part = try? memory.bytes(at: GuestAddress(page | UInt64(run.address)), count: run.count)
        copy += (run.touchesMemory ? part : nil) ?? Array(repeating: 0xFF, count: run.count)
        progress.isTerminal = state.controllers[0].moved(channel & 3, run.count)
      }
      return copy
    }
    for index in copy.indices { bytes[index] = copy[index] }
    progress.count = copy.count
    return progress
  }
}

extension ISADMA {
  /// One of the blocks of ports.
  public struct Ports: BusDevice, Sendable {
    /// Which ports.
    public enum Block: Sendable {
      /// Channels 0 to 3: sixteen ports from 0x00.
      case first
      /// Channels 4 to 7: 32 ports from 0xC0, of which the even ones count.
      case second
      /// Page registers: sixteen ports from 0x80.
      case pages
    }

    /// The controllers.
    public let dma: ISADMA
    /// Which of their ports.
    public let block: Block

    /// Ports of `dma`.
    public init(_ dma: ISADMA, _ block: Block) {
      self.dma = dma
      self.block = block
    }

    /// Reads the register at `offset`.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      dma.state.withLock { state in
        switch block {
        case .first: UInt64(state.controllers[0].read(Int(offset & 15)))
        case .second: offset & 1 == 0 ? UInt64(state.controllers[1].read(Int(offset >> 1 & 15))) : 0xFF
        case .pages: UInt64(state.pages[Int(offset & 15)])
        }
      }
    }

    /// Writes the register at `offset`.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      let byte = UInt8(truncatingIfNeeded: value)
      dma.state.withLock { state in
        switch block {
        case .first: state.controllers[0].write(byte, Int(offset & 15))
        case .second: if offset & 1 == 0 { state.controllers[1].write(byte, Int(offset >> 1 & 15)) }
        case .pages: state.pages[Int(offset & 15)] = byte
        }
      }
    }
  }
}
