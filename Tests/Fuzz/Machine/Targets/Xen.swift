import Fuzzing

@testable import Devices

extension FuzzTarget {
  /// A guest of Xen's: an input is a sequence of hypercalls, each with what the guest writes into its memory before, and of
  /// what is typed. Its console and its store have their pages where the guest may write anything.
  static let xen = FuzzTarget(
    "xen",
    seeds: {
      var script: [UInt8] = []
      func call(_ number: UInt8, _ command: UInt8, _ words: [UInt32]) {
        var bytes: [UInt8] = []
        for word in words { bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } }
        script += [0, UInt8(bytes.count)] + bytes + [0x00, 0x40, number, command, 1, 0, 0, 0]
      }
      call(12, 9, [128, 0x5000])
      call(12, 13, [0x7FF0, 2, 0x5000])
      for index in [1, 2, 17, 18] as [UInt32] { call(34, 1, [0x7FF0, index, 0, 0]) }
      for space in [0, 1] as [UInt32] { call(12, 7, [0x7FF0, space, 0, 6]) }
      call(20, 8, [1])
      call(20, 2, [0x7FF0, 1, 0, 0x5000])
      call(32, 4, [2])
      call(18, 0, [])
      call(17, 0, [])
      call(29, 2, [1])
      script += [1, 3, 0x61, 0x62, 0x63]
      // A message to the store, and its counter.
      script += [0, 20, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0x6E, 0x61, 0x00, 0x30, 29, 0, 0, 0, 0, 0]
      script += [0, 8, 0, 0, 0, 0, 20, 0, 0, 0, 0x00, 0x38, 29, 0, 0, 0, 0, 0]
      return [script]
    },
    run: { input in
      let memory = TestMemory(count: 1 << 17)
      let layout = XenLayout(
        consolePage: 0x2000, storePage: 0x3000, map: [.init(address: 0, count: 1 << 17, kind: 1)], tscKHz: 1_000_000,
        startTime: 0, name: "fuzz")
      let xen = XenHypercalls(memory: memory, layout: layout, console: TestSink()) { _ in }
      while !input.isEmpty {
        if input.bool() {
          let typed = input.run()
          if let taken = xen.receive(typed) { precondition((0...typed.count).contains(taken)) }
        } else {
          let written = input.run()
          let address = UInt32(truncatingIfNeeded: input.integer(2))
          try? memory.write(at: GuestAddress(UInt64(address)), from: written.span)
          let (number, command) = (UInt32(input.byte()), UInt32(input.byte()))
          _ = xen.call(number, command, address, UInt32(truncatingIfNeeded: input.integer(4)))
        }
      }
    })
}
