import Manifest
import Platform
import Testing
@testable import Control

@Suite("The life of a domain")
struct DomainMachineTests {
  private func machine(
    onReboot: LifecycleAction = .restart, onCrash: LifecycleAction = .preserve
  ) -> DomainMachine {
    DomainMachine(readyText: "login:", readyTimeout: 60, onReboot: onReboot, onCrash: onCrash)
  }

  /// A machine that was launched at 10 as process 7.
  private func launched(
    onReboot: LifecycleAction = .restart, onCrash: LifecycleAction = .preserve
  ) -> DomainMachine {
    var machine = machine(onReboot: onReboot, onCrash: onCrash)
    #expect(machine.handle(.start, now: 10) == [.launch])
    #expect(machine.handle(.launched(pid: 7, at: 10), now: 10) == [])
    return machine
  }

  @Test("From defined to ready, with the seconds it took")
  func becomesReady() {
    var machine = machine()
    #expect(machine.state == .defined)
    #expect(machine.handle(.start, now: 10) == [.launch])
    #expect(machine.state == .starting)
    _ = machine.handle(.launched(pid: 7, at: 10.5), now: 10.6)
    #expect(machine.state == .starting && machine.pid == 7)
    _ = machine.handle(.consoleConnected, now: 10.7)
    #expect(machine.state == .running)
    _ = machine.handle(.readyTextSeen, now: 20)
    #expect(machine.state == .ready)
    #expect(machine.readySeconds == 9.5)
    #expect(machine.deadline == nil)
  }

  @Test("A panic follows on-crash, a halt is the end; both are told apart from other ends")
  func panicAndHalt() {
    var panicked = launched()
    #expect(panicked.handle(.exited(.exited(13), words: nil), now: 100) == [])
    #expect(panicked.state == .crashed && panicked.reason?.contains("panicked") == true)
    var again = launched(onCrash: .restart)
    #expect(again.handle(.exited(.exited(13), words: nil), now: 100) == [.launch])
    var halted = launched(onCrash: .restart)
    #expect(halted.handle(.exited(.exited(14), words: nil), now: 100) == [])
    #expect(halted.state == .off && halted.reason?.contains("halted") == true)
  }

  @Test("A monitor that did what it must not names it and follows on-crash; one that cannot be jailed does not start")
  func jail() {
    let words = "it called ptrace, which it must not"
    var broken = launched()
    #expect(broken.handle(.exited(.exited(15), words: words), now: 100) == [])
    #expect(broken.state == .crashed && broken.reason == "its monitor was ended: \(words)")
    var again = launched(onCrash: .restart)
    #expect(again.handle(.exited(.exited(15), words: words), now: 100) == [.launch])
    var refused = launched(onCrash: .restart)
    #expect(refused.handle(.exited(.exited(16), words: "the jail cannot be made"), now: 100) == [])
    #expect(refused.state == .failed && refused.reason == "the jail cannot be made")
  }

  @Test("Readiness that does not come is told, and still counts when it comes late")
  func readyTimeout() {
    var machine = launched()
    _ = machine.handle(.consoleConnected, now: 11)
    #expect(machine.deadline == 70)
    _ = machine.handle(.clock, now: 69)
    #expect(machine.reason == nil)
    _ = machine.handle(.clock, now: 70)
    #expect(machine.state == .running)
    #expect(machine.reason?.contains("not ready after 60 s") == true)
    _ = machine.handle(.readyTextSeen, now: 80)
    #expect(machine.state == .ready && machine.reason == nil && machine.readySeconds == 70)
  }

  @Test("Powering off ends in off, asked or not")
  func powersOff() {
    var own = launched()
    #expect(own.handle(.exited(.exited(0), words: nil), now: 30) == [])
    #expect(own.state == .off && own.reason == nil && own.pid == nil)

    for status in [ExitStatus.exited(0), .exited(130), .exited(10), .killed(signal: 9)] {
      var asked = launched()
      #expect(asked.handle(.stop, now: 20) == [.pressPowerButton])
      #expect(asked.state == .shuttingDown)
      #expect(asked.handle(.exited(status, words: nil), now: 21) == [])
      #expect(asked.state == .off, "\(status)")
    }
  }

