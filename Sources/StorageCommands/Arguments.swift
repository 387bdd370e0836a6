internal import Manifest

/// The words after a verb: plain ones in their order, and options.
struct Arguments {
  /// Why a command line is not understood.
  struct Problem: Error {
    let text: String
  }

  private(set) var plain: [String] = []
  private var values: [String: String] = [:]
  private var flags: Set<String> = []

  /// - Parameters:
  ///   - words: what the user typed after `verb`.
  ///   - valued: options that take a value.
  ///   - known: options that take none.
  ///   - count: how many plain words there may be.
  init(
    _ words: ArraySlice<String>, of verb: String, valued: Set<String> = [], known: Set<String> = [],
    count: ClosedRange<Int>
  ) throws(Problem) {
    var rest = words
    while let word = rest.popFirst() {
      if valued.contains(word) {
        guard let value = rest.popFirst(), !value.isEmpty else { throw Problem(text: "\(word) needs a value") }
        values[word] = value
      } else if known.contains(word) {
        flags.insert(word)
      } else if word.hasPrefix("-") {
        throw Problem(text: "\(verb) does not know \(word)")
      } else {
        plain.append(word)
      }
    }
    guard count.contains(plain.count) else {
      throw Problem(
        text: plain.count > count.upperBound
          ? "\(verb) does not know what to do with \(plain[count.upperBound])" : "\(verb) needs more words")
    }
  }

  /// Whether an option was given.
  func has(_ flag: String) -> Bool { flags.contains(flag) }

  /// The value of an option; nil where it was not given.
  func value(_ option: String) -> String? { values[option] }

  /// The value of an option as a size in bytes.
  func size(_ option: String) throws(Problem) -> Int {
    guard let text = values[option] else { throw Problem(text: "\(option) is missing, as in \(option) 2GiB") }
    switch ByteSize.parse(text) {
    case .success(let bytes) where Limits.disk.contains(bytes): return bytes
    case .success: throw Problem(text: "\(text) is no size for this: from 16 MiB to 16 TiB")
    case .failure(let error): throw Problem(text: "\(error)")
    }
  }
}
