internal import Manifest
internal import Platform

/// The program that serves the HTTP interface tells in a file what a user should know of it.
extension Daemon {
  func lookAtGateway() {
    guard manifest.api != nil else { return }
    let line = (try? Files.readText(configuration.gatewayReport))?.split(separator: "\n").first.map(String.init)
    notice(.gateway, line.map { Text.printable(String($0.prefix(400))) })
  }
}
