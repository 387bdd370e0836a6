import Machine

extension Probe {
  /// The display adapter's extension registers (Bochs' VBE_DISPI, ports 0x1CE and 0x1CF).
  mutating func testDisplay() {
    test("vga: DISPI identifies itself and keeps a mode") { (_) throws(Verdict) in
      machine_out16(0x1CE, 0)
      let id = machine_in16(0x1CF)
      guard id != 0xFFFF else { throw .skip("no DISPI") }
      try require(id & 0xFFF0, equals: 0xB0C0, "identification")
      let mode: InlineArray<3, (UInt16, UInt16)> = [(1, 640), (2, 480), (3, 32)]
      try each(mode) { (index, value) throws(Verdict) in
        machine_out16(0x1CE, index)
        machine_out16(0x1CF, value)
        try require(machine_in16(0x1CF), equals: value, "a register of the mode")
      }
    }
  }
}
