internal import Init
internal import Platform

exitProcess(InitProgram.run(CommandLine.arguments))
