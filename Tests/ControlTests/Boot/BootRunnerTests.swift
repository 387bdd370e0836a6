@testable import Control
import Platform
import TestMachine
import Testing

/// The runner, with a shell script in QEMU's place.
@Suite("Running a machine", .ownThreads) struct BootRunnerTests {
  /// Runs `script` as QEMU, headless.
  private func run(
    _ script: String, in scratch: Scratch, readyWithin: Int?
  ) throws -> (outcome: BootOutcome, log: String) {
    try scratch.write("#!/bin/sh\n\(script)\n", to: "qemu", permissions: 0o755)
    var image = [UInt8](repeating: 0, count: 20 * 2048)
    image.replaceSubrange(32769..<32774, with: Array("CD001".utf8))
    image[32768 + 80] = 20
    try Files.write(image, to: "\(scratch.path)/a.iso")
    try scratch.write("variables", to: "vars.fd")
    var host = BootHost.capable
    host.qemu = "\(scratch.path)/qemu"
    host.firmware = .init(code: "\(scratch.path)/vars.fd", variables: "\(scratch.path)/vars.fd")
    var options = BootOptions(iso: "\(scratch.path)/a.iso")
    options.headless = true
    options.firmware = .uefi
    options.log = "\(scratch.path)/serial.log"
    options.readyWithin = readyWithin
    let outcome = try BootRunner(try BootPlan(options, host: host), report: { _ in }).run()
    return (outcome, (try? Files.readText("\(scratch.path)/serial.log")) ?? "")
  }

  /// The lines of a boot that did not get ready.
  private func lines(_ outcome: BootOutcome) -> [String] {
    guard case .notReady(let lines) = outcome else {
      Issue.record("\(outcome)")
      return []
    }
    return lines
  }

  @Test func aQEMUThatCannotStartIsQuoted() throws {
    let scratch = try Scratch()
    let (outcome, _) = try run("echo \"$0: no such machine\" >&2; exit 3", in: scratch, readyWithin: 60)
    let found = lines(outcome)
    #expect(found.first == "QEMU ended (exit code 3) before the domains were ready")
    #expect(found.contains { $0.hasSuffix("/qemu: no such machine") }, "\(found)")
    #expect(found.contains("its serial line said nothing"))
  }

  @Test func aMachineThatEndsByItselfIsNoFailureWhenNobodyWaits() throws {
    let scratch = try Scratch()
    #expect(try run("exit 0", in: scratch, readyWithin: nil).outcome == .ended)
    #expect(lines(try run("exit 1", in: scratch, readyWithin: nil).outcome).first == "QEMU failed (exit code 1)")
  }

  @Test func atTheDeadlineTheMachineAndItsChildrenAreGoneAndTheSerialLineIsShown() throws {
    let scratch = try Scratch()
    // A child of QEMU's own, and QEMU deaf to SIGTERM.
    let script = """
      trap '' TERM
      echo kernel panic > \(scratch.path)/serial.log
      sleep 300 &
      echo $$ $! > \(scratch.path)/pids
      echo "$@" > \(scratch.path)/arguments
      sleep 300
      """
    // The script is to be deaf, and to have said all, by then.
    let (outcome, log) = try run(script, in: scratch, readyWithin: 15)
    let found = lines(outcome)
    #expect(found.first?.hasPrefix("the appliance did not answer") == true, "\(found)")
    #expect(found.last == "  | kernel panic")
    #expect(log == "kernel panic\n")
    let pids = try Files.readText("\(scratch.path)/pids").split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
    #expect(pids.count == 2)
    for pid in pids { #expect(try isGone(pid), "process \(pid) is left") }
    let arguments = try Files.readText("\(scratch.path)/arguments")
    let directory = try #require(
      arguments.split(separator: "path=").dropFirst().compactMap { part in
        part.contains("control.sock") ? part.prefix { $0 != "," } : nil
      }.first)
    #expect(!Files.exists(String(directory)))
  }

  /// True when the process ended within a minute; zombies of nobody count as ended.
  private func isGone(_ pid: Int32) throws -> Bool {
    for _ in 0..<6000 {
      guard let text = try? Files.readText("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return true }
      if text[end...].dropFirst(2).first == "Z" { return true }
      MonotonicClock.sleep(milliseconds: 10)
    }
    return false
  }
}
