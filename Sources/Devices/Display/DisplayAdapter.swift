internal import Synchronization

/// A VGA with the VBE extensions of Bochs, as a PCI function: what SeaBIOS's vgabios-stdvga, OVMF's QemuVideoDxe and
/// Linux's bochs-drm drive (QEMU, docs/specs/standard-vga, revision 2).
///
/// Register 0 decodes the linear framebuffer, all of display memory; register 2 decodes 4 KiB with the EDID block at 0,
/// the VGA's ports from 0x3C0 at 0x400, the DISPI registers at 0x500 and QEMU's at 0x600. `Ports`, `DispiPorts` and
/// `Window` are its fixed addresses, which it answers whatever its command register says.
///
/// Concurrency model: safe from any thread. `state` holds the registers and is held while the window reaches display
/// memory, so that latches and planes fit. The linear framebuffer needs no lock: the guest may as well write it past
/// this class. Lock order: PCI bus, then this.
public final class DisplayAdapter<Memory: DisplayMemory>: PCIFunction, @unchecked Sendable {
  private struct State: Sendable {
    var registers = VGARegisters()
    var dispi: DispiRegisters
    var configuration: PCIConfiguration
  }

  private let state: Mutex<State>
  /// Display memory.
  public let memory: Memory

  /// The adapter as a cold start leaves it, dark, with display memory as long as the linear framebuffer. Its video BIOS
  /// is fw_cfg's to hand out: there is no expansion ROM.
  public init(_ memory: Memory) {
    precondition(memory.count & (memory.count - 1) == 0 && (0x40000...0x1000_0000).contains(memory.count))
    self.memory = memory
    var configuration = PCIConfiguration(
      PCIConfiguration.Identity(
        vendor: 0x1234, device: 0x1111, revision: 2, classCode: 0x030000, subsystemVendor: 0x1AF4, subsystem: 0x1100))
    configuration.addBar(0, .memory32(prefetchable: true), count: UInt64(memory.count))
    configuration.addBar(2, .memory32(prefetchable: false), count: 4096)
    state = Mutex(State(dispi: DispiRegisters(memoryCount: memory.count), configuration: configuration))
    super.init()
  }

  // MARK: For the monitor

  /// The base address register whose window is display memory: where the guest may be given a mapping of it.
  public static var framebufferBar: Int { 0 }

  /// What the screen shows, as a copy of the registers; display memory is read when it is asked for a picture.
  public func snapshot() -> DisplaySnapshot<Memory> {
    state.withLock { DisplaySnapshot(registers: $0.registers, dispi: $0.dispi, memory: memory) }
  }

  /// Puts the adapter into text mode 3 (80 columns, 25 rows, window at 0xB8000), with an empty screen and the cursor
  /// at its upper left: what a video BIOS does before the boot loader starts, for machines that boot without one.
  public func setTextMode(font: DisplayFont) {
    state.withLock { state in
      state.registers = .textMode
      state.dispi = DispiRegisters(memoryCount: memory.count)
      VGARegisters.fillTextMemory(memory, font: font)
    }
  }

  // MARK: Fixed addresses

  /// Reads `width` bytes of the VGA's ports, `port` being 0x3B0 to 0x3DF; wider accesses are the bytes one by one.
  func readPorts(_ port: UInt16, width: AccessWidth) -> UInt64 {
    state.withLock { state in
      var value: UInt64 = 0
      for index in 0..<width.rawValue {
        value |= UInt64(state.registers.read(port: port &+ UInt16(index))) << (8 * UInt64(index))
      }
      return value
    }
  }

