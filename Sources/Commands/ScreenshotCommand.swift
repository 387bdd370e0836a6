internal import ArgumentParser
internal import Control
internal import Platform

/// `roost screenshot NAME FILE`
struct ScreenshotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "screenshot", abstract: "Save a picture of a domain's screen.",
    discussion: """
      The picture is a PNG. Domains have a screen with 'display: vga' in the recipe, and where they boot by firmware.

      Examples:
        roost screenshot windows screen.png
        roost screenshot windows screen.png --host root@lab-01
      """)

  @Argument(help: "The domain's name; `roost list` shows them.", completion: .domains)
  var name: String
  @Argument(help: "Where the picture goes; - for standard output.", completion: .file(extensions: ["png"]))
  var file: String
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let link = try appliance.link()
      let domain = try appliance.domain(name, of: try appliance.connect(link))
      guard domain.screen != nil else {
        throw ControlError(.wrongState, "\(name) has no screen; write 'display: vga' in its recipe")
      }
      guard domain.state.isLive else {
        throw ControlError(.wrongState, "\(name) is not running; `roost start \(name)` starts it")
      }
      let capture = try ScreenCapture(of: domain, by: link)
      let picture = try capture.png()
      do throws(SystemError) {
        if file == "-" {
          try StandardStream.output.writeAll(picture)
        } else {
          try Files.replace(file, with: picture)
          StandardStream.output.write("\(file): \(capture.width) by \(capture.height) pixels\n")
        }
      } catch {
        throw ControlError(.system, "the picture cannot be written: \(error)")
      }
    }
  }
}
