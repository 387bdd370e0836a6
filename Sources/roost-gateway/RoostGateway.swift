internal import Gateway
internal import Manifest
internal import Platform

/// The HTTP interface's process: opens what only the superuser may, becomes a user of its own, and serves.
@main
enum RoostGateway {
  static let usage = """
    usage: roost-gateway [options]

    Serves the HTTP interface of a Roost appliance: /v1/openapi.json describes it. PID 1 starts it as root where the
    recipe has 'api'; it opens its sockets and its key, and goes on as the user roost-gateway.

      --manifest PATH      the manifest (default: roost/manifest.json on the medium)
      --medium DIR         where the medium is mounted (default: /run/roost/medium)
      --runtime-dir DIR    sockets and generated files (default: /run/roost)
      --help               this text

    """

  struct Options {
    var manifest: String?
    var medium = "/run/roost/medium"
    var runtimeDirectory = "/run/roost"
  }

  static func main() {
    var options = Options()
    do throws(GatewayError) {
      guard try parse(Array(CommandLine.arguments.dropFirst()), into: &options) else {
        return StandardStream.output.write(usage)
      }
    } catch {
      StandardStream.error.write("roost-gateway: \(error); `roost-gateway --help` shows what there is\n")
      exitProcess(2)
    }
    do {
      try serve(options)
    } catch {
      StandardStream.error.write("roost-gateway: \(error)\n")
      exitProcess(1)
    }
  }

  static func parse(_ arguments: [String], into options: inout Options) throws(GatewayError) -> Bool {
    var rest = arguments[...]
    while let flag = rest.popFirst() {
      if flag == "--help" || flag == "-h" { return false }
      guard ["--manifest", "--medium", "--runtime-dir"].contains(flag) else {
        throw GatewayError("there is no option \(flag)")
      }
      guard let value = rest.popFirst() else { throw GatewayError("\(flag) needs a value") }
      switch flag {
      case "--manifest": options.manifest = value
      case "--medium": options.medium = value
      default: options.runtimeDirectory = value
      }
    }
    return true
  }

  private static func serve(_ options: Options) throws {
    let log: @Sendable (String) -> Void = { StandardStream.error.write("roost-gateway: \($0)\n") }
    let manifest = try ApplianceManifest.load(options.manifest ?? options.medium + ApplianceManifest.path)
    guard let api = manifest.api else { throw GatewayError("the recipe has no 'api': there is nothing to serve") }
    let directory = options.runtimeDirectory
    var doors: [Door] = []
    if let address = api.address {
      let credentials: Credentials
      if let certificate = api.certificate, let key = api.key {
        credentials = try Credentials(certificate: options.medium + certificate, key: options.medium + key)
      } else {
        let host = try Files.readText("/proc/sys/kernel/hostname").prefix { !$0.isWhitespace }
        credentials = try .selfSigned(in: "\(directory)/gateway", names: [String(host), "localhost"])
        let notice = "the HTTP interface has a certificate with the SHA-256 fingerprint \(credentials.fingerprint)"
        log(notice)
        try Files.replace("\(directory)/gateway.notices", with: Array("\(notice)\n".utf8))
      }
      let listener = try InternetSocket.listen(address: address.address.rawValue, port: address.port, backlog: 256)
      doors.append(Door(descriptor: listener.release(), needsToken: true, credentials: credentials))
    }
    let local = try UnixSocket.listen("\(directory)/http.sock", permissions: 0o600, backlog: 256)
    doors.append(Door(descriptor: local.release(), needsToken: false))
    // While there is one thread: one that had ended would keep its rights, and the process with it.
    try CurrentProcess.become(user: GatewayAccount.id, group: GatewayAccount.id)
    let gateway = Gateway(controlSocket: "\(directory)/gateway.sock", tokens: api.tokens, log: log)
    let opened = doors
    Task.detached {
      do {
        try await gateway.run(opened)
        exitProcess(0)
      } catch {
        log("\(error)")
        exitProcess(1)
      }
    }
    // The others do the work.
    while true { MonotonicClock.sleep(milliseconds: 3_600_000) }
  }
}
