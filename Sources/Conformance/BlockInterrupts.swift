import Machine

extension Probe {
  /// How a virtio disk interrupts, seen in the local APIC's request register.
  mutating func testBlockInterrupts() {
    test("msi-x: the table is masked after reset and keeps what is written") { (_) throws(Verdict) in
      guard let disk = VirtioFunction.first(type: 2) else { throw .skip("no virtio disk") }
      let table = try MSIXTable(disk.function)
      try require(table.count >= 2, "there are vectors for a queue and for the configuration")
      try require(table.isMasked(0) && table.isMasked(table.count &- 1), "entries are masked")
      table.setMask(0, false)
      try require(!table.isMasked(0), "the mask can be cleared")
      table.setMask(0, true)
    }
    test("msi-x: a completion interrupts; a masked one is pending and comes when unmasked") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, vector: 0)
      let table = try MSIXTable(disk.function.function)
      let (first, second, third) = (try probe.takeVector(), try probe.takeVector(), try probe.takeVector())
      try table.route(0, to: first)
      table.setControl(isEnabled: true)
      try disk.read(0)
      try require(LocalAPIC.waits(for: first), "an unmasked vector is requested")
      try table.route(0, to: second)
      table.setMask(0, true)
      try disk.read(1)
      try require(LocalAPIC.staysQuiet(second), "a masked vector is not requested")
      let isPending = wait { table.isPending(0) }
      try require(isPending, "its pending bit is set")
      table.setMask(0, false)
      try require(LocalAPIC.waits(for: second), "it is requested when the mask goes")
      try require(!table.isPending(0), "its pending bit is gone")
      // The same for the whole function.
      try table.route(0, to: third)
      table.setControl(isEnabled: true, isMasked: true)
      try disk.read(0)
      try require(LocalAPIC.staysQuiet(third), "a masked function requests nothing")
      try require(table.isPending(0), "its pending bit is set")
      table.setControl(isEnabled: true)
      try require(LocalAPIC.waits(for: third), "it is requested when the function's mask goes")
      table.setControl(isEnabled: false)
      try disk.function.reset()
    }
    test("interrupts: NO_INTERRUPT is heeded") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, vector: 0)
      let table = try MSIXTable(disk.function.function)
      let (first, second) = (try probe.takeVector(), try probe.takeVector())
      table.setControl(isEnabled: true)
      try table.route(0, to: first)
      disk.ring.setNoInterrupt(true)
      try disk.read(0)
      try require(LocalAPIC.staysQuiet(first), "nothing is requested")
      disk.ring.setNoInterrupt(false)
      try table.route(0, to: second)
      try disk.read(0)
      try require(LocalAPIC.waits(for: second), "without the flag it is requested")
      table.setControl(isEnabled: false)
      try disk.function.reset()
    }
    test("event index: interrupts when the used index passes the event, and only then") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe, features: VirtioFunction.Feature.eventIndex, vector: 0)
      guard disk.function.offeredFeatures & VirtioFunction.Feature.eventIndex != 0 else { throw .skip("not offered") }
      let table = try MSIXTable(disk.function.function)
      let (first, second) = (try probe.takeVector(), try probe.takeVector())
      table.setControl(isEnabled: true)
      try table.route(0, to: first)
      try disk.read(0)
      try require(LocalAPIC.waits(for: first), "the first completion is requested")
      // used_event 3: the fourth completion passes it.
      disk.ring.setUsedEvent(3)
      try table.route(0, to: second)
      try disk.read(0)
      try disk.read(1)
      try require(LocalAPIC.staysQuiet(second), "nothing is requested before the event")
      try disk.read(0)
      try require(LocalAPIC.waits(for: second), "the completion that passes the event is requested")
      let isArmed = wait { disk.ring.availableEvent == disk.ring.nextAvailable }
      try require(isArmed, "the device asks to be told of the next buffer")
      table.setControl(isEnabled: false)
      try disk.function.reset()
    }
    test("intx: a completion sets the ISR and the status bit; reading the ISR clears both") { (probe) throws(Verdict) in
      var disk = try BlockDevice(&probe)
      let function = disk.function.function
      _ = disk.function.takeInterruptStatus()
      let command = PCI.read16(function, 0x04)
      PCI.write16(function, 0x04, command & ~(1 << 10))
      try disk.read(0)
      let isAsserted = wait { PCI.read16(function, 0x06) & 0x08 != 0 }
      try require(isAsserted, "the interrupt status bit is set")
      try require(disk.function.takeInterruptStatus(), equals: 1, "ISR status")
      try require(disk.function.takeInterruptStatus(), equals: 0, "ISR status, read again")
      try require(PCI.read16(function, 0x06) & 0x08, equals: 0, "interrupt status bit")
      PCI.write16(function, 0x04, command)
      try disk.function.reset()
    }
  }
}
