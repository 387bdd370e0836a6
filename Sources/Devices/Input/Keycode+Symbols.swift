/// Keys by what they write on a US keyboard.
extension Keycode {
  /// The unshifted and the shifted characters of `keys`, in their order.
  private static let characters: [(plain: String, shifted: String, keys: [Keycode])] = [
    (
      "`1234567890-=", "~!@#$%^&*()_+",
      [
        .grave, .digit1, .digit2, .digit3, .digit4, .digit5, .digit6, .digit7, .digit8, .digit9, .digit0, .minus,
        .equals,
      ]
    ),
    (
      "qwertyuiop[]\\", "QWERTYUIOP{}|",
      [.q, .w, .e, .r, .t, .y, .u, .i, .o, .p, .leftBracket, .rightBracket, .backslash]
    ),
    ("asdfghjkl;'", "ASDFGHJKL:\"", [.a, .s, .d, .f, .g, .h, .j, .k, .l, .semicolon, .apostrophe]),
    ("zxcvbnm,./", "ZXCVBNM<>?", [.z, .x, .c, .v, .b, .n, .m, .comma, .period, .slash]),
    (" \n\t", "", [.space, .enter, .tab]),
  ]

  private static let byCharacter: [Character: (key: Keycode, shift: Bool)] = {
    var table: [Character: (key: Keycode, shift: Bool)] = [:]
    for group in characters {
      for (character, key) in zip(group.plain, group.keys) { table[character] = (key, false) }
      for (character, key) in zip(group.shifted, group.keys) { table[character] = (key, true) }
    }
    return table
  }()

  /// The key that writes `character` on a US keyboard and whether with the shift key; nil where none does.
  public static func typing(_ character: Character) -> (key: Keycode, shift: Bool)? {
    byCharacter[character]
  }

  /// The key of an X11 keysym, as RFB has it (RFC 6143, 7.5.4; X11 keysymdef.h): of a character the key that writes it
  /// on a US keyboard, with or without shift, for the shift key comes as a key of its own.
  public init?(keysym: UInt32) {
    if (0x20...0x7E).contains(keysym), let scalar = Unicode.Scalar(keysym) {
      guard let key = Self.byCharacter[Character(scalar)]?.key else { return nil }
      self = key
      return
    }
    guard let key = Self.bySymbol[keysym] else { return nil }
    self = key
  }

  private static let bySymbol: [UInt32: Keycode] = {
    var table: [UInt32: Keycode] = [
      0xFF08: .backspace, 0xFF09: .tab, 0xFE20: .tab, 0xFF0A: .enter, 0xFF0D: .enter, 0xFF13: .pause,
      0xFF14: .scrollLock, 0xFF15: .printScreen, 0xFF1B: .escape, 0xFFFF: .delete, 0xFF50: .home, 0xFF51: .left,
      0xFF52: .up, 0xFF53: .right, 0xFF54: .down, 0xFF55: .pageUp, 0xFF56: .pageDown, 0xFF57: .end,
      0xFF61: .printScreen, 0xFF63: .insert, 0xFF67: .menu, 0xFF6B: .pause, 0xFF7E: .rightAlt, 0xFF7F: .numLock,
      0xFF8D: .keypadEnter, 0xFF95: .keypad7, 0xFF96: .keypad4, 0xFF97: .keypad8, 0xFF98: .keypad6, 0xFF99: .keypad2,
      0xFF9A: .keypad9, 0xFF9B: .keypad3, 0xFF9C: .keypad1, 0xFF9D: .keypad5, 0xFF9E: .keypad0, 0xFF9F: .keypadDecimal,
      0xFFAA: .keypadMultiply, 0xFFAB: .keypadAdd, 0xFFAC: .keypadDecimal, 0xFFAD: .keypadSubtract,
      0xFFAE: .keypadDecimal, 0xFFAF: .keypadDivide, 0xFFE1: .leftShift, 0xFFE2: .rightShift, 0xFFE3: .leftControl,
      0xFFE4: .rightControl, 0xFFE5: .capsLock, 0xFFE7: .leftSuper, 0xFFE8: .rightSuper, 0xFFE9: .leftAlt,
      0xFFEA: .rightAlt, 0xFFEB: .leftSuper, 0xFFEC: .rightSuper, 0xFE03: .rightAlt,
    ]
    let digits: [Keycode] = [
      .keypad0, .keypad1, .keypad2, .keypad3, .keypad4, .keypad5, .keypad6, .keypad7, .keypad8, .keypad9,
    ]
    for (index, key) in digits.enumerated() { table[0xFFB0 + UInt32(index)] = key }
    let functions: [Keycode] = [.f1, .f2, .f3, .f4, .f5, .f6, .f7, .f8, .f9, .f10, .f11, .f12]
    for (index, key) in functions.enumerated() { table[0xFFBE + UInt32(index)] = key }
    return table
  }()
}
