/// How the CRT controller walks through display memory.
extension VGARegisters {
  /// Characters, or cells of the planes, in a line: 1 to 256.
  var columns: Int { Int(crt[1]) + 1 }

  /// Scan lines shown: 1 to 1024.
  var scanLines: Int {
    (Int(crt[0x12]) | Int(crt[7] & 0x02) << 7 | Int(crt[7] & 0x40) << 3) + 1
  }

  private var doublesScanLines: Bool { crt[9] & 0x80 != 0 }

  /// Scan lines that show the same line of characters' dots.
  var scansPerTextLine: Int { doublesScanLines ? 2 : 1 }

  /// Scan lines that show the same pixels: one line of a picture. Where the row of a cell is part of the address, as
  /// on the CGA, only doubled scan lines do.
  var scansPerGraphicsLine: Int {
    let doubled = doublesScanLines ? 2 : 1
    return crt[0x17] & 0x03 == 0x03 ? (Int(crt[9] & 0x1F) + 1) * doubled : doubled
  }

  /// Where in plane 2 the shapes begin, for attributes without and with intensity ("Character Map Select").
  var fontPositions: (normal: Int, bright: Int) {
    func position(_ low: UInt8, _ high: UInt8) -> Int { (Int(low) * 2 + Int(high)) * 8192 }
    let select = sequencer[3]
    return (position(select & 3, select >> 4 & 1), position(select >> 2 & 3, select >> 5 & 1))
  }

  /// The text cursor's address and rows; nil when it is off.
  var cursor: (position: Int, rows: ClosedRange<Int>)? {
    let (first, last) = (Int(crt[0x0A] & 0x1F), Int(crt[0x0B] & 0x1F))
    guard crt[0x0A] & 0x20 == 0, first <= last else { return nil }
    return (Int(crt[0x0E]) << 8 | Int(crt[0x0F]), first...last)
  }

  /// The cell of the planes at counter value `address`: byte, word or doubleword addresses, and on the CGA's pattern
  /// the row of the character in bits 13 and 14. Doubleword addresses are as the window stores what is chained.
  func cell(_ address: Int, row: Int = 0) -> Int {
    var cell = address
    if crt[0x14] & 0x40 == 0, crt[0x17] & 0x40 == 0 {
      cell = address << 1 | address >> (crt[0x17] & 0x20 != 0 ? 15 : 13) & 1
    }
    if crt[0x17] & 0x01 == 0 { cell = cell & ~0x2000 | (row & 1) << 13 }
    if crt[0x17] & 0x02 == 0 { cell = cell & ~0x4000 | (row & 2) << 13 }
    return cell & 0xFFFF
  }

  /// Walks the screen from top to bottom and gives `body` every `step`-th scan line: its number among those, the
  /// counter value at its left edge, and the row within the cell.
  func scan(every step: Int, _ body: (_ line: Int, _ address: Int, _ row: Int) -> Void) {
    var address = Int(crt[0x0C]) << 8 | Int(crt[0x0D])
    address += Int(crt[8] >> 5 & 3)
    var row = Int(crt[8] & 0x1F)
    let compare = Int(crt[0x18]) | Int(crt[7] & 0x10) << 4 | Int(crt[9] & 0x40) << 3
    for scan in 0..<scanLines {
      if scan % step == 0 { body(scan / step, address, row) }
      if scan == compare {
        // The lower part of a split screen begins at the start of memory.
        (address, row) = (0, 0)
      } else if !doublesScanLines || scan & 1 == 1 {
        if row == Int(crt[9] & 0x1F) {
          row = 0
          address += Int(crt[0x13]) * 2
        } else {
          row = (row + 1) & 0x1F
        }
      }
    }
  }
}
