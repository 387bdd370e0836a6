internal import CYAML

/// libyaml's parser, and the text that it reads.
// SAFETY: both are this owner's alone from init to deinit. libyaml keeps a pointer to the text, and pointers into the
// parser, so neither moves; the parser goes first.
@safe struct EventParser: ~Copyable {
  /// A piece of a document.
  struct Event {
    enum Kind {
      case streamStart, streamEnd, documentStart, documentEnd, sequenceEnd, mappingEnd
      case alias(of: String)
      case scalar(String, isPlain: Bool, anchor: String?)
      case sequenceStart(anchor: String?)
      case mappingStart(anchor: String?)
    }

    let kind: Kind
    let mark: Mark
  }

  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let text: UnsafeMutableBufferPointer<UInt8>

  init(_ text: String) throws(YAMLError) {
    unsafe self.text = .allocate(capacity: text.utf8.count)
    _ = unsafe self.text.initialize(from: text.utf8)
    unsafe parser = .allocate(capacity: 1)
    unsafe parser.initialize(to: yaml_parser_t())
    // SAFETY: what is there of the parser is initialised by the call, or, where that fails, stays zero, which can be
    // deleted. The text has as many bytes as are said.
    guard unsafe yaml_parser_initialize(parser) == 1 else { throw .memory }
    unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    unsafe yaml_parser_set_input_string(parser, self.text.baseAddress, self.text.count)
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
    unsafe text.deallocate()
  }

  /// The next piece.
  mutating func next() throws(YAMLError) -> Event {
    var event = unsafe yaml_event_t()
    // SAFETY: libyaml fills the event in, or leaves it zero; what it points to lives until it is deleted, and is copied
    // before.
    defer { unsafe yaml_event_delete(&event) }
    guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw error }
    return Event(kind: unsafe Self.kind(event), mark: unsafe Mark(event.start_mark))
  }

  /// What libyaml says of an event: `data` is what its type says.
  private static func kind(_ event: yaml_event_t) -> Event.Kind {
    // SAFETY: the event is one of libyaml's, whose type says which of the union's members there is.
    switch unsafe event.type {
    case YAML_STREAM_START_EVENT: return .streamStart
    case YAML_DOCUMENT_START_EVENT: return .documentStart
    case YAML_DOCUMENT_END_EVENT: return .documentEnd
    case YAML_SEQUENCE_END_EVENT: return .sequenceEnd
    case YAML_MAPPING_END_EVENT: return .mappingEnd
    case YAML_ALIAS_EVENT: return unsafe .alias(of: string(event.data.alias.anchor) ?? "")
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      let style = unsafe scalar.style
      return unsafe .scalar(
        String(decoding: bytes, as: UTF8.self), isPlain: style == YAML_PLAIN_SCALAR_STYLE, anchor: string(scalar.anchor)
      )
    case YAML_SEQUENCE_START_EVENT: return unsafe .sequenceStart(anchor: string(event.data.sequence_start.anchor))
    case YAML_MAPPING_START_EVENT: return unsafe .mappingStart(anchor: string(event.data.mapping_start.anchor))
    // The end, or an event that no version of libyaml has: nothing comes after either.
    default: return .streamEnd
    }
  }

  /// A text that ends with a zero.
  private static func string(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    // SAFETY: libyaml's anchors end with a zero and live as long as their event.
    unsafe bytes.map { unsafe String(cString: $0) }
  }

  /// What stopped the parser.
  private var error: YAMLError {
    // SAFETY: the parser lives, and what it says of its problem are constants.
    let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? ""
    let context = unsafe parser.pointee.context.map {
      unsafe YAMLError.Context(text: String(cString: $0), mark: Mark(parser.pointee.context_mark))
    }
    let kind: YAMLError.Kind
    switch unsafe parser.pointee.error {
    case YAML_READER_ERROR: kind = unsafe .reader(offset: Int(parser.pointee.problem_offset))
    case YAML_SCANNER_ERROR: kind = .scanner
    case YAML_PARSER_ERROR: kind = .parser
    case YAML_COMPOSER_ERROR: kind = .composer
    default: return .memory
    }
    return YAMLError(kind: kind, problem: problem, mark: unsafe Mark(parser.pointee.problem_mark), context: context)
  }
}

extension Mark {
  fileprivate init(_ mark: yaml_mark_t) {
    // SAFETY: numbers, which text of less than half the address space cannot have overflow.
    self = Mark(line: Int(mark.line) + 1, column: Int(mark.column) + 1)
  }
}

extension YAMLError {
  static let memory = YAMLError(
    kind: .memory, problem: "there is no memory", mark: Mark(line: 1, column: 1), context: nil)
}
