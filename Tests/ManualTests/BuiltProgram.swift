import Platform

/// The programs that were built with the tests.
enum BuiltProgram {
  static let folder =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/.build/debug"

  /// What a program says on both streams, and how it ends.
  static func run(_ words: [String]) throws -> (status: Platform.ExitStatus, text: String) {
    let pipe = try Pipe()
    var request = ChildRequest(words)
    request.descriptors = [-1, pipe.writer.rawValue, pipe.writer.rawValue]
    let child = try ChildProcess.start(request)
    let reader = try pipe.reader.duplicate()
    _ = consume pipe
    let text = String(decoding: try reader.readToEnd(), as: UTF8.self)
    return (try child.wait(), text)
  }
}