  /// Writes `width` bytes of the VGA's ports.
  func writePorts(_ value: UInt64, _ port: UInt16, width: AccessWidth) {
    state.withLock { state in
      for index in 0..<width.rawValue {
        state.registers.write(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))), port: port &+ UInt16(index))
      }
    }
  }

  fileprivate func readDispi(offset: UInt64) -> UInt64 {
    state.withLock { UInt64(offset == 0 ? $0.dispi.index : $0.dispi.read($0.dispi.index)) }
  }

  fileprivate func writeDispi(_ value: UInt64, offset: UInt64) {
    let value = UInt16(truncatingIfNeeded: value)
    state.withLock { state in
      if offset == 0 { state.dispi.index = value } else { writeDispi(value, to: state.dispi.index, &state) }
    }
  }

  private func writeDispi(_ value: UInt16, to register: UInt16, _ state: inout State) {
    guard state.dispi.write(value, to: register) else { return }
    // A mode begins: with zeros if wanted, and with the window at 0xA0000, to which the bank register belongs.
    if value & DispiRegisters.Enable.keepMemory == 0 {
      memory.fill(0..<min(Int(state.dispi.height) * state.dispi.stride, memory.count), with: 0)
    }
    state.registers.graphics[6] = state.registers.graphics[6] & ~0x0C | 0x05
    state.registers.sequencer[2] = 0x0F
  }

  fileprivate func readWindow(at address: Int, width: AccessWidth) -> UInt64 {
    state.withLock { state in
      var value: UInt64 = 0
      for index in 0..<width.rawValue {
        value |= UInt64(readByte(at: address + index, &state)) << (8 * UInt64(index))
      }
      return value
    }
  }

  private func readByte(at address: Int, _ state: inout State) -> UInt8 {
    guard let offset = state.registers.windowOffset(address) else { return 0xFF }
    let mask = state.dispi.isEnabled ? memory.count - 1 : 0x3FFFF
    guard state.dispi.isEnabled, state.dispi.depth != 4 else {
      return state.registers.readPlanes(at: offset + state.dispi.bankOffset, mask: mask, memory: memory)
    }
    return memory.load(at: (offset + state.dispi.bankOffset) & mask)
  }

  fileprivate func writeWindow(_ value: UInt64, at address: Int, width: AccessWidth) {
    state.withLock { state in
      for index in 0..<width.rawValue {
        writeByte(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))), at: address + index, &state)
      }
    }
  }

  private func writeByte(_ byte: UInt8, at address: Int, _ state: inout State) {
    guard let offset = state.registers.windowOffset(address) else { return }
    let mask = state.dispi.isEnabled ? memory.count - 1 : 0x3FFFF
    guard state.dispi.isEnabled, state.dispi.depth != 4 else {
      return state.registers.writePlanes(byte, at: offset + state.dispi.bankOffset, mask: mask, memory: memory)
    }
    memory.store(byte, at: (offset + state.dispi.bankOffset) & mask)
  }

  // MARK: For the bus

  /// Reads configuration space.
  public override func readConfiguration(at offset: Int, width: AccessWidth) -> UInt32 {
    state.withLock { $0.configuration.read(at: offset, width: width) }
  }

  /// Writes configuration space; true when what is decoded may have changed.
  public override func writeConfiguration(_ value: UInt32, at offset: Int, width: AccessWidth) -> Bool {
    state.withLock { $0.configuration.write(value, at: offset, width: width) }
    return (0x04..<0x06).contains(offset) || (0x10..<0x28).contains(offset)
  }

  /// Lends configuration space.
  public override func withConfiguration(_ body: (inout PCIConfiguration) -> Void) {
    state.withLock { body(&$0.configuration) }
  }

  /// Lets the function decode; it has no interrupt.
  public override func enable(interruptLine: UInt8) {
    withConfiguration { $0.command |= PCIConfiguration.Command.io | PCIConfiguration.Command.memory }
  }

  /// Reads in a window.
  public override func read(bar: Int, offset: UInt64, width: AccessWidth) -> UInt64 {
    switch bar {
    case 0:
      var value: UInt64 = 0
      for index in 0..<width.count {
        value |= UInt64(memory.load(at: Int(truncatingIfNeeded: offset &+ index) & (memory.count - 1))) << (8 * index)
      }
      return value
    case 2: return readRegisters(at: offset, width: width)
    default: return width.mask
    }
  }

  private func readRegisters(at offset: UInt64, width: AccessWidth) -> UInt64 {
    switch offset {
    case 0x000..<0x400:
      var value: UInt64 = 0
      for index in 0..<width.count {
        let position = Int(truncatingIfNeeded: offset &+ index)
        let byte = position < DisplayIdentification.block.count ? DisplayIdentification.block[position] : 0
        value |= UInt64(byte) << (8 * index)
      }
      return value
    case 0x400..<0x420: return readPorts(UInt16(0x3C0 + offset - 0x400), width: width)
    case 0x500..<0x516:
      let register = UInt16(offset - 0x500) / 2
      return state.withLock { UInt64($0.dispi.read(register)) } >> (8 * (offset & 1)) & width.mask
    case 0x600: return 8  // length of these registers
    case 0x604: return 0x1E1E_1E1E  // little-endian, and no other
    default: return 0
    }
  }

  /// Writes in a window.
  public override func write(_ value: UInt64, bar: Int, offset: UInt64, width: AccessWidth) {
    switch (bar, offset) {
    case (0, _):
      for index in 0..<width.count {
        memory.store(
          UInt8(truncatingIfNeeded: value >> (8 * index)),
          at: Int(truncatingIfNeeded: offset &+ index) & (memory.count - 1))
      }
    case (2, 0x400..<0x420): writePorts(value, UInt16(0x3C0 + offset - 0x400), width: width)
    case (2, 0x500..<0x516) where offset & 1 == 0 && width != .byte:
      state.withLock { writeDispi(UInt16(truncatingIfNeeded: value), to: UInt16(offset - 0x500) / 2, &$0) }
    default: break
    }
  }
}

