internal import Init
internal import Platform

let usage = """
  roost-init: PID 1 of Roost's initramfs (as /init) and of its control domain.

  usage: roost-init poweroff | reboot | halt

  Stops the appliance in order: guests first, then storage, then the machine. The same works under the names
  poweroff, reboot and halt.

  roost-init keep is started by the initramfs, from memory: it watches over the USB stick that the machine runs from.
  """

let arguments = CommandLine.arguments
if ProcessEnvironment.processID == 1 {
  // A fault of PID 1 executes this program again, with the stage and the signal's number.
  let fault = arguments.count == 3 && arguments[0] == "/proc/self/exe" ? Int32(arguments[2]) : nil
  if fault == nil ? arguments.first == "/init" : arguments[1] == "initramfs" {
    EarlyBoot.run(fault: fault)
  }
  ControlDomain.run(fault: fault)
}

if arguments.dropFirst() == [StickKeeper.word] { StickKeeper.run() }

if arguments.dropFirst().first == "--help" || arguments.dropFirst().first == "-h" {
  print(usage)
} else if let action = PowerCommand.action(arguments: arguments) {
  do throws(SystemError) {
    try PowerCommand.request(action)
  } catch {
    StandardStream.error.write("roost-init: cannot ask PID 1 to \(action.rawValue): \(error)\n")
    exitProcess(1)
  }
} else {
  StandardStream.error.write("\(usage)\n")
  exitProcess(2)
}
