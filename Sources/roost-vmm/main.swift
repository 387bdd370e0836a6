internal import Hypervisor
internal import Platform

/// Prints a line for the operator.
@Sendable func report(_ line: String) {
  StandardStream.error.write("roost-vmm: \(line)\r\n")
}

/// Runs the machine that the arguments describe; the exit status.
func runMachine() -> Int32 {
  let arguments = Array(CommandLine.arguments.dropFirst())
  if arguments.contains("--help") || arguments.contains("-h") {
    StandardStream.output.write(MachineConfiguration.help)
    return 0
  }
  Signals.ignore(Signals.brokenPipe)
  var configuration: MachineConfiguration
  do throws(ArgumentError) {
    configuration = try MachineConfiguration(arguments: arguments)
  } catch {
    report("\(error)")
    return 2
  }
  configuration.handlesSignals = true
  let name = configuration.name
  configuration.log = { report("\(name): \($0)") }
  do throws(HypervisorError) {
    let machine = try Machine(configuration)
    let outcome = try machine.run()
    switch outcome {
    case .poweredOff: return machine.wasAskedToStop ? 130 : 0
    case .reset: return 10
    case .crashed(let reason):
      report("\(name) crashed: \(reason)")
      return 11
    case .panicked:
      report("\(name) crashed: its kernel panicked")
      return 13
    case .halted:
      report("\(name) halted: all its CPUs stopped with interrupts off")
      return 14
    case .stopped: return 130
    }
  } catch {
    report("\(name): \(error)")
    return switch error.code {
    case .configuration, .image: 2
    case .noKVM: 3
    case .system, .device: 12
    case .jail: 16
    }
  }
}

exitProcess(runMachine())
