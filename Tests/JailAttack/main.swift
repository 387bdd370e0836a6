internal import CAttack
internal import Hypervisor
internal import Jail
internal import Platform

// jail-attack LAYERS ATTACK [ARGUMENT]: tries one way out, from where LAYERS say: `none` outside of any jail, `filtered`
// in a monitor's jail, `unfiltered` in that jail without its filter of system calls, `landlock` behind that layer alone, and
// `tasks` in the jail with another thread.
// Exit code 0: it worked; 1: it was refused, with the error on standard output; 15: the jail ended the process.

/// What an attack came to: 0, or an error number.
func attack(_ name: String, _ argument: String) -> Int32? {
  // SAFETY: the C string lives for the call.
  switch name {
  case "open": unsafe attack_open(argument)
  case "list": unsafe attack_list(argument)
  case "connect-path": unsafe attack_connect_path(argument)
  case "connect-abstract": unsafe attack_connect_abstract(argument)
  case "connect-tcp": attack_connect_tcp(UInt16(argument) ?? 0)
  case "trace": attack_trace(Int32(argument) ?? 0)
  case "kill": attack_kill(Int32(argument) ?? 0)
  case "fork": attack_fork()
  case "execute": attack_execute()
  case "executable-memory": attack_executable_memory()
  case "executable-change": attack_executable_change()
  case "mount": unsafe attack_mount(argument)
  case "user-namespace": attack_user_namespace()
  case "become-root": attack_become_root()
  case "set-clock": attack_write_clock()
  case "ring": unsafe attack_ring(argument)
  case "nothing": 0
  default: nil
  }
}

let arguments = CommandLine.arguments
guard arguments.count >= 3 else { exitProcess(2) }
let jail = Jail.monitor(named: "attack", user: 1_900_000_077)
do throws(JailError) {
  switch arguments[1] {
  case "none": break
  case "filtered": for remark in try jail.enter() { StandardStream.output.write("\(remark)\n") }
  case "unfiltered": for remark in try jail.confine() { StandardStream.output.write("\(remark)\n") }
  case "landlock":
    let version = (try? Isolation.landlockVersion()) ?? 0
    let rules = LandlockRules(version: version)
    try? Isolation.seal()
    try? Isolation.restrict(version: version, files: rules.files, network: rules.network, scope: rules.scope)
  case "tasks":
    let thread = try? Thread("second") { MonotonicClock.sleep(milliseconds: 600_000) }
    _ = try jail.enter()
    thread?.detach()
  default: exitProcess(2)
  }
} catch {
  StandardStream.error.write("\(error)\n")
  exitProcess(16)
}
guard let code = attack(arguments[2], arguments.count > 3 ? arguments[3] : "") else { exitProcess(2) }
if code != 0 { StandardStream.output.write("\(Errno(rawValue: code))\n") }
exitProcess(code == 0 ? 0 : 1)
