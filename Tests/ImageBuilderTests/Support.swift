import Platform
import Synchronization

@testable import ImageBuilder

/// A directory of a test's own, removed at its end.
final class TemporaryDirectory {
  let path: String

  init() throws {
    path = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-test.")
  }

  deinit {
    try? Files.removeTree(path)
  }

  func write(_ name: String, _ text: String) throws {
    try Files.write(text, to: "\(path)/\(name)")
  }

  func text(_ name: String) throws -> String {
    try Files.readText("\(path)/\(name)")
  }
}

/// Events of a build, or anything else that is counted from several threads.
final class Recorder<Element: Sendable>: Sendable {
  private let list = Mutex<[Element]>([])

  func add(_ element: Element) {
    list.withLock { $0.append(element) }
  }

  var all: [Element] { list.withLock { $0 } }
}
