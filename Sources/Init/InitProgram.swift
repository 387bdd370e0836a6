internal import Platform

/// The program `roost-init`: PID 1 of the initramfs and of the control domain, and the commands that stop the appliance.
public enum InitProgram {
  private static let usage = """
    roost-init: PID 1 of Roost's initramfs (as /init) and of its control domain.

    usage: roost-init poweroff | reboot | halt

    Stops the appliance in order: guests first, then storage, then the machine. The same works under the names
    poweroff, reboot and halt.

    roost-init keep is started by the initramfs, from memory: it watches over the USB stick that the machine runs from.

    """

  /// Runs it. As PID 1 it does not return.
  ///
  /// - Parameter arguments: the program's name and what follows it.
  /// - Returns: the exit status.
  public static func run(_ arguments: [String]) -> Int32 {
    if ProcessEnvironment.processID == 1 {
      // A fault of PID 1 executes this program again, with the stage and the signal's number.
      let fault = arguments.count == 3 && arguments[0] == "/proc/self/exe" ? Int32(arguments[2]) : nil
      if fault == nil ? arguments.first == "/init" : arguments[1] == "initramfs" {
        EarlyBoot.run(fault: fault)
      }
      ControlDomain.run(fault: fault)
    }
    if arguments.dropFirst() == [StickKeeper.word] { StickKeeper.run() }
    if ["-h", "--help"].contains(arguments.dropFirst().first) {
      StandardStream.output.write(usage)
      return 0
    }
    guard let action = PowerCommand.action(arguments: arguments) else {
      StandardStream.error.write(usage)
      return 2
    }
    do throws(SystemError) {
      try PowerCommand.request(action)
      return 0
    } catch {
      StandardStream.error.write("roost-init: cannot ask PID 1 to \(action.rawValue): \(error)\n")
      return 1
    }
  }
}
