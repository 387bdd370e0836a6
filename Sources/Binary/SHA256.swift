/// SHA-256, FIPS 180-4 section 6.2. The init has no other library to take it from.
public struct SHA256: Sendable {
  /// A finished hash.
  public struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// Thirty-two bytes.
    public let bytes: [UInt8]

    /// Parses 64 hexadecimal digits; nil for anything else.
    public init?(hex: String) {
      guard let bytes = Hex.decode(hex), bytes.count == 32 else { return nil }
      self.bytes = bytes
    }

    init(bytes: [UInt8]) {
      self.bytes = bytes
    }

    /// Sixty-four lower-case hexadecimal digits.
    public var description: String { Hex.encode(bytes) }
  }

  private var state: InlineArray<8, UInt32> = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
  ]
  private var pending: [UInt8] = []
  private var length: UInt64 = 0  // bytes

  /// A hash of nothing yet.
  public init() {
    pending.reserveCapacity(64)
  }

  /// The digest of `bytes` in one call.
  public static func hash(_ bytes: [UInt8]) -> Digest {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finalize()
  }

  /// The digest of the UTF-8 of `text`.
  public static func hash(_ text: String) -> Digest {
    hash(Array(text.utf8))
  }

  /// Takes in more bytes.
  public mutating func update(_ bytes: [UInt8]) {
    update(bytes.span)
  }

  /// Takes in more bytes.
  public mutating func update(_ bytes: Span<UInt8>) {
    length &+= UInt64(bytes.count)
    var offset = 0
    if !pending.isEmpty {
      while offset < bytes.count, pending.count < 64 {
        pending.append(bytes[offset])
        offset += 1
      }
      guard pending.count == 64 else { return }
      let block = pending
      compress(block.span, at: 0)
      pending.removeAll(keepingCapacity: true)
    }
    while bytes.count - offset >= 64 {
      compress(bytes, at: offset)
      offset += 64
    }
    while offset < bytes.count {
      pending.append(bytes[offset])
      offset += 1
    }
  }

  /// Ends the hash. The value must not be updated afterwards.
  public consuming func finalize() -> Digest {
    let bits = length &* 8
    var tail = pending
    tail.append(0x80)
    while tail.count % 64 != 56 { tail.append(0) }
    for shift in stride(from: 56, through: 0, by: -8) { tail.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift))) }
    for offset in stride(from: 0, to: tail.count, by: 64) { compress(tail.span, at: offset) }
    var bytes: [UInt8] = []
    for index in 0..<8 {
      for shift in stride(from: 24, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: state[index] >> UInt32(shift)))
      }
    }
    return Digest(bytes: bytes)
  }

  private mutating func compress(_ block: Span<UInt8>, at offset: Int) {
    // The next sixteen words of the message schedule. All indices are constants, so that they cost nothing.
    var w = InlineArray<16, UInt32>(repeating: 0)
    // SAFETY: elements that are bytes have no padding between them, and `extracting` checks the bounds.
    let words = unsafe block.extracting(offset..<(offset &+ 64)).bytes
    for index in 0..<16 {
      // SAFETY: sixteen words of four bytes are within the 64 bytes extracted above.
      w[index] = unsafe words.unsafeLoadUnaligned(fromUncheckedByteOffset: index &* 4, as: UInt32.self).bigEndian
    }
    var a = state[0]
    var b = state[1]
    var c = state[2]
    var d = state[3]
    var e = state[4]
    var f = state[5]
    var g = state[6]
    var h = state[7]
    var index = 0
    while true {
      // The eight registers change names instead of places.
      Self.round(a, b, c, &d, e, f, g, &h, Self.constants[index], w[0])
      Self.round(h, a, b, &c, d, e, f, &g, Self.constants[index &+ 1], w[1])
      Self.round(g, h, a, &b, c, d, e, &f, Self.constants[index &+ 2], w[2])
      Self.round(f, g, h, &a, b, c, d, &e, Self.constants[index &+ 3], w[3])
      Self.round(e, f, g, &h, a, b, c, &d, Self.constants[index &+ 4], w[4])
      Self.round(d, e, f, &g, h, a, b, &c, Self.constants[index &+ 5], w[5])
      Self.round(c, d, e, &f, g, h, a, &b, Self.constants[index &+ 6], w[6])
      Self.round(b, c, d, &e, f, g, h, &a, Self.constants[index &+ 7], w[7])
      Self.round(a, b, c, &d, e, f, g, &h, Self.constants[index &+ 8], w[8])
      Self.round(h, a, b, &c, d, e, f, &g, Self.constants[index &+ 9], w[9])
      Self.round(g, h, a, &b, c, d, e, &f, Self.constants[index &+ 10], w[10])
      Self.round(f, g, h, &a, b, c, d, &e, Self.constants[index &+ 11], w[11])
      Self.round(e, f, g, &h, a, b, c, &d, Self.constants[index &+ 12], w[12])
      Self.round(d, e, f, &g, h, a, b, &c, Self.constants[index &+ 13], w[13])
      Self.round(c, d, e, &f, g, h, a, &b, Self.constants[index &+ 14], w[14])
      Self.round(b, c, d, &e, f, g, h, &a, Self.constants[index &+ 15], w[15])
      index &+= 16
      if index == 64 { break }
      Self.extend(&w)
    }
    state[0] &+= a
    state[1] &+= b
    state[2] &+= c
    state[3] &+= d
    state[4] &+= e
    state[5] &+= f
    state[6] &+= g
    state[7] &+= h
  }

  /// Replaces sixteen words of the message schedule by the next sixteen.
  @inline(__always)
  private static func extend(_ w: inout InlineArray<16, UInt32>) {
    w[0] = w[0] &+ small0(w[1]) &+ w[9] &+ small1(w[14])
    w[1] = w[1] &+ small0(w[2]) &+ w[10] &+ small1(w[15])
    w[2] = w[2] &+ small0(w[3]) &+ w[11] &+ small1(w[0])
    w[3] = w[3] &+ small0(w[4]) &+ w[12] &+ small1(w[1])
    w[4] = w[4] &+ small0(w[5]) &+ w[13] &+ small1(w[2])
    w[5] = w[5] &+ small0(w[6]) &+ w[14] &+ small1(w[3])
    w[6] = w[6] &+ small0(w[7]) &+ w[15] &+ small1(w[4])
    w[7] = w[7] &+ small0(w[8]) &+ w[0] &+ small1(w[5])
    w[8] = w[8] &+ small0(w[9]) &+ w[1] &+ small1(w[6])
    w[9] = w[9] &+ small0(w[10]) &+ w[2] &+ small1(w[7])
    w[10] = w[10] &+ small0(w[11]) &+ w[3] &+ small1(w[8])
    w[11] = w[11] &+ small0(w[12]) &+ w[4] &+ small1(w[9])
    w[12] = w[12] &+ small0(w[13]) &+ w[5] &+ small1(w[10])
    w[13] = w[13] &+ small0(w[14]) &+ w[6] &+ small1(w[11])
    w[14] = w[14] &+ small0(w[15]) &+ w[7] &+ small1(w[12])
    w[15] = w[15] &+ small0(w[0]) &+ w[8] &+ small1(w[13])
  }

  @inline(__always)
  private static func small0(_ word: UInt32) -> UInt32 {
    rotate(word, 7) ^ rotate(word, 18) ^ (word &>> 3)
  }

  @inline(__always)
  private static func small1(_ word: UInt32) -> UInt32 {
    rotate(word, 17) ^ rotate(word, 19) ^ (word &>> 10)
  }

  @inline(__always)
  private static func round(
    _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32, _ g: UInt32,
    _ h: inout UInt32, _ constant: UInt32, _ word: UInt32
  ) {
    let s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    let choice = g ^ (e & (f ^ g))
    let t1 = h &+ s1 &+ choice &+ constant &+ word
    let s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    let majority = (a & b) | (c & (a | b))
    d = d &+ t1
    h = t1 &+ s0 &+ majority
  }

  @inline(__always)
  private static func rotate(_ value: UInt32, _ count: UInt32) -> UInt32 {
    value &>> count | value &<< (32 &- count)
  }

  private static let constants: InlineArray<64, UInt32> = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
  ]
}
