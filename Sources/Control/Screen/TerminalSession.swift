internal import Platform

/// A terminal in raw mode for as long as something runs on it.
public enum TerminalSession {
  /// Runs `body` with the terminal `input` in raw mode, and restores its modes however that ends. `body` gets a
  /// descriptor that becomes readable when the process is asked to end by a signal.
  public static func run<Value>(
    on input: Int32, _ body: (_ stop: Int32) throws(ControlError) -> Value
  ) throws(ControlError) -> Value {
    let prepared: Prepared
    do throws(SystemError) {
      prepared = try Prepared(input)
    } catch {
      throw ControlError(.system, "cannot use this terminal: \(error)")
    }
    defer { Terminal.restore(prepared.modes, on: input) }
    return try body(prepared.signals.file.rawValue)
  }

  private final class Prepared {
    let signals: SignalDescriptor
    let modes: Terminal.Modes

    init(_ input: Int32) throws(SystemError) {
      signals = try SignalDescriptor([Signal.terminate, Signal.hangUp, Signal.interrupt])
      modes = try Terminal.makeRaw(input)
    }
  }

  /// True when PID 1 started this process: then it runs on one of the appliance's own consoles.
  public static var isStartedByInit: Bool {
    guard let text = try? Files.readText("/proc/self/stat"), let end = text.lastIndex(of: ")") else { return false }
    // Field 4, after the state, is the parent (proc(5)).
    return text[text.index(after: end)...].split(separator: " ").dropFirst().first == "1"
  }
}

/// Bytes of a console without what would steer a terminal, piece by piece.
public struct PrintableBytes {
  private var state = Text.EscapeState.text
  /// The beginning of a character whose rest comes with the next piece.
  private var held: [UInt8] = []

  /// The beginning of a console's bytes.
  public init() {}

  /// What of the next piece is to be shown.
  public mutating func show(_ bytes: [UInt8]) -> [UInt8] {
    var all = held + bytes
    let rest = Self.openEnd(of: all)
    held = Array(all.suffix(rest))
    all.removeLast(rest)
    var text = ""
    for scalar in String(decoding: all, as: UTF8.self).unicodeScalars {
      if let shown = state.take(scalar) { text.unicodeScalars.append(shown) }
    }
    return Array(text.utf8)
  }

  /// How many bytes at the end are a character that goes on (RFC 3629, section 3).
  private static func openEnd(of bytes: [UInt8]) -> Int {
    for (index, byte) in bytes.suffix(3).reversed().enumerated() where byte & 0xC0 != 0x80 {
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return length > index + 1 ? index + 1 : 0
    }
    return 0
  }
}

/// Reads a domain's log from its beginning, on through its growth and rotation.
struct LogReader {
  private let path: String
  private var offset = 0
  private var inode: UInt64?

  /// The log at `path`.
  init(path: String) {
    self.path = path
  }

  /// The next piece; empty at the present end. A log that is not there yet is empty.
  mutating func next() throws(ControlError) -> [UInt8] {
    do throws(SystemError) {
      guard let status = try Files.status(path, followingLinks: true) else { return [] }
      if status.inode != inode || status.size < offset {
        inode = status.inode
        offset = 0
      }
      let bytes = try FileDescriptor(opening: path).read(upTo: 1 << 16, at: offset)
      offset += bytes.count
      return bytes
    } catch {
      throw ControlError(.system, "cannot read the log: \(error)")
    }
  }
}

extension Overview {
  /// The domain of this name.
  public func domain(_ name: String) -> DomainStatus? {
    domains.first { $0.name == name }
  }

  /// The error for a name that no domain has, with the nearest one.
  public func unknown(_ name: String) -> ControlError {
    UnknownName.domain(name, among: domains.map(\.name))
  }
}
