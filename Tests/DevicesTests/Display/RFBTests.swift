import TestMachine
import Testing

@testable import Devices

@Suite struct DESTests {
  /// The worked example of J. Orlin Grabbe, the validation set of NIST SP 500-20 (variable plaintext and key), and
  /// what OpenSSL 3 gives.
  @Test func knownVectors() {
    for (key, plain, cipher) in [
      (0x1334_5779_9BBC_DFF1, 0x0123_4567_89AB_CDEF, 0x85E8_1354_0F0A_B405),
      (0x0101_0101_0101_0101, 0x8000_0000_0000_0000, 0x95F8_A5E5_DD31_D900),
      (0x0101_0101_0101_0101, 0x0000_0000_0000_0001, 0x166B_40B4_4ABA_4BD6),
      (0x8001_0101_0101_0101, 0x0000_0000_0000_0000, 0x95A8_D728_13DA_A94D),
      (0x7CA1_1045_4A1A_6E57, 0x01A1_D6D0_3977_6742, 0x690F_5B0D_9A26_939B),
    ] as [(UInt64, UInt64, UInt64)] {
      #expect(DES(key: key).encrypt(plain) == cipher)
    }
  }
}

/// A viewer that says things byte by byte.
struct TestViewer {
  var session: RFBSession
  var events: [RFBSession.Event] = []

  init(security: RFBSession.Security = .none, picture: Picture = Picture(width: 40, height: 34, colour: 0x102030)) {
    session = RFBSession(name: "roost", security: security, picture: picture)
  }

  /// Sends `bytes` one by one; what the server has to say then.
  mutating func send(_ bytes: [UInt8]) -> [UInt8] {
    for byte in bytes { events += session.receive([byte]) }
    return session.output()
  }

  /// Through the handshake of version 3.8 without security.
  mutating func start() -> [UInt8] {
    _ = session.output()
    _ = send(Array("RFB 003.008\n".utf8))
    _ = send([1])
    return send([1])
  }

  mutating func request(incremental: Bool, _ x: UInt8 = 0, _ y: UInt8 = 0, _ width: UInt8 = 255, _ height: UInt8 = 255)
    -> [UInt8]
  {
    send([3, incremental ? 1 : 0, 0, x, 0, y, 0, width, 0, height])
  }

  mutating func setEncodings(_ encodings: Int32...) -> [UInt8] {
    send(
      [2, 0, 0, UInt8(encodings.count)]
        + encodings.flatMap { value in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } })
  }
}

