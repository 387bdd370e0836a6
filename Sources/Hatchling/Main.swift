import Machine

/// The program, entered from boot.S with the physical address of the start info structure.
@c(machine_main)
func main(_ startInfoAddress: UInt32) {
  let clock = Clock()
  let startInfo = StartInfo(address: UInt64(startInfoAddress))
  var console = Console()
  Interrupts.start()

  console.write(line: "\nHatchling: a bare-metal guest in Embedded Swift, entered by PVH")
  if !startInfo.isValid { console.write(line: "The loader gave no start info structure.") }
  console.write(line: "Memory:")
  console.writeMemoryMap(startInfo)
  console.write(line: "Type help for the commands.\n")

  var shell = Shell(
    console: console, clock: clock, startInfo: startInfo, acpi: ACPI(rootPointer: startInfo.rootPointer))
  shell.obeyWords(at: startInfo.commandLine)
  shell.run()
}

/// An exception in this program: entered from boot.S, which stops the processor afterwards.
@c(machine_fault)
func fault(_ vector: UInt32, _ errorCode: UInt32, _ instruction: UInt32) {
  var console = Console()
  console.write("\nhatchling: exception ")
  console.write(decimal: UInt64(vector))
  console.write(", error code 0x")
  console.write(hex: UInt64(errorCode), digits: 8)
  console.write(", at 0x")
  console.write(hex: UInt64(instruction), digits: 8)
  console.write(line: "; stopped")
}
