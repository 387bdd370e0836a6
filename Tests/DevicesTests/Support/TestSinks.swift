import Devices
import Synchronization

/// Collects what a device prints.
final class TestSink: ByteSink {
  private let collected = Mutex<[UInt8]>([])

  func write(_ byte: UInt8) {
    collected.withLock { $0.append(byte) }
  }

  var bytes: [UInt8] { collected.withLock { $0 } }
  var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// A wire that remembers.
final class TestLine: InterruptLine {
  private let levels = Mutex<[Bool]>([])

  func set(_ asserted: Bool) {
    levels.withLock { $0.append(asserted) }
  }

  var isHigh: Bool { levels.withLock { $0.last ?? false } }
  var edges: Int { levels.withLock { $0.count } }
}

/// A function's interrupts, remembered.
final class TestInterrupts: PCIInterrupts {
  struct Log {
    var line = false
    var routes: [Int: InterruptMessage] = [:]
    var signals: [Int] = []
  }

  private let log = Mutex(Log())

  func setLine(_ asserted: Bool) {
    log.withLock { $0.line = asserted }
  }

  func routeChanged(vector: Int, to message: InterruptMessage?) {
    log.withLock { $0.routes[vector] = message }
  }

  func signal(vector: Int, message: InterruptMessage) {
    log.withLock { $0.signals.append(vector) }
  }

  var line: Bool { log.withLock { $0.line } }
  var routes: [Int: InterruptMessage] { log.withLock { $0.routes } }

  /// Vectors signalled since this was last asked.
  func takeSignals() -> [Int] {
    log.withLock { log in
      defer { log.signals = [] }
      return log.signals
    }
  }
}

/// Bytes that count up.
struct TestEntropy: EntropySource {
  func fill(_ destination: inout MutableSpan<UInt8>) {
    for index in destination.indices { destination[index] = UInt8(truncatingIfNeeded: index + 1) }
  }
}
