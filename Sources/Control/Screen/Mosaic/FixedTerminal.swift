internal import CVTerm

/// libvterm's terminal, of one size for all its life: it understands what a guest says (ECMA-48, DEC VT and xterm).
///
/// Not for several threads at once.
// SAFETY: the pointers are its own from `init` to `deinit`, and never leave it.
@safe final class FixedTerminal {
  /// Lines that are kept after they went off the top.
  static let historyLimit = 2000
  /// Bytes of answers that are kept for `takeAnswers`.
  private static let answerLimit = 4096

  private let terminal: OpaquePointer
  private let screen: OpaquePointer
  private let callbacks: UnsafeMutablePointer<VTermScreenCallbacks>
  private let columns: Int
  private let rows: Int
  /// Lines that went off the top, the oldest first.
  private(set) var history: [[Cell]] = []
  /// How many lines have ever gone off the top.
  private(set) var historyCount = 0
  private(set) var isCursorVisible = true
  private var answers: [UInt8] = []

  /// One of at least two columns: in a single one, libvterm (0.1.4) writes wide characters to nowhere.
  init(columns: Int, rows: Int) {
    self.columns = columns
    self.rows = rows
    // SAFETY: libvterm ends the process where it gets no memory, so both pointers are there; they and the callbacks,
    // which it refers to, live until `deinit`.
    unsafe terminal = vterm_new(Int32(self.rows), Int32(self.columns))
    unsafe screen = vterm_obtain_screen(terminal)
    unsafe callbacks = UnsafeMutablePointer<VTermScreenCallbacks>.allocate(capacity: 1)
    unsafe callbacks.initialize(to: Self.makeCallbacks())
    unsafe vterm_set_utf8(terminal, 1)
    // SAFETY: the object unregisters itself, by freeing the terminal, before it is gone.
    let user = unsafe Unmanaged.passUnretained(self).toOpaque()
    unsafe vterm_screen_set_callbacks(screen, callbacks, user)
    unsafe vterm_output_set_callback(
      terminal,
      { bytes, count, user in
        // SAFETY: `user` is the terminal that is fed at this moment; the bytes live for the call.
        guard let bytes = unsafe bytes, let terminal = unsafe FixedTerminal.of(user) else { return }
        unsafe terminal.keepAnswer(UnsafeRawBufferPointer(start: bytes, count: count))
      }, user)
    unsafe vterm_screen_enable_altscreen(screen, 1)
    unsafe vterm_screen_reset(screen, 1)
  }

  deinit {
    // SAFETY: nothing refers to either any more.
    unsafe vterm_free(terminal)
    unsafe callbacks.deinitialize(count: 1)
    unsafe callbacks.deallocate()
  }