  @Test("A power button without effect is told after a while")
  func powerButtonPatience() {
    var machine = launched()
    _ = machine.handle(.stop, now: 20)
    #expect(machine.deadline == 50)
    _ = machine.handle(.clock, now: 50)
    #expect(machine.state == .shuttingDown)
    #expect(machine.reason?.contains("destroy") == true)
    #expect(machine.handle(.destroy, now: 51) == [.kill])
    _ = machine.handle(.exited(.killed(signal: 9), words: nil), now: 52)
    #expect(machine.state == .off && machine.reason == "destroyed")
  }

  @Test("A reset follows on-reboot", arguments: [LifecycleAction.restart, .destroy, .preserve])
  func onReboot(action: LifecycleAction) {
    var machine = launched(onReboot: action)
    let effects = machine.handle(.exited(.exited(10), words: nil), now: 30)
    if action == .restart {
      #expect(effects == [.launch])
      #expect(machine.state == .starting && machine.restarts == 1)
    } else {
      #expect(effects.isEmpty)
      #expect(machine.state == .off && machine.reason?.contains(action.rawValue) == true)
    }
  }

  @Test("A crash follows on-crash", arguments: [LifecycleAction.restart, .destroy, .preserve])
  func onCrash(action: LifecycleAction) {
    for status in [ExitStatus.exited(11), .exited(12), .exited(77), .killed(signal: 11)] {
      var machine = launched(onCrash: action)
      let effects = machine.handle(.exited(status, words: "triple fault"), now: 30)
      switch action {
      case .restart: #expect(effects == [.launch] && machine.state == .starting)
      case .destroy: #expect(effects.isEmpty && machine.state == .off)
      case .preserve: #expect(effects.isEmpty && machine.state == .crashed)
      }
      if action != .restart { #expect(machine.reason?.hasSuffix(": triple fault") == true) }
    }
  }

  @Test("Bad settings and a missing KVM are failures that no policy restarts")
  func failures() {
    var usage = launched(onCrash: .restart)
    #expect(usage.handle(.exited(.exited(2), words: "no such kernel: /x"), now: 11) == [])
    #expect(usage.state == .failed && usage.reason == "no such kernel: /x")
    var kvm = launched(onCrash: .restart)
    #expect(kvm.handle(.exited(.exited(3), words: nil), now: 11) == [])
    #expect(kvm.state == .failed && kvm.reason?.contains("hardware virtualisation") == true)
  }

  @Test("Restart loops slow down and end")
  func backOff() {
    var machine = launched(onCrash: .restart)
    var now = 10.0
    var pauses: [Double] = []
    while true {
      now += 1
      var effects = machine.handle(.exited(.exited(11), words: nil), now: now)
      guard machine.state == .starting else { break }
      let before = now
      if effects.isEmpty, let deadline = machine.deadline {
        #expect(machine.pid == nil && machine.reason?.contains("starts again in") == true)
        now = deadline
        effects = machine.handle(.clock, now: now)
      }
      pauses.append(now - before)
      #expect(effects == [.launch])
      _ = machine.handle(.launched(pid: 8, at: now), now: now)
    }
    #expect(pauses == [0, 1, 2, 4, 8, 16, 32, 60])
    #expect(machine.state == .crashed && machine.reason?.contains("restarted 8 times") == true)
    #expect(machine.handle(.start, now: now) == [.launch])
    #expect(machine.restarts == 0)
  }

  @Test("A domain that ran long is restarted at once")
  func longRunsForget() {
    var machine = launched(onCrash: .restart)
    var now = 10.0
    for _ in 0..<20 {
      now += 100
      #expect(machine.handle(.exited(.exited(11), words: nil), now: now) == [.launch])
      _ = machine.handle(.launched(pid: 8, at: now), now: now)
    }
    #expect(machine.restarts == 20)
  }

  @Test("A reboot that was asked for starts again, unless it is stopped meanwhile")
  func rebootAsked() {
    var machine = launched()
    #expect(machine.handle(.reboot, now: 20) == [.pressPowerButton])
    #expect(machine.handle(.exited(.exited(0), words: nil), now: 25) == [.launch])
    #expect(machine.restarts == 0)

    var stopped = launched()
    _ = stopped.handle(.reboot, now: 20)
    #expect(stopped.handle(.stop, now: 21) == [])
    #expect(stopped.handle(.exited(.exited(0), words: nil), now: 25) == [])
    #expect(stopped.state == .off)
  }

  @Test("What waits can be stopped, and what was refused says why")
  func waitingAndRefused() {
    var waiting = machine()
    _ = waiting.handle(.start, now: 1)
    _ = waiting.handle(.wait(reason: "waits for the storage"), now: 1)
    #expect(waiting.state == .starting && waiting.reason == "waits for the storage")
    #expect(waiting.handle(.stop, now: 2) == [])
    #expect(waiting.state == .off)

    var refused = machine()
    _ = refused.handle(.start, now: 1)
    _ = refused.handle(.refused(reason: "no memory"), now: 1)
    #expect(refused.state == .failed && refused.reason == "no memory")
    #expect(refused.handle(.start, now: 2) == [.launch])
  }

  @Test("Adopted monitors run on, and end without a known code")
  func adoption() {
    var machine = machine()
    _ = machine.handle(.adopted(pid: 9, at: 5, readySeconds: 3), now: 50)
    #expect(machine.state == .ready && machine.readySeconds == 3 && machine.startedAt == 5)
    _ = machine.handle(.vanished, now: 60)
    #expect(machine.state == .off && machine.reason != nil)
  }

  @Test("Operations that make no sense are refused with the state")
  func objections() {
    var machine = machine()
    #expect(machine.objection(to: .start) == nil)
    #expect(machine.objection(to: .stop)?.contains("defined") == true)
    _ = machine.handle(.start, now: 1)
    _ = machine.handle(.launched(pid: 7, at: 1), now: 1)
    #expect(machine.objection(to: .start)?.contains("already") == true)
    #expect(machine.objection(to: .stop) == nil)
    _ = machine.handle(.stop, now: 2)
    #expect(machine.objection(to: .stop)?.contains("destroy") == true)
    #expect(machine.objection(to: .destroy) == nil)
    #expect(machine.objection(to: .reboot) != nil)
  }

  @Test("A guest that stands still keeps the time that it has left")
  func pause() {
    var machine = launched()
    _ = machine.handle(.consoleConnected, now: 11)
    _ = machine.handle(.paused, now: 20)
    #expect(machine.deadline == nil)
    _ = machine.handle(.paused, now: 25)
    _ = machine.handle(.clock, now: 100)
    #expect(machine.reason == nil)
    _ = machine.handle(.resumed, now: 120)
    #expect(machine.deadline == 170)
    _ = machine.handle(.resumed, now: 150)
    _ = machine.handle(.clock, now: 170)
    #expect(machine.reason?.contains("not ready after 60 s") == true)
    // The next run has nothing of it.
    _ = machine.handle(.paused, now: 180)
    _ = machine.handle(.exited(.exited(10), words: nil), now: 190)
    _ = machine.handle(.launched(pid: 8, at: 200), now: 200)
    #expect(machine.deadline == 260)
  }

  @Test("What has no processors cannot be paused")
  func pauseObjections() {
    var machine = machine()
    #expect(machine.objection(to: .pause)?.contains("not running") == true)
    #expect(machine.objection(to: .unpause)?.contains("not running") == true)
    _ = machine.handle(.start, now: 1)
    #expect(machine.objection(to: .pause)?.contains("starting") == true)
    _ = machine.handle(.launched(pid: 7, at: 1), now: 1)
    #expect(machine.objection(to: .pause) == nil)
    _ = machine.handle(.stop, now: 2)
    #expect(machine.objection(to: .pause)?.contains("shutting down") == true)
  }

  @Test("No order of events traps or loses its process")
  func anyOrder() {
    let events: [DomainMachine.Event] = [
      .start, .wait(reason: "w"), .launched(pid: 7, at: 0), .refused(reason: "r"), .consoleConnected, .readyTextSeen,
      .exited(.exited(10), words: nil), .exited(.exited(11), words: nil), .exited(.exited(0), words: nil), .vanished,
      .stop, .reboot, .destroy, .paused, .resumed, .clock,
    ]
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var machine = machine(onCrash: .restart)
      var now = 0.0
      for _ in 0..<100 {
        now += Double.random(in: 0..<40, using: &random)
        let event = events.randomElement(using: &random) ?? .clock
        let effects = machine.handle(event, now: now)
        if effects.contains(.launch) { #expect(machine.state == .starting && machine.pid == nil) }
        if machine.pid != nil { #expect(machine.state.isLive, "\(event)") }
        if machine.state == .ready { #expect(machine.readySeconds != nil) }
        if !machine.state.isLive { #expect(machine.deadline == nil) }
      }
    }
  }
}
