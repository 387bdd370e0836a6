internal import Commands

RoostCommands.run(CommandLine.arguments.dropFirst())
