internal import Binary
internal import Platform

/// The blocks of a disk's image, one after the other: what is in each, and how long it is when it is compressed.
///
/// As text it has a line for each: `<SHA-256 of its bytes> <size word>`, or `-` for one of zeros.
struct BlockTable: Sendable, Hashable {
  /// One block.
  struct Block: Sendable, Hashable {
    /// Of the bytes as they are in the image; nil for zeros.
    let digest: SHA256.Digest?
    /// Its size as squashfs has it.
    let word: SquashfsFile.SizeWord
  }

  var blocks: [Block] = []

  init() {}

  /// Reads a table; nil for something else.
  init?(text: String) {
    for line in text.split(separator: "\n") {
      if line == "-" {
        blocks.append(Block(digest: nil, word: .hole))
        continue
      }
      let words = line.split(separator: " ")
      guard words.count == 2, let digest = SHA256.Digest(hex: String(words[0])), let size = UInt32(words[1]) else {
        return nil
      }
      blocks.append(Block(digest: digest, word: .init(rawValue: size)))
    }
  }

  var text: String {
    blocks.map { block in block.digest.map { "\($0) \(block.word.rawValue)\n" } ?? "-\n" }.joined()
  }

  /// Where each block that is no hole lies in the file of compressed ones, by what is in it.
  var places: [SHA256.Digest: (offset: Int, word: SquashfsFile.SizeWord)] {
    var places: [SHA256.Digest: (offset: Int, word: SquashfsFile.SizeWord)] = [:]
    var offset = 0
    for block in blocks {
      if let digest = block.digest { places[digest] = (offset, block.word) }
      offset += block.word.bytes
    }
    return places
  }
}
