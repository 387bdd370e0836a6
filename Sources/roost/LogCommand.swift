internal import ArgumentParser
internal import Control
internal import Platform

/// `roost log NAME`
struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "Show what a domain's console has shown.",
    discussion: "On a terminal, the guest's escape sequences are left out; into a file or a pipe they go as they are.")

  @Argument(help: "The domain's name; `roost list` shows them.")
  var name: String
  @Flag(name: .shortAndLong, help: "Go on with what comes, until Ctrl-C.")
  var follow = false
  @OptionGroup var appliance: ApplianceOptions

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let domain = try appliance.domain(name, of: try appliance.connect())
      var reader = LogReader(path: domain.log, printable: Terminal.isTerminal(StandardStream.output.rawValue))
      repeat {
        let bytes = try reader.next()
        if !bytes.isEmpty {
          StandardStream.output.write(String(decoding: bytes, as: UTF8.self))
        } else if follow {
          MonotonicClock.sleep(milliseconds: 200)
        } else {
          return
        }
      } while true
    }
  }
}
