internal import Commands
internal import Control
internal import Init
internal import Platform
internal import StorageCommands

/// The programs of the control domain in one file, which is smaller than four with a Swift runtime in each: the name that
/// it is started by says which one it is, or else its first argument.
enum Program: String, CaseIterable {
  case roost
  case roostd
  case initial = "roost-init"
  case storage = "roost-storage"
}

let usage = """
  roost-appliance: the programs of Roost's control domain in one file.

  usage: roost-appliance \(Program.allCases.map(\.rawValue).joined(separator: " | ")) [arguments]

  A link with a program's name is that program. `roost-appliance roostd --help` says what roostd takes.

  """

/// `name` is what it is called by.
func run(_ program: Program, as name: String, _ arguments: ArraySlice<String>) -> Never {
  switch program {
  case .roost: RoostCommands.run(arguments)
  case .roostd: exitProcess(DaemonProgram.run(arguments))
  case .initial: exitProcess(InitProgram.run([name] + arguments))
  case .storage: exitProcess(StorageCommands.run(arguments))
  }
}

let arguments = CommandLine.arguments
let path = arguments.first ?? ""
let name = path.split(separator: "/").last.map(String.init) ?? ""
if ProcessEnvironment.processID == 1 || PowerAction(rawValue: name) != nil {
  run(.initial, as: path, arguments.dropFirst())
} else if let program = Program(rawValue: name) {
  run(program, as: path, arguments.dropFirst())
} else if let program = arguments.dropFirst().first.flatMap(Program.init(rawValue:)) {
  run(program, as: program.rawValue, arguments.dropFirst(2))
} else if ["-h", "--help"].contains(arguments.dropFirst().first) {
  StandardStream.output.write(usage)
} else {
  StandardStream.error.write(usage)
  exitProcess(2)
}
