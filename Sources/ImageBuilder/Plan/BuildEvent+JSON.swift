/// What programs read of a build: a JSON object per line, each with an `event`.
///
/// `planned` has the `steps`, which others name by their number from 0, `step`, and their `name`; `remark` and `progress` a
/// `text`; `finished` whether it is `reused`, its `seconds` and `bytes`. `image` is the last of a build that went well, with
/// `path`, `bytes`, `reused`, `seconds` and the `largest` files; `error` of any other, with `code`, `message`, and where there
/// are such `hint`, `details` and `log`.
private struct BuildEventLine: Encodable {
  var event: String
  var step: Int?
  var name: String?
  var steps: [String]?
  var text: String?
  var reused: Bool?
  var seconds: Double?
  var bytes: Int?
  var path: String?
  var largest: [ImageBuild.File]?
  var code: String?
  var message: String?
  var hint: String?
  var details: [String]?
  var log: String?

  init(_ event: String, step: Int? = nil, of names: [String] = []) {
    self.event = event
    self.step = step
    name = step.flatMap { names.indices.contains($0) ? names[$0] : nil }
  }

  /// The line, without a newline.
  var encoded: String {
    // Texts and finite numbers: nothing that JSON has no word for.
    guard let bytes = try? StableJSON.encode(self, isIndented: false) else { return "{}" }
    return String(decoding: bytes.dropLast(), as: UTF8.self)
  }
}

extension BuildEvent {
  /// The event as a line of JSON; `names` are those of the plan's steps.
  public func json(steps names: [String]) -> String {
    var line: BuildEventLine
    switch self {
    case .planned(let steps):
      line = BuildEventLine("planned")
      line.steps = steps
    case .remark(let text):
      line = BuildEventLine("remark")
      line.text = text
    case .started(let index): line = BuildEventLine("started", step: index, of: names)
    case .progress(let index, let text):
      line = BuildEventLine("progress", step: index, of: names)
      line.text = text
    case .finished(let index, let reused, let seconds, let bytes):
      line = BuildEventLine("finished", step: index, of: names)
      (line.reused, line.seconds, line.bytes) = (reused, seconds, bytes)
    case .failed(let index): line = BuildEventLine("failed", step: index, of: names)
    }
    return line.encoded
  }
}

extension ImageBuild.Image {
  /// The line of a build that went well.
  public var json: String {
    var line = BuildEventLine("image")
    (line.path, line.bytes, line.reused, line.seconds, line.largest) = (path, size, reused, seconds, largest)
    return line.encoded
  }
}

extension BuildError {
  /// The line of a build that failed.
  public var json: String {
    var line = BuildEventLine("error")
    (line.code, line.message, line.hint, line.log) = (code.rawValue, message, hint, log)
    line.details = details.isEmpty ? nil : details
    return line.encoded
  }
}
