import Manifest
import TestMachine
import Testing

@Suite struct RemoteAddressTests {
  private static func parsed(_ text: String) throws -> RemoteAddress { try RemoteAddress.parse(text).get() }

  /// What each address is in its full form.
  @Test(arguments: [
    ("nbd://10.77.0.20/data", "nbd://10.77.0.20:10809/data"),
    ("nbd://server:10810/a/b.img", "nbd://server:10810/a/b.img"),
    ("nbd://nas.example.org", "nbd://nas.example.org:10809"),
    ("iscsi://nas/iqn.2026-11.org.example:disk", "iscsi://nas:3260/iqn.2026-11.org.example:disk/1"),
    ("iscsi://10.0.0.1:3261/iqn.2026-11.org.example:disk/0", "iscsi://10.0.0.1:3261/iqn.2026-11.org.example:disk/0"),
    ("iscsi://nas/eui.02004567a425678d/255", "iscsi://nas:3260/eui.02004567a425678d/255"),
    ("aoe://7.1", "aoe://7.1"), ("aoe://65534.254/eth1", "aoe://65534.254/eth1"),
    ("drbd://10.0.0.2/4GiB", "drbd://10.0.0.2:7788/4096MiB"), ("drbd://twin:7790/16MiB", "drbd://twin:7790/16MiB"),
  ])
  func addressesHaveOneFullForm(text: String, full: String) throws {
    let address = try Self.parsed(text)
    #expect(address.description == full)
    #expect(try Self.parsed(full) == address)
    #expect(text.hasPrefix("\(address.scheme.rawValue)://"))
    // It fits into a tag of LVM's (lvm(8), "Valid names").
    #expect(
      full.utf8.allSatisfy {
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-/=!:&#".utf8.contains($0)
      })
  }

  @Test(arguments: [
    ("", "is no address"), ("data", "is no address"), ("ndb://server/data", "did you mean nbd?"),
    ("http://server/data", "is none of nbd, iscsi, aoe, drbd"), ("NBD://server/x", "did you mean nbd?"),
    ("nbd:///data", "not a host name"), ("nbd://server/", "its export has no name"),
    ("nbd://server:0/x", "port must be a number from 1 to 65535, not '0'"), ("nbd://server:65536/x", "not '65536'"),
    ("nbd://server:+1/x", "not '+1'"), ("nbd://server:/x", "not ''"),
    ("nbd://[::1]/x", "may not have the character '['"),
    ("nbd://a:b:c/x", "IPv6"), ("nbd://-server/x", "not a host name"), ("nbd://10.0.0/x", "not a host name"),
    ("nbd://300.1.1.1/x", "not a host name"), ("nbd://Server/x", "not a host name"),
    ("nbd://server/a b", "may not have the character ' '"), ("nbd://server/a'b", "may not have the character '''"),
    ("nbd://server/a\nb", "may not have the character '?'"), ("nbd://server/ä", "may not have the character 'ä'"),
    ("nbd://server/x?y", "may not have the character '?'"), ("nbd://server/-x;y", "';'"),
    ("iscsi://server", "needs a server and a target"), ("iscsi://server/disk", "not the name of a target"),
    ("iscsi://server/iqn.", "not the name of a target"), ("iscsi://server/iqn.2026-11.org.Example:x", "lower case"),
    ("iscsi://server/iqn.2026-11.org.example:x/256", "logical unit must be a number from 0 to 255"),
    ("iscsi://server/iqn.2026-11.org.example:x/1/2", "needs a server and a target"),
    ("aoe://7", "needs a shelf and a slot"), ("aoe://7.1.2", "needs a shelf and a slot"),
    ("aoe://65535.1", "shelf must be a number from 0 to 65534"), ("aoe://7.255", "slot must be a number from 0 to 254"),
    ("aoe://7.1/", "not the name of a network interface"), ("aoe://7.1/..", "not the name of a network interface"),
    ("aoe://7.1/an-interface-too-long", "not the name"), ("aoe://-1.0", "shelf must be"),
    ("drbd://twin", "needs the other machine and a size"), ("drbd://twin/4", "has no unit"),
    ("drbd://twin/17MiB", "multiple of 4 MiB"), ("drbd://twin/4MiB", "from 16 MiB"),
    ("drbd://twin/99999999999999999999GiB", "too large"),
  ])
  func whatIsNoAddressIsSaid(text: String, expected: String) {
    guard case .failure(let error) = RemoteAddress.parse(text) else {
      Issue.record("\(text) was taken")
      return
    }
    #expect(error.description.contains(expected), "\(error)")
  }

  @Test func overlongAddressesAreRefused() {
    for text in ["nbd://server/\(String(repeating: "x", count: 600))", String(repeating: "a.", count: 400)] {
      #expect(throws: QuantityError.self) { try Self.parsed(text) }
    }
  }

  @Test func whateverIsWrittenIsReadOrRefused() {
    let seeds = [
      "nbd://10.77.0.20:10809/data", "iscsi://nas/iqn.2026-11.org.example:disk/1", "aoe://7.1/eth0", "drbd://twin/4GiB",
    ].map { Array($0.unicodeScalars) }
    let pieces = [
      "://", "/", ":", ".", "..", "%00", "\u{0}", "🚲", "-", "99999999999", "iqn.", " ", "\n", "[::]", "GiB",
    ]
    .map { Array($0.unicodeScalars) }
    var random = SeededNumbers(4)
    var taken = 0
    for _ in 0..<20_000 {
      var text = seeds.randomElement(using: &random) ?? []
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let place = Int.random(in: 0...text.count, using: &random)
        if Bool.random(using: &random), place < text.count {
          text.remove(at: place)
        } else {
          text.insert(contentsOf: pieces.randomElement(using: &random) ?? [], at: place)
        }
      }
      var string = String.UnicodeScalarView()
      string.append(contentsOf: text)
      guard case .success(let address) = RemoteAddress.parse(String(string)) else { continue }
      taken += 1
      #expect(RemoteAddress.parse(address.description) == .success(address))
      #expect(!address.description.contains { $0.isWhitespace || $0.isNewline || $0 == "'" || $0 == "\"" })
    }
    #expect(taken > 500)
  }

  @Test func requestsThatMakeNoSenseAreSaid() throws {
    let nbd = try Self.parsed("nbd://server/data")
    let drbd = try Self.parsed("drbd://twin/4GiB")
    #expect(RemoteRequest(name: "data", address: nbd, use: .room).problem == nil)
    #expect(RemoteRequest(name: "data", address: drbd, attach: "debian").problem == nil)
    #expect(RemoteRequest(name: "Data", address: nbd).problem?.contains("lower-case") == true)
    #expect(RemoteRequest(name: "pvmove0", address: nbd).problem?.contains("kept for") == true)
    #expect(RemoteRequest(name: "data", address: drbd, use: .room).problem?.contains("only be a disk") == true)
    #expect(
      RemoteRequest(name: "data", address: nbd, use: .room, attach: "debian").problem?.contains("room for all") == true)
  }
}
