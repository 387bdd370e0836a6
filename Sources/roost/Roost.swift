internal import ArgumentParser

/// The command line of Roost, on the workstation and inside the appliance.
@main
struct Roost: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "roost",
    abstract: "Many operating systems in one machine, from one recipe.",
    version: "0.1.0",
    subcommands: [
      BuildCommand.self,
      BootCommand.self,
      ProvisionCommand.self,
      DoctorCommand.self,
      ListCommand.self,
      ConsoleCommand.self,
      LogCommand.self,
      ScreenshotCommand.self,
      StartCommand.self,
      StopCommand.self,
      RebootCommand.self,
      DestroyCommand.self,
      DiskCommand.self,
      StorageCommand.self,
      ScreenCommand.self,
      MosaicCommand.self,
      TopCommand.self,
      PowerOffCommand.self,
      RebootHostCommand.self,
    ])
}
