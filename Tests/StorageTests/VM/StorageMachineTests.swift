import Platform
import Testing

/// The volumes in a real kernel: device-mapper, thin pool, external origins, no udev. One boot, many checks; the
/// script in `GuestScript.swift` says what each does.
@Suite(.enabled(if: StorageMachine.missing == nil, "\(StorageMachine.missing ?? "")"))
struct StorageMachineTests {
  /// The names of all checks in the script, in their order.
  static let checks = guestScript.split(separator: "\n").compactMap { line -> String? in
    let words = line.split(separator: " ")
    return words.first == "check" && words.count > 2 ? String(words[1]) : nil
  }

  @Test func volumesBehave() throws {
    let log = try StorageMachine.run()
    let lines = log.split { $0.isNewline }
    var held = 0
    for check in Self.checks {
      let ok = lines.contains { $0.hasSuffix("CHECK \(check) ok") }
      if ok { held += 1 }
      #expect(ok, "\(check)")
    }
    #expect(lines.contains("CHECKS DONE"))
    #expect(Self.checks.count > 50)
    if held < Self.checks.count { Issue.record("the console's log:\n\(log)") }
  }
}
