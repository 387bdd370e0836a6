internal import Binary
internal import Platform

/// The superblocks of a UFS of version 1 (FreeBSD, sys/ufs/ffs/fs.h, `struct fs`).
enum UFSSuperblock {
  private static let primary = 8192  // bytes
  private static let magic: UInt32 = 0x0001_1954
  private static let magicOffset = 1372
  private static let size = 1376
  /// Addresses in the memory of who has it mounted: `fs_contigdirs`, `fs_csp`, `fs_maxcluster`, `fs_active`.
  private static let pointers = 824..<856

  /// Clears the addresses that makefs leaves of its own memory, in the superblock and all its copies: they are others
  /// each time, and nobody reads them.
  static func clearPointers(_ path: String) throws(BuildError) {
    let first = try attempt("cannot read \(path)") { () throws(SystemError) in
      try FileDescriptor(opening: path).read(upTo: size, at: primary)
    }
    guard let places = copies(first) else {
      throw BuildError(.content, "\(path) has no superblock of a UFS of version 1")
    }
    for place in [primary] + places {
      let found = try attempt("cannot read \(path)") { () throws(SystemError) in
        try FileDescriptor(opening: path).read(upTo: size, at: place)
      }
      guard isSuperblock(found) else {
        throw BuildError(.content, "\(path) has no superblock where one should be, at byte \(place)")
      }
      try attempt("cannot write \(path)") { () throws(SystemError) in
        let zeros = [UInt8](repeating: 0, count: pointers.count)
        try FileDescriptor(opening: path, .readWrite).writeAll(zeros, at: place + pointers.lowerBound)
      }
    }
  }

  private static func isSuperblock(_ bytes: [UInt8]) -> Bool {
    (try? ByteReader(bytes).little(UInt32.self, at: magicOffset)) == magic
  }

  /// Where each cylinder group has its copy, in bytes (`cgsblock` of fs.h); nil for what is no superblock.
  static func copies(_ bytes: [UInt8]) -> [Int]? {
    guard isSuperblock(bytes) else { return nil }
    let reader = ByteReader(bytes)
    func field(_ offset: Int) -> Int { Int((try? reader.little(Int32.self, at: offset)) ?? 0) }
    let (block, skew, mask, groups) = (field(8), field(24), field(28), field(44))
    let (fragment, perGroup) = (field(52), field(188))
    guard (1...1 << 20).contains(groups), (512...65_536).contains(fragment), perGroup > 0, block >= 0, skew >= 0 else {
      return nil
    }
    return (0..<groups).map { group in
      (perGroup * group + skew * (group & ~mask) + block) * fragment
    }
  }
}
