import Platform
import Testing

@testable import Jail

/// What a monitor that was taken over would try, from where it would try it: a program goes into the very jail of a
/// monitor and makes one attempt.
@Suite("Ways out of the jail", .enabled(if: JailHost.isRoot, JailHost.reason))
struct AttackTests {
  private func attempt(_ attack: Attack, _ layers: String, _ prey: Prey) throws -> Outcome {
    try Outcome(
      [JailHost.program("jail-attack"), layers, attack.name, prey.argument(attack.target)],
      newProcessNamespace: layers == "filtered" || layers == "unfiltered")
  }

  @Test("Outside of a jail each of them works, or the tests that follow would prove nothing", arguments: Attack.all)
  func free(attack: Attack) throws {
    let prey = try Prey()
    let outcome = try attempt(attack, "none", prey)
    #expect(outcome.status == .exited(0), "\(outcome.output)\(outcome.errors)")
    if attack.name == "kill" { #expect(try prey.process.wait() == .killed(signal: Signal.kill)) }
  }

  @Test("In the jail each ends the process, and the line names the call", arguments: Attack.all)
  func jailed(attack: Attack) throws {
    let prey = try Prey()
    let outcome = try attempt(attack, "filtered", prey)
    #expect(outcome.status == .exited(Jail.violation), "\(outcome.status) \(outcome.output)")
    let line = "roost-vmm: attack: it called \(attack.call), which it must not (arguments 0x"
    #expect(outcome.errors.hasPrefix(line) && outcome.errors.hasSuffix(")\r\n"), "\(outcome.errors)")
    #expect(try prey.process.poll() == nil)
  }

  @Test(
    "Without the filter of system calls the other layers refuse it", arguments: Attack.all.filter(\.hasSecondLayer))
  func unfiltered(attack: Attack) throws {
    let prey = try Prey()
    let outcome = try attempt(attack, "unfiltered", prey)
    #expect(outcome.status == .exited(1) && !outcome.output.isEmpty, "\(outcome.status) \(outcome.errors)")
    #expect(try prey.process.poll() == nil)
  }

  @Test("Landlock alone refuses what its version knows", arguments: Attack.all.filter { $0.landlock != nil })
  func landlock(attack: Attack) throws {
    let needed = try #require(attack.landlock)
    guard JailHost.landlock >= needed else {
      try Test.cancel("skipped: this kernel's Landlock is of version \(JailHost.landlock), and \(needed) is needed")
    }
    let prey = try Prey()
    let outcome = try attempt(attack, "landlock", prey)
    #expect(outcome.status == .exited(1) && !outcome.output.isEmpty, "\(outcome.status) \(outcome.errors)")
    #expect(try prey.process.poll() == nil)
  }

  @Test("Who has done nothing wrong goes on")
  func harmless() throws {
    let outcome = try Outcome([JailHost.program("jail-attack"), "filtered", "nothing"], newProcessNamespace: true)
    #expect(outcome.status == .exited(0) && outcome.errors.isEmpty, "\(outcome.errors)")
    if JailHost.landlock == 0 { #expect(outcome.output.contains("has no Landlock")) }
  }

  @Test("A process that has another thread, or is not alone in its namespace, is not let in")
  func refusals() throws {
    let program = JailHost.program("jail-attack")
    let threads = try Outcome([program, "tasks", "nothing"], newProcessNamespace: true)
    #expect(threads.status == .exited(16))
    #expect(threads.errors == "the jail is for a process of one thread, and this has 2\n")
    let shared = try Outcome([program, "filtered", "nothing"], newProcessNamespace: false)
    #expect(shared.status == .exited(16) && shared.errors.contains("namespace of process ids"), "\(shared.errors)")
  }
}
