internal import Platform

/// The init's own log: the kernel's ring buffer, and /var/log/roost/init.log once `file` is set.
enum Log {
  /// Where the log file is, in the control domain.
  static let file = "/var/log/roost/init.log"

  /// One line.
  static func write(_ text: String) {
    let line = toKernel(text)
    guard Files.exists("/var/log/roost") else { return }
    let seconds = MonotonicClock.sinceBoot() / 1_000_000
    let stamp = "[\(seconds / 1000).\(String(1000 + seconds % 1000).dropFirst())]"
    try? FileDescriptor(opening: file, [.writeOnly, .create, .append]).writeAll(Array("\(stamp) \(line)\n".utf8))
  }
}

extension Log {
  /// One line to the kernel's ring buffer alone, which needs no file system. Returns the line.
  @discardableResult
  static func toKernel(_ text: String) -> String {
    let line = String(text.map { $0 == "\n" ? " " : $0 })
    // Nothing is left to tell of a log that fails.
    try? FileDescriptor(opening: "/dev/kmsg", .writeOnly).writeAll(Array("<6>roost-init: \(line)\n".utf8))
    return line
  }
}

/// All consoles of the kernel at once: what a human must see is written to each.
enum Consoles {
  /// Their device files, in the kernel's order; the last is the one behind /dev/console.
  static var paths: [String] {
    let names = (try? Files.readText("/sys/class/tty/console/active")) ?? ""
    let found = names.split(whereSeparator: \.isWhitespace).map { "/dev/\($0)" }
    return found.isEmpty ? ["/dev/console"] : found
  }

  /// Those on which a program can have its session: of the screen, the first virtual terminal.
  static var terminals: [String] {
    paths.map { $0 == "/dev/tty0" ? "/dev/tty1" : $0 }
  }

  /// Writes to every console. One that takes nothing for a second is passed over: a stuck serial line must not hold
  /// the machine up.
  static func write(_ text: String) {
    for path in paths {
      guard let file = try? FileDescriptor(opening: path, [.writeOnly, .noControllingTerminal, .nonBlocking]) else {
        continue
      }
      var rest = Array(text.utf8)[...]
      var patience = 100  // times 10 ms
      while !rest.isEmpty, patience > 0 {
        do throws(SystemError) {
          rest = rest.dropFirst(try file.write(rest))
        } catch {
          if error.errno != .wouldBlock { break }
          patience -= 1
          MonotonicClock.sleep(milliseconds: 10)
        }
      }
    }
  }

  /// A line on every console and in the log.
  static func say(_ text: String) {
    write("Roost: \(text)\n")
    Log.write(text)
  }
}
