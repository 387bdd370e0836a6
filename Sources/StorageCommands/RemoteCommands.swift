internal import Manifest
internal import Platform
internal import Storage

/// `connect`, `disconnect`, `promote` and `demote`.
func remote(_ verb: String, _ words: ArraySlice<String>) throws {
  let isConnect = verb == "connect"
  let flags: Set<String> = isConnect ? ["--json", "--wipe"] : verb == "promote" ? ["--json", "--force"] : ["--json"]
  let count = isConnect ? 2 : 1
  let arguments = try Arguments(
    words, of: verb, valued: isConnect ? ["--use"] : [], known: flags, count: count...count)
  let name = arguments.plain[0]
  let storage = GuestStorage()
  let record: RemoteRecord
  switch verb {
  case "connect":
    let address = try RemoteAddress.parse(arguments.plain[1]).mapError { Arguments.Problem(text: "\($0)") }.get()
    guard let use = RemoteUse(rawValue: arguments.value("--use") ?? "disk") else {
      throw Arguments.Problem(text: "--use is disk or room")
    }
    record = try storage.connect(
      RemoteRequest(name: name, address: address, use: use), wipe: arguments.has("--wipe"), inspect: inspectApart)
  case "promote": record = try storage.promote(name, isForced: arguments.has("--force"))
  case "demote": record = try storage.demote(name)
  default:
    try storage.disconnect(name)
    if arguments.has("--json") { print("{}") }
    return
  }
  let list = RemoteList(remotes: [record])
  print(arguments.has("--json") ? String(decoding: try list.firstJSON(), as: UTF8.self) : list.table, terminator: "")
}

/// `remotes`: shows them. `remotes connect`: connects those that are not, and brings the guests' home up if it waits for
/// one of them. Fails while something is not there.
func remotes(_ words: ArraySlice<String>) throws -> Int32 {
  let arguments = try Arguments(words, of: "remotes", known: ["--json"], count: 0...1)
  let storage = GuestStorage()
  guard let verb = arguments.plain.first else {
    let list = RemoteList(remotes: try storage.remotes())
    print(arguments.has("--json") ? String(decoding: try list.json(), as: UTF8.self) : list.table, terminator: "")
    return 0
  }
  guard verb == "connect" else { throw Arguments.Problem(text: "there is no remotes \(verb)") }
  var records = try storage.connectAll(inspect: inspectApart)
  let state = try loadState()
  if !state.waitingFor.isEmpty, records.allSatisfy({ !state.waitingFor.contains($0.name) || $0.device != nil }) {
    _ = activate(try Arguments([], of: "activate", count: 0...0), isSilent: true)
    // What lives in the guests' group could not be connected before.
    if try loadState().state == .ready { records = try storage.connectAll(inspect: inspectApart) }
  }
  let list = RemoteList(remotes: records)
  print(arguments.has("--json") ? String(decoding: try list.json(), as: UTF8.self) : list.table, terminator: "")
  return records.allSatisfy { $0.device != nil } ? 0 : 1
}
