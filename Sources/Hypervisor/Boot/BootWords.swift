/// Words of a command line that is not the kernel's own affair, such as FreeBSD's environment and Plan 9's plan9.ini.
///
/// Blanks part words. A pair of `"` or of `'` keeps the blanks between them and goes away; there are no escapes.
enum BootWords {
  static func split(_ line: String) throws(HypervisorError) -> [String] {
    var words: [String] = []
    var word = ""
    var isWord = false
    var quote: Character?
    for character in line {
      switch character {
      case quote: quote = nil
      case "\"" where quote == nil, "'" where quote == nil: (quote, isWord) = (character, true)
      case " " where quote == nil, "\t" where quote == nil, "\n" where quote == nil:
        if isWord { words.append(word) }
        (word, isWord) = ("", false)
      default:
        word.append(character)
        isWord = true
      }
    }
    guard quote == nil else {
      throw HypervisorError(.configuration, "a quotation mark of the command line is never closed: \(line)")
    }
    return isWord ? words + [word] : words
  }
}
