import Platform
import Testing

/// What the system tests work on, named by the environment; `make system` sets it.
enum Environment {
  /// The image under test.
  static let iso = value("ROOST_ISO")
  /// Directory of the release programs.
  static let programs = value("ROOST_PROGRAMS")

  /// True when the whole line can be run.
  static var isComplete: Bool {
    guard let iso, let programs else { return false }
    return Files.exists(iso) && Files.exists("\(programs)/roost")
  }

  /// Why it cannot.
  static let reason: Comment = "skipped: ROOST_ISO and ROOST_PROGRAMS name no image and programs; run 'make system'"

  /// Path of the image under test.
  static func image() throws -> String {
    try #require(iso)
  }

  /// Path of a release program.
  static func program(_ name: String) throws -> String {
    "\(try #require(programs))/\(name)"
  }

  static func value(_ name: String) -> String? {
    guard let text = try? Files.readText("/proc/self/environ") else { return nil }
    for entry in text.split(separator: "\0") where entry.hasPrefix("\(name)=") {
      return String(entry.dropFirst(name.count + 1))
    }
    return nil
  }
}
