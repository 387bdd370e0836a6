import Platform
import Storage

let help = """
  roost-storage: the guests' volumes of a live session.

  Usage:
    roost-storage activate [--manifest PATH]   bring the volumes up; what is there already stays
    roost-storage deactivate                   take them down: what the guests wrote is gone
    roost-storage status [--json]              what there is, and how full

  Options:
    --manifest PATH   the medium's manifest (default /run/roost/medium/roost/manifest.json)
    --medium PATH     where the medium is mounted (default /run/roost/medium)
    -h, --help        this text

  activate writes its result to /run/roost/storage.json, which `status` shows.
  Exit: 0 done; 1 failed, with the reason; 2 bad usage.

  Examples:
    roost-storage activate
    roost-storage status --json

  """

func run(_ arguments: ArraySlice<String>) -> Int32 {
  var rest = arguments
  guard let verb = rest.popFirst() else { return usage("what to do is missing") }
  var manifest: String?
  var medium = "/run/roost/medium"
  var json = false
  if ["-h", "--help", "help"].contains(verb) {
    print(help, terminator: "")
    return 0
  }
  while let option = rest.popFirst() {
    switch option {
    case "-h", "--help":
      print(help, terminator: "")
      return 0
    case "--manifest" where verb == "activate", "--medium" where verb == "activate":
      guard let value = rest.popFirst() else { return usage("\(option) needs a path") }
      if option == "--manifest" { manifest = value } else { medium = value }
    case "--json" where verb == "status": json = true
    default: return usage("\(verb) does not know \(option)")
    }
  }
  switch verb {
  case "activate": return activate(manifest: manifest ?? "\(medium)/roost/manifest.json", medium: medium)
  case "deactivate": return deactivate()
  case "status": return status(json: json)
  default: return usage("there is no \(verb)")
  }
}

/// Brings the volumes up and tells the appliance how it went, also if it did not.
func activate(manifest path: String, medium: String) -> Int32 {
  var state = StorageState(.failed, volumeGroup: "roost")
  var code: Int32 = 1
  do {
    let plan = try LivePlan(manifest: path, medium: medium)
    state.volumeGroup = plan.volumeGroup
    state = try LiveStorage().activate(plan)
    code = 0
  } catch {
    state.error = "\(error)"
    complain("\(error)")
  }
  do {
    try state.write()
  } catch {
    complain("\(error)")
    code = 1
  }
  for warning in state.warnings { complain("warning: \(warning)") }
  for (name, volume) in state.domains.sorted(by: { $0.key < $1.key }) {
    print("\(name): \(volume.device), \(volume.bytes >> 20) MiB")
  }
  return code
}

func deactivate() -> Int32 {
  do {
    try LiveStorage().deactivate(volumeGroup: StorageState.load()?.volumeGroup ?? "roost")
    try Files.remove(StorageState.path)
    return 0
  } catch {
    complain("\(error)")
    return 1
  }
}

func status(json: Bool) -> Int32 {
  do {
    guard let state = try StorageState.load() else {
      complain("storage was not activated (there is no \(StorageState.path)); run: roost-storage activate")
      return 1
    }
    let usage = state.state == .ready ? try LiveStorage().usage(volumeGroup: state.volumeGroup) : nil
    let report = StorageReport(storage: state, usage: usage)
    print(json ? String(decoding: try report.json(), as: UTF8.self) : report.table, terminator: "")
    return state.state == .ready ? 0 : 1
  } catch {
    complain("\(error)")
    return 1
  }
}

func usage(_ problem: String) -> Int32 {
  complain("\(problem)\n\n\(help)")
  return 2
}

func complain(_ text: String) {
  StandardStream.error.write("roost-storage: \(text)\n")
}

exitProcess(run(CommandLine.arguments.dropFirst()))
