import Devices
import Synchronization

/// Display memory that is an array.
final class TestDisplayMemory: DisplayMemory {
  private let bytes: Mutex<[UInt8]>
  let count: Int

  init(count: Int = 1 << 20) {
    self.count = count
    bytes = Mutex([UInt8](repeating: 0, count: count))
  }

  func load(at offset: Int) -> UInt8 { bytes.withLock { $0[offset] } }
  func store(_ byte: UInt8, at offset: Int) { bytes.withLock { $0[offset] = byte } }
  func fill(_ range: Range<Int>, with byte: UInt8) {
    bytes.withLock { $0.replaceSubrange(range, with: [UInt8](repeating: byte, count: range.count)) }
  }
  func loadPlanes(at offset: Int) -> UInt32 {
    bytes.withLock {
      UInt32($0[offset]) | UInt32($0[offset + 1]) << 8 | UInt32($0[offset + 2]) << 16 | UInt32($0[offset + 3]) << 24
    }
  }
  func read(at offset: Int, into row: inout MutableSpan<UInt8>) {
    let copy = bytes.withLock { Array($0[offset..<(offset + row.count)]) }
    for index in row.indices { row[index] = copy[index] }
  }

  /// The bytes of planes 0 to 3 at `cell`.
  func planes(_ cell: Int) -> [UInt8] { bytes.withLock { Array($0[(cell * 4)..<(cell * 4 + 4)]) } }
}

/// An adapter and the places a guest reaches it at.
struct TestDisplay {
  let memory: TestDisplayMemory
  let adapter: DisplayAdapter<TestDisplayMemory>
  let window: DisplayAdapter<TestDisplayMemory>.Window
  let dispi: DisplayAdapter<TestDisplayMemory>.DispiPorts
  let ports: DisplayAdapter<TestDisplayMemory>.Ports

  init(count: Int = 1 << 20) {
    memory = TestDisplayMemory(count: count)
    adapter = DisplayAdapter(memory)
    window = DisplayAdapter.Window(adapter)
    dispi = DisplayAdapter.DispiPorts(adapter)
    ports = DisplayAdapter.Ports(adapter, base: 0x3B0)
  }

  func out(_ port: UInt64, _ value: UInt64, _ width: AccessWidth = .byte) {
    ports.write(value, at: port - 0x3B0, width: width)
  }

  func input(_ port: UInt64) -> UInt64 { ports.read(at: port - 0x3B0, width: .byte) }

  /// Sets register `index` behind an index and a data port.
  func set(_ port: UInt64, _ index: UInt64, _ value: UInt64) { out(port, value << 8 | index, .word) }

  func get(_ port: UInt64, _ index: UInt64) -> UInt64 {
    out(port, index)
    return input(port + 1)
  }

  /// Sets register `index` of the attribute controller and leaves the screen on.
  func setAttribute(_ index: UInt64, _ value: UInt64) {
    _ = input(0x3DA)
    out(0x3C0, index)
    out(0x3C0, value)
    out(0x3C0, 0x20)
  }

  func setDispi(_ register: UInt64, _ value: UInt64) {
    dispi.write(register, at: 0, width: .word)
    dispi.write(value, at: 2, width: .word)
  }

  func getDispi(_ register: UInt64) -> UInt64 {
    dispi.write(register, at: 0, width: .word)
    return dispi.read(at: 1, width: .word)
  }

  /// A mode of the VBE extensions, screen on.
  func setMode(_ width: UInt64, _ height: UInt64, _ depth: UInt64, flags: UInt64 = 0x41) {
    out(0x3C2, 0x67)
    setDispi(4, 0)
    setDispi(1, width)
    setDispi(2, height)
    setDispi(3, depth)
    setDispi(4, flags)
    _ = input(0x3DA)
    out(0x3C0, 0x20)
  }

  func poke(_ address: UInt64, _ value: UInt64, _ width: AccessWidth = .byte) {
    window.write(value, at: address - 0xA0000, width: width)
  }

  func peek(_ address: UInt64) -> UInt64 { window.read(at: address - 0xA0000, width: .byte) }

  /// Registers of a mode, as a video BIOS writes them: sequencer, CRT controller, graphics controller, attributes.
  func program(
    _ miscellaneous: UInt64, sequencer: [UInt64], crt: [UInt64], graphics: [UInt64], attributes: [UInt64]
  ) {
    out(0x3C2, miscellaneous)
    for (index, value) in sequencer.enumerated() { set(0x3C4, UInt64(index), value) }
    set(0x3D4, 0x11, 0)
    for (index, value) in crt.enumerated() { set(0x3D4, UInt64(index), value) }
    for (index, value) in graphics.enumerated() { set(0x3CE, UInt64(index), value) }
    for (index, value) in attributes.enumerated() { setAttribute(UInt64(index), value) }
  }

  /// Mode 12h: 640 by 480 in sixteen colours.
  func setPlanarMode() {
    program(
      0xE3, sequencer: [0x03, 0x01, 0x0F, 0x00, 0x06],
      crt: [
        0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xEA, 0x8C,
        0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF,
      ], graphics: [0, 0, 0, 0, 0, 0, 0x05, 0x0F, 0xFF],
      attributes: [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x01, 0x00,
        0x0F, 0x00, 0x00,
      ])
  }

  /// Mode 13h: 320 by 200 in 256 colours; `unchained` is what is known as mode X, of the same size.
  func setByteMode(unchained: Bool = false) {
    program(
      0x63, sequencer: [0x03, 0x01, 0x0F, 0x00, unchained ? 0x06 : 0x0E],
      crt: [
        0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9C, 0x8E,
        0x8F, 0x28, unchained ? 0x00 : 0x40, 0x96, 0xB9, unchained ? 0xE3 : 0xA3, 0xFF,
      ], graphics: [0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF],
      attributes: (0..<16).map { UInt64($0) } + [0x41, 0x00, 0x0F, 0x00, 0x00])
  }

  func setPalette(_ entry: UInt64, _ red: UInt64, _ green: UInt64, _ blue: UInt64) {
    out(0x3C8, entry)
    for component in [red, green, blue] { out(0x3C9, component) }
  }
}

extension Picture {
  subscript(_ x: Int, _ y: Int) -> UInt32 { pixels[y * width + x] }
}