extension DisplayAdapter {
  /// The VGA's ports from `base`: attach it at 0x3B4 (2), 0x3BA (1), 0x3C0 (16), 0x3D4 (2) and 0x3DA (1).
  public struct Ports: BusDevice, Sendable {
    private let adapter: DisplayAdapter
    private let base: UInt16

    /// The ports of `adapter` of which `base` is offset 0.
    public init(_ adapter: DisplayAdapter, base: UInt16) {
      self.adapter = adapter
      self.base = base
    }

    /// Reads the register at `offset`.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      adapter.readPorts(base &+ UInt16(truncatingIfNeeded: offset), width: width)
    }

    /// Writes the register at `offset`.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      adapter.writePorts(value, base &+ UInt16(truncatingIfNeeded: offset), width: width)
    }
  }

  /// The index and data ports of the VBE extensions: attach it at 0x1CE (3); 0x1CF and 0x1D0 are both data.
  public struct DispiPorts: BusDevice, Sendable {
    private let adapter: DisplayAdapter

    /// The ports of `adapter`.
    public init(_ adapter: DisplayAdapter) {
      self.adapter = adapter
    }

    /// Reads the register at `offset`.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      adapter.readDispi(offset: offset)
    }

    /// Writes the register at `offset`; registers have 16 bits, and narrower writes are none.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      if width != .byte { adapter.writeDispi(value, offset: offset) }
    }
  }

  /// The window onto display memory: attach it at 0xA0000 (0x20000).
  public struct Window: BusDevice, Sendable {
    private let adapter: DisplayAdapter

    /// The window of `adapter`.
    public init(_ adapter: DisplayAdapter) {
      self.adapter = adapter
    }

    /// Reads memory at `offset`.
    public func read(at offset: UInt64, width: AccessWidth) -> UInt64 {
      adapter.readWindow(at: Int(truncatingIfNeeded: offset & 0x1FFFF), width: width)
    }

    /// Writes memory at `offset`.
    public func write(_ value: UInt64, at offset: UInt64, width: AccessWidth) {
      adapter.writeWindow(value, at: Int(truncatingIfNeeded: offset & 0x1FFFF), width: width)
    }
  }
}