  /// Takes what the guest wrote: whole characters of UTF-8, all of which libvterm can count.
  func feed(_ text: [UInt8]) {
    // SAFETY: the buffer lives for the call, and libvterm reads no more than its length.
    unsafe text.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else { return }
      _ = unsafe vterm_input_write(terminal, start.assumingMemoryBound(to: CChar.self), buffer.count)
    }
    unsafe vterm_screen_flush_damage(screen)
  }

  /// A line of the screen, or above it of the history: -1 is the one that went off last. Empty where there is none.
  func line(_ row: Int) -> [Cell] {
    if row < 0 {
      let index = history.count + row
      return history.indices.contains(index) ? history[index] : []
    }
    guard row < rows else { return [] }
    return (0..<columns).map { column in
      var cell = VTermScreenCell()
      // SAFETY: the place is on the screen; the cell is written by the call and outlives it.
      _ = unsafe vterm_screen_get_cell(screen, VTermPos(row: Int32(row), col: Int32(column)), &cell)
      return Cell(cell)
    }
  }

  /// Where the guest's cursor is; on the screen, though it may be behind its edge.
  var cursor: Canvas.Place {
    var position = VTermPos(row: 0, col: 0)
    unsafe vterm_state_get_cursorpos(vterm_obtain_state(terminal), &position)
    return Canvas.Place(
      row: min(max(0, Int(position.row)), rows - 1), column: min(max(0, Int(position.col)), columns - 1))
  }

  /// What the guest asked of its terminal is answered by this. Whoever does not type into the guest forgets it.
  func takeAnswers() -> [UInt8] {
    defer { answers = [] }
    return answers
  }

  // MARK: What libvterm tells

  private static func makeCallbacks() -> VTermScreenCallbacks {
    var callbacks = VTermScreenCallbacks()
    unsafe callbacks.settermprop = { property, value, user in
      // SAFETY: the value lives for the call and is of the kind that belongs to the property.
      guard property == VTERM_PROP_CURSORVISIBLE, let value = unsafe value else { return 1 }
      unsafe FixedTerminal.of(user)?.isCursorVisible = value.pointee.boolean != 0
      return 1
    }
    unsafe callbacks.sb_pushline = { count, cells, user in
      // SAFETY: `cells` are `count` cells that live for the call.
      guard let cells = unsafe cells, let terminal = unsafe FixedTerminal.of(user) else { return 0 }
      terminal.push(unsafe UnsafeBufferPointer(start: cells, count: Int(count)).map { Cell($0) })
      return 1
    }
    return callbacks
  }

  private static func of(_ user: UnsafeMutableRawPointer?) -> FixedTerminal? {
    // SAFETY: it is what `init` registered, and the terminal lives while it is fed.
    unsafe user.map { unsafe Unmanaged<FixedTerminal>.fromOpaque($0).takeUnretainedValue() }
  }

  private func push(_ line: [Cell]) {
    var line = line
    while line.last == Cell() { line.removeLast() }
    history.append(line)
    historyCount += 1
    if history.count > Self.historyLimit { history.removeFirst(history.count - Self.historyLimit) }
  }

  private func keepAnswer(_ bytes: UnsafeRawBufferPointer) {
    // SAFETY: the caller's buffer lives for the call.
    if answers.count + bytes.count <= Self.answerLimit { unsafe answers.append(contentsOf: bytes) }
  }
}

extension Cell {
  /// What libvterm has at one place.
  fileprivate init(_ cell: VTermScreenCell) {
    let (first, second, third, fourth, fifth, sixth) = cell.chars
    // The right half of a wide character has all bits set.
    guard first != .max else {
      self.init(character: " ", width: 0)
      return
    }
    var scalars = String.UnicodeScalarView()
    for value in [first, second, third, fourth, fifth, sixth] {
      guard value >= 0x20, !(0x7F...0x9F).contains(value), let scalar = Unicode.Scalar(value) else { break }
      scalars.append(scalar)
    }
    let text = String(scalars)
    self.init(
      character: text.count == 1 ? text.first ?? " " : " ", width: cell.width == 2 ? 2 : 1,
      style: Style(
        foreground: Color(cell.fg), background: Color(cell.bg), isBold: cell.attrs.bold != 0,
        isUnderlined: cell.attrs.underline != 0, isReversed: cell.attrs.reverse != 0))
  }
}

extension Cell.Color {
  fileprivate init(_ color: VTermColor) {
    // SAFETY: the type is the first member of each structure in the union, and tells which of them it is.
    let kind = unsafe UInt32(color.type)
    // Either default: what the guest did not choose, the terminal does.
    if kind & VTERM_COLOR_DEFAULT_MASK.rawValue != 0 {
      self = .standard
    } else if kind & VTERM_COLOR_TYPE_MASK.rawValue == VTERM_COLOR_INDEXED.rawValue {
      self = unsafe .indexed(color.indexed.idx)
    } else {
      self = unsafe .rgb(red: color.rgb.red, green: color.rgb.green, blue: color.rgb.blue)
    }
  }
}
