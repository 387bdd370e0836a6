internal import Platform

/// A terminal connected to a domain's console, until Ctrl-] is typed or the console closes.
public final class ConsoleSession {
  /// How a session ended.
  public enum End: Hashable, Sendable {
    /// Ctrl-] was typed.
    case left
    /// The domain's monitor closed the console.
    case closed
    /// The terminal is gone.
    case hungUp
    /// The session was told to stop by a signal.
    case stopped
  }

  /// Ctrl-].
  public static let leaveByte: UInt8 = 0x1D

  private let loop: EventLoop
  private let input: Int32
  private let output: Int32
  private var link: ConsoleLink?
  private var end: End?

  /// Connects to the console of `domain` by `link`. The terminal, raw by now, is `input` and `output`; the session does
  /// not close them.
  public init(
    _ domain: DomainStatus, by link: ApplianceLink = ApplianceLink(), input: Int32, output: Int32
  ) throws(ControlError) {
    let connection = try link.open(.console(domain))
    try connection.waitUntilOpen()
    self.input = input
    self.output = output
    do throws(SystemError) {
      loop = try EventLoop()
      self.link = try ConsoleLink(
        connection, loop: loop,
        onBytes: { [unowned self] bytes in
          if !TerminalStream.write(bytes, to: output) { end = .hungUp }
        }, onEnd: { [unowned self] in end = end ?? .closed })
    } catch {
      throw ControlError(.system, "the console session cannot start: \(error)")
    }
  }

  /// Relays until the end. `stop` is a descriptor that ends the session when it becomes readable, such as a signalfd.
  public func run(stop: Int32? = nil) throws(ControlError) -> End {
    do throws(SystemError) {
      let inputToken = try loop.watch(input, .readable) { [unowned self] _ in fromTerminal() }
      defer { loop.unwatch(inputToken) }
      var stopToken: EventLoop.Token?
      if let stop { stopToken = try loop.watch(stop, .readable) { [unowned self] _ in end = .stopped } }
      defer { loop.unwatch(stopToken) }
      try loop.run { end != nil }
    } catch {
      throw ControlError(.system, "the console session failed: \(error)")
    }
    return end ?? .closed
  }

  private func fromTerminal() {
    guard let bytes = try? TerminalStream.read(input), !bytes.isEmpty else {
      end = .hungUp
      return
    }
    guard let leave = bytes.firstIndex(of: Self.leaveByte) else {
      link?.send(bytes)
      return
    }
    link?.send(bytes[..<leave])
    end = .left
  }
}

/// Takes questions to the terminal out of a console's past: nobody waits for the answers any more, and the terminal
/// would type them into the guest. Questions are device status (CSI n), device attributes (CSI c), window reports
/// (CSI t), mode requests (CSI p), and strings (DCS, and OSC with a question mark).
struct ReplayFilter: Sendable {
  private var held: [UInt8] = []

  /// Longest sequence that is held back.
  private static let limit = 4096

  mutating func filter(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in bytes {
      guard !held.isEmpty else {
        if byte == 0x1B { held = [byte] } else { result.append(byte) }
        continue
      }
      held.append(byte)
      guard isComplete else {
        if held.count > Self.limit {
          result += held
          held = []
        }
        continue
      }
      if !isQuestion { result += held }
      held = []
    }
    return result
  }

  private var isComplete: Bool {
    guard held.count > 1, let last = held.last else { return false }
    switch held[1] {
    case UInt8(ascii: "["): return held.count > 2 && (0x40...0x7E).contains(last)
    case UInt8(ascii: "]"), UInt8(ascii: "P"), UInt8(ascii: "_"), UInt8(ascii: "^"), UInt8(ascii: "X"):
      return last == 0x07 || (held.count > 3 && last == UInt8(ascii: "\\") && held[held.count - 2] == 0x1B)
    case 0x20...0x2F: return held.count > 2 && !(0x20...0x2F).contains(last)
    default: return true
    }
  }

  private var isQuestion: Bool {
    guard held.count > 1, let last = held.last else { return false }
    switch held[1] {
    case UInt8(ascii: "["): return Array("nctp".utf8).contains(last)
    case UInt8(ascii: "P"): return true
    case UInt8(ascii: "]"): return held.contains(UInt8(ascii: "?"))
    case UInt8(ascii: "Z"): return true
    default: return false
    }
  }
}

/// A terminal's bytes, by a borrowed descriptor.
enum TerminalStream {
  /// Leaves the terminal empty, with its cursor in the upper left, for whoever comes next (ECMA-48; DECTCEM).
  static let blank = "\u{1B}[0m\u{1B}[2J\u{1B}[H\u{1B}[?25h"

  /// What was typed; empty when the terminal hung up.
  static func read(_ descriptor: Int32) throws(SystemError) -> [UInt8] {
    let file = FileDescriptor(adopting: descriptor)
    do throws(SystemError) {
      let bytes = try file.read(upTo: 4096)
      _ = file.release()
      return bytes
    } catch {
      _ = file.release()
      throw error
    }
  }

  /// False when the terminal is gone.
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    let file = FileDescriptor(adopting: descriptor)
    var rest = bytes[...]
    var isThere = true
    while isThere && !rest.isEmpty {
      do throws(SystemError) {
        rest = rest.dropFirst(try file.write(rest))
      } catch {
        if error.errno == .wouldBlock { MonotonicClock.sleep(milliseconds: 5) } else { isThere = false }
      }
    }
    _ = file.release()
    return isThere
  }
}
