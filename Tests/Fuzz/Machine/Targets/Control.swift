import Fuzzing

@testable import Hypervisor

extension FuzzTarget {
  /// A client of the control socket: an input is what it sends, in pieces of the length that the first byte says. Each
  /// request is answered, some of them later.
  static let control = FuzzTarget(
    "control",
    seeds: {
      let lines = [
        "status", "pause", "resume", "resize debian", "attach /dev/roost/data,id=data,ro", "detach data", "memory",
        "memory 536870912", "statistics", "", "what",
        String(repeating: "x", count: ControlSession.lineLimit + 1),
      ]
      return [[1] + Array(lines.joined(separator: "\n").utf8)] + lines.map { [0] + Array($0.utf8) + [0x0A] }
    },
    run: { input in
      let piece = max(1, Int(input.byte()) * 16)
      var session = ControlSession()
      while !input.isEmpty {
        session.receive(input.take(piece))
        // Busy requests of two kinds are answered with the next piece only.
        session.isBusy = false
        while let next = session.next() {
          var answer = ControlAnswer.ok()
          do throws(ArgumentError) {
            switch try next.get() {
            case .pause, .detach: session.isBusy = true
            case .resize(let id): answer = .ok(id)
            case .attach(let disk):
              precondition(!disk.path.isEmpty && (1...20).contains(disk.identifier.utf8.count) && disk.bus == .scsi)
            case .setMemory(let bytes): precondition(bytes > 0 && bytes % (1 << 20) == 0)
            case .setProcessors(let count): precondition(count > 0)
            case .status, .resume, .memory, .statistics: break
            }
          } catch {
            answer = .error("\(error)")
          }
          let line = answer.line
          precondition(line.last == 0x0A && line.dropLast().allSatisfy { (0x20...0x7E).contains($0) })
          precondition(line.count < 3 * ControlSession.lineLimit)
        }
      }
    })
}