@Suite struct RFBTests {
  private static let format: [UInt8] = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]

  /// RFC 6143, 7.1 to 7.3, byte by byte.
  @Test func handshake() {
    var viewer = TestViewer()
    #expect(viewer.session.output() == Array("RFB 003.008\n".utf8))
    #expect(viewer.send(Array("RFB 003.008\n".utf8)) == [1, 1])
    #expect(viewer.send([1]) == [0, 0, 0, 0])
    #expect(viewer.send([0]) == [0, 40, 0, 34] + Self.format + [0, 0, 0, 5] + Array("roost".utf8))
    #expect(!viewer.session.isClosed)
  }

  @Test func olderVersions() {
    var viewer = TestViewer()
    _ = viewer.session.output()
    #expect(viewer.send(Array("RFB 003.003\n".utf8)) == [0, 0, 0, 1])
    #expect(viewer.send([1]).count == 24 + 5)
    viewer = TestViewer()
    _ = viewer.session.output()
    #expect(viewer.send(Array("RFB 003.007\n".utf8)) == [1, 1])
    #expect(viewer.send([1]) == [])  // 3.7 has no result without security
    #expect(viewer.send([0]).count == 24 + 5)
    viewer = TestViewer()
    _ = viewer.session.output()
    #expect(viewer.send(Array("RFB 003.889\n".utf8)) == [1, 1])
  }

  /// The answer is what OpenSSL's DES gives with the bytes of "password" reversed, 0x0E86CECEEEF64E26, as its key.
  @Test func passwords() {
    let challenge = (0..<16).map { UInt8($0) }
    let answer: [UInt8] = [
      0xB8, 0x66, 0x92, 0x41, 0x25, 0xC8, 0xEE, 0xBB, 0x9D, 0xEB, 0xC1, 0xDB, 0x61, 0xC5, 0x38, 0xE2,
    ]
    var viewer = TestViewer(security: .password("password", challenge: challenge))
    _ = viewer.session.output()
    #expect(viewer.send(Array("RFB 003.008\n".utf8)) == [1, 2])
    #expect(viewer.send([2]) == challenge)
    #expect(viewer.send(answer) == [0, 0, 0, 0])
    #expect(viewer.send([1]).count == 24 + 5)
    for (version, reason) in [("RFB 003.008\n", true), ("RFB 003.003\n", false)] {
      viewer = TestViewer(security: .password("other", challenge: challenge))
      _ = viewer.session.output()
      _ = viewer.send(Array(version.utf8))
      if reason { _ = viewer.send([2]) }
      let refusal = viewer.send(answer)
      #expect(refusal.prefix(4) == [0, 0, 0, 1])
      #expect(refusal.count == (reason ? 8 + "the password is wrong".utf8.count : 4))
      #expect(viewer.session.isClosed)
      #expect(viewer.session.failure == .password)
      #expect(viewer.send([1, 2, 3]) == [])
    }
    // Without the password there is no way round.
    viewer = TestViewer(security: .password("password", challenge: challenge))
    _ = viewer.session.output()
    _ = viewer.send(Array("RFB 003.008\n".utf8))
    #expect(viewer.send([1]).prefix(4) == [0, 0, 0, 1])
    #expect(viewer.session.failure == .security(1))
  }

  @Test func rawUpdates() {
    var viewer = TestViewer()
    _ = viewer.start()
    let first = viewer.request(incremental: false)
    #expect(first.prefix(16) == [0, 0, 0, 1, 0, 0, 0, 0, 0, 40, 0, 34, 0, 0, 0, 0])
    #expect(first.count == 16 + 40 * 34 * 4)
    #expect(first[16..<20] == [0x30, 0x20, 0x10, 0])
    // Nothing new: the request waits for a change, of which only the part that was asked for is sent.
    #expect(viewer.request(incremental: true) == [])
    var picture = Picture(width: 40, height: 34, colour: 0x102030)
    viewer.session.update(picture)
    #expect(viewer.session.output() == [])
    picture.fill(PictureRectangle(x: 39, y: 33, width: 1, height: 1), with: 0xFF)
    viewer.session.update(picture)
    let second = viewer.session.output()
    #expect(second.prefix(16) == [0, 0, 0, 1, 0, 32, 0, 32, 0, 8, 0, 2, 0, 0, 0, 0])
    #expect(second.suffix(4) == [0xFF, 0, 0, 0])
    #expect(viewer.session.output() == [])
    #expect(viewer.request(incremental: true, 0, 0, 8, 8) == [])
    // Together with the request that still waits; then by itself.
    #expect(viewer.request(incremental: false, 3, 4, 2, 1).count == 16 + 8 * 8 * 4)
    #expect(viewer.request(incremental: false, 3, 4, 2, 1).count == 16 + 8)
    #expect(viewer.request(incremental: false, 200, 200, 9, 9) == [])
  }

  @Test func unsentChangesStayForTheNextRequest() {
    var viewer = TestViewer()
    _ = viewer.start()
    _ = viewer.request(incremental: false)
    viewer.session.update(Picture(width: 40, height: 34, colour: 1))
    #expect(viewer.request(incremental: true, 0, 0, 10, 10).count == 16 + 400)
    let rest = viewer.request(incremental: true)
    #expect(rest.count > 16 + 4 * (40 * 34 - 32 * 32))
  }

  @Test func pixelFormats() {
    for (format, expected) in [
      ([32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0], [0, 0x10, 0x20, 0x30]),
      ([16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0], [0x06, 0x11]),
      ([16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0], [0x11, 0x06]),
      ([8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6], [0x48]),
    ] as [([UInt8], [UInt8])] {
      var viewer = TestViewer()
      _ = viewer.start()
      #expect(viewer.send([0, 0, 0, 0] + format + [0, 0, 0]) == [])
      #expect(viewer.request(incremental: false, 0, 0, 1, 1).dropFirst(16) == expected[...])
    }
  }

  @Test func colourMapInsteadOfTrueColour() {
    var viewer = TestViewer()
    _ = viewer.start()
    _ = viewer.send([0, 0, 0, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    let bytes = viewer.request(incremental: false, 0, 0, 1, 1)
    #expect(bytes.prefix(6) == [1, 0, 0, 0, 1, 0])
    #expect(bytes[(6 + 6 * 255)..<(6 + 6 * 256)] == [255, 255, 255, 255, 255, 255])
    #expect(bytes.count == 6 + 6 * 256 + 17)
    #expect(bytes.last == 0x48)
    #expect(viewer.request(incremental: false, 0, 0, 1, 1).count == 17)
  }

  @Test func solidRectanglesAreShort() {
    var viewer = TestViewer()
    _ = viewer.start()
    _ = viewer.setEncodings(2, 0)
    let update = viewer.request(incremental: false)
    #expect(update == [0, 0, 0, 1, 0, 0, 0, 0, 0, 40, 0, 34, 0, 0, 0, 2, 0, 0, 0, 0, 0x30, 0x20, 0x10, 0])
    _ = viewer.setEncodings(0)
    #expect(viewer.request(incremental: false).count == 16 + 40 * 34 * 4)
  }

  @Test func resizes() {
    var viewer = TestViewer()
    _ = viewer.start()
    _ = viewer.request(incremental: false)
    let large = Picture(width: 80, height: 50, colour: 9)
    // A viewer that cannot gets what fits.
    viewer.session.update(large)
    #expect(viewer.request(incremental: true).count == 16 + 40 * 34 * 4)
    _ = viewer.setEncodings(0, -223)
    #expect(viewer.request(incremental: true) == [0, 0, 0, 1, 0, 0, 0, 0, 0, 80, 0, 50, 0xFF, 0xFF, 0xFF, 0x21])
    #expect(viewer.session.output() == [])
    #expect(viewer.request(incremental: true).count == 16 + 80 * 50 * 4)
    viewer.session.update(Picture(width: 20, height: 20))
    _ = viewer.setEncodings(0)
    #expect(viewer.request(incremental: true).count > 16)
  }

  @Test func events() {
    var viewer = TestViewer()
    _ = viewer.start()
    _ = viewer.send([4, 1, 0, 0, 0, 0, 0xFF, 0x0D] + [5, 1, 1, 2, 3, 4] + [6, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3])
    #expect(viewer.events == [.key(keysym: 0xFF0D, isDown: true), .pointer(x: 258, y: 772, buttons: 1)])
    let together = viewer.session.receive([
      5, 0, 0, 1, 0, 1, 5, 0, 0, 2, 0, 2, 5, 1, 0, 2, 0, 2, 4, 0, 0, 0, 0, 0, 0, 65,
    ])
    #expect(
      together == [
        .pointer(x: 2, y: 2, buttons: 0), .pointer(x: 2, y: 2, buttons: 1), .key(keysym: 65, isDown: false),
      ])
  }

  @Test func hostileClients() {
    for (bytes, failure) in [
      ([7], .message(7)), ([6, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF], .clipboard(0x7FFF_FFFF)),
      ([0, 0, 0, 0, 24] + [UInt8](repeating: 1, count: 15), .pixelFormat),
      ([0, 0, 0, 0, 8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 8, 0, 0, 0], .pixelFormat),
    ] as [([UInt8], RFBSession.Failure)] {
      var viewer = TestViewer()
      _ = viewer.start()
      #expect(viewer.send(bytes) == [])
      #expect(viewer.session.failure == failure)
      #expect(viewer.session.isClosed)
    }
    for text in ["GET / HTTP/1", "RFB 002.002\n", "RFB 00x.008\n", "RFB 003.0080"] {
      var viewer = TestViewer()
      _ = viewer.session.output()
      #expect(viewer.send(Array(text.utf8)) == [])
      #expect(viewer.session.failure == .version)
    }
    // A flood of requests that nobody reads the answers of is one answer.
    var viewer = TestViewer()
    _ = viewer.start()
    for _ in 0..<1000 {
      _ = viewer.session.receive([3, 0, 0, 0, 0, 0, 0, 40, 0, 34])
      _ = viewer.session.receive([0, 0, 0, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }
    #expect(viewer.session.output().count == 6 + 6 * 256 + 16 + 40 * 34)
    // The longest list of encodings.
    _ = viewer.session.receive([2, 0, 0xFF, 0xFF])
    for _ in 0..<0xFFFF { _ = viewer.session.receive([0, 0, 0, 2]) }
    #expect(viewer.request(incremental: false, 0, 0, 1, 1).count == 4 + 12 + 4 + 1)
  }

  @Test func fuzz() {
    var random = SeededNumbers(13)
    var (closed, updates) = (0, 0)
    let pictures = [
      Picture(width: 40, height: 34), Picture(width: 33, height: 65, colour: 5), Picture(width: 1, height: 1),
    ]
    var viewer = TestViewer()
    _ = viewer.start()
    for _ in 0..<6_000 {
      if viewer.session.isClosed {
        closed += 1
        viewer = TestViewer()
        if Bool.random(using: &random) { _ = viewer.start() }
      }
      let byte = UInt8.random(in: 0...255, using: &random)
      func noise(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in Bool.random(using: &random) ? 0 : UInt8.random(in: 0...255, using: &random) }
      }
      switch byte & 15 {
      case 0: _ = viewer.session.receive(noise(Int(byte >> 4)))
      case 1: _ = viewer.session.receive([0, 0, 0, 0, [8, 16, 32, 24][Int(byte >> 4 & 3)]] + noise(15))
      case 2: _ = viewer.setEncodings(0, [2, -223, 7, -239][Int(byte >> 4 & 3)])
      case 3: _ = viewer.session.receive([6, 0, 0, 0, 0, 0, 0, byte >> 4] + noise(Int(byte >> 4)))
      case 4, 5: viewer.session.update(pictures[Int(byte >> 4) % 3])
      case 6: _ = viewer.session.receive([4, 1] + noise(6) + [5] + noise(5))
      default:
        _ = viewer.session.receive([3, byte >> 7] + noise(8))
        if !viewer.session.output().isEmpty { updates += 1 }
      }
    }
    // Both kinds must have happened, or the fuzzer is blind.
    #expect(closed > 100)
    #expect(updates > 300)
  }
}
