internal import ArgumentParser
internal import Manifest
internal import Platform

/// The program `roost`.
public enum RoostCommands {
  /// Runs the command that `arguments` name, and ends the process with its exit code.
  public static func run(_ arguments: ArraySlice<String>) -> Never {
    Roost.main(Array(arguments))
    exitProcess(0)
  }
}

/// The command line of Roost, on the workstation and inside the appliance.
struct Roost: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "roost",
    abstract: "Many operating systems in one machine, from one recipe.",
    discussion: """
      new, build, lock, cache, inspect, diff, boot, provision, schema, token and doctor work on this machine. All others speak \
      with an appliance's domain manager: of this machine, or by SSH of another one (--host, ROOST_HOST).

      EXAMPLES:
        roost build recipes/quickstart.yaml -o quickstart.iso
        roost list
        roost list --host root@lab-01

      \(ExitCode.table)
      """,
    version: RoostVersion.current,
    subcommands: [
      NewCommand.self,
      BuildCommand.self,
      LockCommand.self,
      CacheCommand.self,
      InspectCommand.self,
      DiffCommand.self,
      BootCommand.self,
      ProvisionCommand.self,
      SchemaCommand.self,
      TokenCommand.self,
      DoctorCommand.self,
      ListCommand.self,
      InfoCommand.self,
      ConsoleCommand.self,
      LogCommand.self,
      ScreenshotCommand.self,
      CreateCommand.self,
      RemoveCommand.self,
      StartCommand.self,
      StopCommand.self,
      RebootCommand.self,
      PauseCommand.self,
      UnpauseCommand.self,
      LimitCommand.self,
      EventsCommand.self,
      DestroyCommand.self,
      MemorySetCommand.self,
      MemoryMaximumCommand.self,
      ProcessorSetCommand.self,
      DiskCommand.self,
      StorageCommand.self,
      NetworkCommand.self,
      ScreenCommand.self,
      MosaicCommand.self,
      TopCommand.self,
      PowerOffCommand.self,
      RebootHostCommand.self,
      RelayCommand.self,
      ManualCommand.self,
    ])

  @OptionGroup var appliance: ApplianceOptions
}
