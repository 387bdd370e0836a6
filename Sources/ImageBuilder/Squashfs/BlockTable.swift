internal import Binary
internal import Platform

/// The blocks of a disk's image, one after the other: what is in each, and how long it is when it is compressed. A disk may
/// be large and have little in it: blocks of zeros are counted, and take no memory.
///
/// As text it has a line for each other one, `<SHA-256 of its bytes> <size word>`, and one for those of zeros between two,
/// `- <how many>`.
struct BlockTable: Sendable, Hashable {
  /// One block that is not all zeros.
  struct Block: Sendable, Hashable {
    /// Where it is: how many come before it, with those of zeros.
    let index: Int
    /// Of the bytes as they are in the image.
    let digest: SHA256.Digest
    /// Its size as squashfs has it.
    let word: SquashfsFile.SizeWord
  }

  /// Those that are not all zeros, in their order.
  private(set) var blocks: [Block] = []
  /// How many blocks there are, with those of zeros.
  private(set) var count = 0

  /// More are no table of a disk's: sizes in bytes are still numbers.
  private static let most = 1 << 40

  init() {}

  /// Reads a table; nil for something else.
  init?(text: String) {
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2 else { return nil }
      if words[0] == "-" {
        guard let holes = Int(words[1]), holes > 0, holes <= Self.most - count else { return nil }
        appendHoles(holes)
      } else {
        guard let digest = SHA256.Digest(hex: String(words[0])), let size = UInt32(words[1]), count < Self.most
        else { return nil }
        append(digest, .init(rawValue: size))
      }
    }
  }

  /// Appends a block that is not all zeros.
  mutating func append(_ digest: SHA256.Digest, _ word: SquashfsFile.SizeWord) {
    blocks.append(Block(index: count, digest: digest, word: word))
    count += 1
  }

  /// Appends blocks of zeros.
  mutating func appendHoles(_ holes: Int) {
    count += holes
  }

  var text: String {
    var text = ""
    var next = 0
    func skip(to index: Int) {
      if index > next { text += "- \(index - next)\n" }
    }
    for block in blocks {
      skip(to: block.index)
      text += "\(block.digest) \(block.word.rawValue)\n"
      next = block.index + 1
    }
    skip(to: count)
    return text
  }

  /// Where each block lies in the file of compressed ones, by what is in it.
  var places: [SHA256.Digest: (offset: Int, word: SquashfsFile.SizeWord)] {
    var places: [SHA256.Digest: (offset: Int, word: SquashfsFile.SizeWord)] = [:]
    var offset = 0
    for block in blocks {
      places[block.digest] = (offset, block.word)
      offset += block.word.bytes
    }
    return places
  }
}
