internal import Synchronization

/// An ATA channel with up to two drives: the command block, the control block, and its half of the bus master
/// (ATA/ATAPI-6; Programming Interface for Bus Master IDE Controller 1.0).
///
/// Concurrency model: safe from any thread. `state` holds everything that changes and is held while a drive's store is
/// read or written and while the interrupt line is set. Lock order: the function's configuration space is never locked
/// with it.
public final class ATAChannel<Store: SectorStore, Line: InterruptLine, Memory: GuestMemory>: Sendable {
  private let state: Mutex<ATAChannelState<Store>>
  private let line: Line
  private let memory: Memory

  /// A channel.
  ///
  /// - Parameters:
  ///   - drives: device 0 and device 1.
  ///   - interrupt: the wire of INTRQ.
  ///   - memory: the guest's RAM.
  public init(_ drives: (ATADrive<Store>, ATADrive<Store>), interrupt: Line, memory: Memory) {
    state = Mutex(ATAChannelState(drives.0, drives.1))
    line = interrupt
    self.memory = memory
  }

  private func withState<Result: Sendable>(_ body: (inout ATAChannelState<Store>) -> Result) -> Result {
    state.withLock { state in
      let result = body(&state)
      state.settle(line)
      return result
    }
  }

  // MARK: The disc of a CD-ROM drive

  /// Puts a disc into drive `number` (0 or 1) and closes its tray; nil takes it out. False when it is no such drive.
  @discardableResult
  public func insert(_ store: Store?, drive number: Int) -> Bool {
    state.withLock { state in
      guard state.places.indices.contains(number), case .cdrom(var drive) = state.places[number].drive else {
        return false
      }
      drive.insert(store)
      state.places[number].drive = .cdrom(drive)
      return true
    }
  }

  // MARK: The command and control blocks

  /// Reads the command block: eight ports, of which the first is the data port.
  func readCommand(at offset: UInt64, width: AccessWidth) -> UInt64 {
    withState { state in
      guard offset == 0 else {
        var value: UInt64 = 0
        for index in 0..<width.count where offset &+ index < 8 {
          value |= UInt64(state.read(Int(offset &+ index))) << (8 * index)
        }
        return value
      }
      // The chip makes word cycles of whatever the width is.
      var value: UInt64 = 0
      for index in 0..<max(1, width.count / 2) { value |= UInt64(state.readWord()) << (16 * index) }
      return value
    }
  }

  /// Writes the command block.
  func writeCommand(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    withState { state in
      guard offset == 0 else {
        for index in 0..<width.count where offset &+ index < 8 {
          let byte = UInt8(truncatingIfNeeded: value >> (8 * index))
          if offset &+ index == 7 { state.execute(byte) } else { state.write(byte, Int(offset &+ index)) }
        }
        return state.runBusMaster(memory)
      }
      for index in 0..<max(1, width.count / 2) {
        state.writeWord(UInt16(truncatingIfNeeded: value >> (16 * index)))
      }
      // The last word of a packet may have begun a transfer of the bus master.
      state.runBusMaster(memory)
    }
  }

  /// Reads words from the data port into `destination`, whose length is even.
  func readData(into destination: inout MutableSpan<UInt8>) {
    state.withLock { state in
      state.readWords(into: &destination)
      state.settle(line)
    }
  }

  /// Writes the words in `source`, whose length is even, to the data port.
  func writeData(_ source: Span<UInt8>) {
    withState { state in
      state.writeWords(source)
      state.runBusMaster(memory)
    }
  }

  /// Reads the alternate status register.
  func readControl() -> UInt8 {
    state.withLock { $0.alternateStatus }
  }

  /// Writes the device control register.
  func writeControl(_ value: UInt8) {
    withState { $0.writeControl(value) }
  }

  // MARK: The bus master

  /// Reads the channel's eight ports of the bus master.
  func readBusMaster(at offset: UInt64, width: AccessWidth) -> UInt64 {
    state.withLock { state in
      var value: UInt64 = 0
      for index in 0..<width.count { value |= UInt64(state.busMaster.read(at: offset &+ index)) << (8 * index) }
      return value
    }
  }

  /// Writes the channel's eight ports of the bus master.
  func writeBusMaster(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
    withState { state in
      for index in 0..<width.count {
        state.busMaster.write(UInt8(truncatingIfNeeded: value >> (8 * index)), at: offset &+ index)
      }
      state.runBusMaster(memory)
    }
  }

  /// Lets the channel be bus master, or not.
  func setBusMaster(_ isEnabled: Bool) {
    withState { state in
      state.busMaster.isEnabled = isEnabled
      state.runBusMaster(memory)
    }
  }
}

extension ATAChannel {
  /// One of the channel's two blocks of ports, for the machine's port bus.
  public struct Ports: BusDevice, Sendable {
    /// Which ports.
    public enum Block: Sendable {
      /// Eight ports: data, error and features, count, address, device, status and command.
      case command
      /// One port: alternate status and device control.
      case control
    }

    /// The channel.
    public let channel: ATAChannel
    /// Which of its ports.
    public let block: Block

    /// Ports of `channel`.
    public init(_ channel: ATAChannel, _ block: Block) {
      self.channel = channel
      self.block = block
    }

    /// Reads the register at `offset`.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      switch block {
      case .command: channel.readCommand(at: offset, width: width)
      case .control: UInt64(channel.readControl())
      }
    }

    /// Writes the register at `offset`.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      switch block {
      case .command: channel.writeCommand(value, at: offset, width: width)
      case .control: channel.writeControl(UInt8(truncatingIfNeeded: value))
      }
    }

    /// The data port in one go; other ports access by access.
    public func readRun(at offset: UInt64, width: AccessWidth, into destination: inout MutableSpan<UInt8>) {
      guard block == .command, offset == 0, width != .byte else {
        return readSingly(at: offset, width: width, into: &destination)
      }
      channel.readData(into: &destination)
    }

    /// The data port in one go; other ports access by access.
    public func writeRun(_ source: Span<UInt8>, at offset: UInt64, width: AccessWidth) {
      guard block == .command, offset == 0, width != .byte else {
        return writeSingly(source, at: offset, width: width)
      }
      channel.writeData(source)
    }
  }
}
