import Machine

/// The program, entered from boot.S with the physical address of the start info structure: probes the machine from
/// inside, reports as TAP version 13 on COM1, and switches off. A machine that failed is reset instead, so that the
/// monitor's exit status tells. With `rates` on the command line it measures instead.
@c(machine_main)
func main(_ startInfoAddress: UInt32) {
  let startInfo = StartInfo(address: UInt64(startInfoAddress))
  let acpi = ACPI(rootPointer: startInfo.rootPointer)
  machine_load_interrupt_table()
  var probe = Probe(startInfo: startInfo, acpi: acpi)
  if startInfo.hasWord("rates") {
    if var rates = Rates(probe) { rates.run() }
    Power.off(acpi)
    return
  }
  probe.testProcessor()
  probe.testTables()
  probe.testTimers()
  probe.testLegacyChips()
  probe.testPCI()
  probe.testDiskController()
  probe.testDisplay()
  probe.testGigabitAdapter()
  probe.testVirtioTransports()
  probe.testVirtioLegacy()
  probe.testBlock()
  probe.testBlockInterrupts()
  probe.testHostileBlock()
  probe.testEntropy()
  let isSound = probe.finish()
  if isSound { Power.off(acpi) }
  Power.reset(acpi)
}

/// An exception in this program: entered from boot.S, which stops the processor afterwards.
@c(machine_fault)
func fault(_ vector: UInt32, _ errorCode: UInt32, _ instruction: UInt32) {
  var console = Console()
  console.write("\nBail out! exception ")
  console.write(decimal: UInt64(vector))
  console.write(", error code 0x")
  console.write(hex: UInt64(errorCode), digits: 8)
  console.write(", at 0x")
  console.write(hex: UInt64(instruction), digits: 8)
  console.write("\n")
  console.drain()
  Power.reset(nil)
}
