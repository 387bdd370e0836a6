import Binary
import Manifest
import Platform
import TestMachine
import Testing

@testable import Storage

@Suite struct RemoteTagTests {
  private static func request(_ name: String, _ address: String, _ use: RemoteUse = .disk) throws -> RemoteRequest {
    RemoteRequest(name: name, address: try RemoteAddress.parse(address).get(), use: use)
  }

  @Test func tagsRememberWhatWasConnectedByHand() throws {
    let data = try Self.request("data", "nbd://server/data")
    let more = try Self.request("more", "iscsi://nas/iqn.2026-11.org.example:disk/2", .room)
    let tags = [
      "roost.home", RemoteTags.tag(data), RemoteTags.tag(more),
      RemoteTags.tag(room: "more", is: "abcdef-0123-4567-89ab-cdef-0123-456789"),
      RemoteTags.tag("data", attachedTo: "debian"),
    ]
    let read = RemoteTags(tags)
    #expect(read.requests == [data, more])
    #expect(read.rooms == ["abcdef-0123-4567-89ab-cdef-0123-456789": "more"])
    let records = read.records(with: [])
    #expect(records.map(\.name) == ["data", "more"])
    #expect(records.map(\.attachedTo) == ["debian", nil])
    #expect(records.map(\.volume) == [nil, "abcdef-0123-4567-89ab-cdef-0123-456789"])
    #expect(records.allSatisfy { !$0.isInRecipe && $0.device == nil })
    #expect(RemoteTags.all(of: "data", in: tags) == [tags[1], tags[4]])
    #expect(RemoteTags.attachments(of: "data", in: tags) == [tags[4]])
    #expect(RemoteTags.all(of: "dat", in: tags).isEmpty)
  }

  @Test func theRecipeGoesFirstAndTheUserDecidesWhoHasWhat() throws {
    var recipe = try Self.request("data", "nbd://server/data")
    recipe.attach = "debian"
    let other = try Self.request("data", "nbd://elsewhere/data")
    #expect(RemoteTags([]).records(with: [recipe]).map(\.attachedTo) == ["debian"])
    let detached = RemoteTags([RemoteTags.tag(other), RemoteTags.tag("data", attachedTo: nil)])
      .records(with: [recipe])
    #expect(detached.map(\.address) == ["nbd://server:10809/data"] && detached[0].isInRecipe)
    #expect(detached[0].attachedTo == nil)
  }

  @Test(arguments: [
    "roost.remote.data", "roost.remote.data=", "roost.remote.=disk:nbd://s/d", "roost.remote.data=disk",
    "roost.remote.data=tape:nbd://s/d", "roost.remote.data=disk:http://s/d", "roost.remote.Data=disk:nbd://s/d",
    "roost.remote.data=room:drbd://twin/4GiB", "roost.remotes.data=disk:nbd://s/d", "data", "",
  ])
  func othersTagsAreNoRemotes(tag: String) {
    #expect(RemoteTags([tag]).records(with: []).isEmpty)
  }

  @Test func recordsAreShownAsDisks() throws {
    var state = StorageState(.ready, volumeGroup: "roost")
    var record = RemoteRecord(try Self.request("data", "nbd://server/data"), isInRecipe: false)
    let volume = Disk(
      name: "alpha", device: "/dev/roost/alpha", bytes: 1, usedPercent: 0, kind: .domain, origin: nil, attachedTo: nil,
      isOpen: false)
    state.remotes = [record, RemoteRecord(try Self.request("more", "aoe://1.0", .room), isInRecipe: true)]
    state.show([volume])
    #expect(state.disks.map(\.name) == ["alpha", "data"])
    #expect(state.disks.map(\.kind) == [.domain, .remote] && state.disks[1].isAbsent == true)
    record.device = "/dev/nbd-none"
    record.bytes = 1 << 20
    record.isPrimary = false
    state.remotes = [record]
    state.showRemotes()
    #expect(state.disks.map(\.name) == ["alpha", "data"])
    #expect(state.disks[1].isAbsent == nil && state.disks[1].isSecondary == true && state.disks[1].bytes == 1 << 20)
  }

  @Test func aStateThatWaitsSaysForWhat() throws {
    var state = StorageState(.failed, volumeGroup: "roost")
    state.wait(
      for: StorageError(.home, "no", tags: ["roost.room.more=b"]), recipe: [], directory: "/tmp/roost-no-such-directory"
    )
    #expect(state.waitingFor.isEmpty)
    let more = try Self.request("more", "nbd://server/more", .room)
    let data = try Self.request("data", "nbd://server/data")
    state.wait(
      for: StorageError(.waiting, "waits", tags: [RemoteTags.tag(more), "roost.room.more=b"]), recipe: [data],
      directory: "/tmp/roost-no-such-directory")
    #expect(state.waitingFor == ["more"])
    #expect(state.remotes.map(\.name) == ["data", "more"])
  }

  @Test func aReplicaHasRoomForItsBookkeeping() {
    for bytes in [16 << 20, 64 << 20, 4 << 30, 1 << 40] {
      let size = Replica.size(for: bytes)
      // A bit for each 4 KiB, 32 KiB of log, 4 KiB for the superblock (drbdmeta.c).
      #expect(size - bytes >= bytes / 4096 / 8 + (32 << 10) + (4 << 10))
      #expect(size.isMultiple(of: 4 << 20) && size - bytes <= bytes / 32768 + (8 << 20))
    }
    #expect(DRBDDriver.minor(in: "resource twin {\n  _this_host {\n    volume 0 {\n\t\tdevice\t\t\tminor 12;\n") == 12)
    #expect(DRBDDriver.minor(in: "resource twin {\n  device") == nil && DRBDDriver.minor(in: "") == nil)
  }

  @Test func connectionsAreFoundByTheirPort() {
    let table = """
        sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
         0: 0100007F:2A39 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
         1: 0100630A:C7A8 0200630A:2A39 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 0 10 -1
         2: 0100630A:C7A9 0200630A:2A39 08 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 0 10 -1
      """
    #expect(NBDDriver.isEstablished(0xC7A8, to: 0x2A39, in: table))
    #expect(!NBDDriver.isEstablished(0xC7A8, to: 80, in: table), "a port may be shared by connections elsewhere")
    #expect(!NBDDriver.isEstablished(0xC7A9, to: 0x2A39, in: table))
    #expect(!NBDDriver.isEstablished(0x2A39, to: 0x2A39, in: table))
    #expect(!NBDDriver.isEstablished(1, to: 1, in: "garbage\n 0: x y 01"))
  }

  @Test func anInitiatorsNameIsItsMachines() throws {
    let name = try ISCSIDriver.initiatorName()
    #expect(name.hasPrefix("iqn.1993-08.org.debian:01:") && name.count == 38)
    #expect(try ISCSIDriver.initiatorName() == name)
  }
}

@Suite struct NBDHandshakeTests {
  private static let greeting = "NBDMAGICIHAVEOPT"

  private static func greet(_ flags: UInt16) -> [UInt8] {
    var writer = ByteWriter()
    writer.raw(Array(greeting.utf8))
    writer.big(flags)
    return writer.bytes
  }

  private static func reply(_ type: UInt32, _ content: [UInt8] = [], option: UInt32 = 7) -> [UInt8] {
    var writer = ByteWriter()
    writer.big(UInt64(0x0003_E889_0455_65A9))
    writer.big(option)
    writer.big(type)
    writer.big(UInt32(content.count))
    writer.raw(content)
    return writer.bytes
  }

  private static func info(size: UInt64, flags: UInt16) -> [UInt8] {
    var writer = ByteWriter()
    writer.big(UInt16(0))
    writer.big(size)
    writer.big(flags)
    return reply(3, writer.bytes)
  }

  private static func blocks(_ least: UInt32) -> [UInt8] {
    var writer = ByteWriter()
    writer.big(UInt16(3))
    for value in [least, 4096, 1 << 25] { writer.big(value) }
    return reply(3, writer.bytes)
  }

  @Test func aModernServerIsAskedToGo() {
    var handshake = NBDHandshake(export: "data")
    #expect(handshake.wanted == 18)
    guard case .send(let request) = handshake.take(Self.greet(3)) else {
      Issue.record("nothing is sent")
      return
    }
    #expect(
      request == [0, 0, 0, 3] + Array("IHAVEOPT".utf8) + [0, 0, 0, 7, 0, 0, 0, 12, 0, 0, 0, 4] + Array("data".utf8)
        + [0, 1, 0, 3])
    #expect(handshake.take(Self.blocks(1)) == .wait)
    #expect(handshake.take(Self.info(size: 64 << 20, flags: 0x0D)) == .wait)
    #expect(handshake.take(Self.reply(1)) == .done(NBDExport(size: 64 << 20, flags: 0x0D, blockBytes: 512)))
  }

  @Test func itComesInAnyPieces() {
    let whole = Self.greet(3) + Self.info(size: 1 << 30, flags: 3) + Self.blocks(4096) + Self.reply(1)
    var handshake = NBDHandshake(export: "")
    var step = NBDHandshake.Step.wait
    for byte in whole { step = handshake.take([byte]) }
    let export = NBDExport(size: 1 << 30, flags: 3, blockBytes: 4096)
    #expect(step == .done(export))
    #expect(export.isReadOnly)
  }

  @Test func olderServersAreAskedByName() {
    // One knows options, but not this one; the other knows none.
    var handshake = NBDHandshake(export: "data")
    _ = handshake.take(Self.greet(1))
    let byName = Array("IHAVEOPT".utf8) + [0, 0, 0, 1, 0, 0, 0, 4] + Array("data".utf8)
    #expect(handshake.take(Self.reply(0x8000_0001)) == .send(byName))
    #expect(handshake.wanted == 134)
    let size: [UInt8] = [0, 0, 0, 0, 4, 0, 0, 0, 0, 1]
    #expect(handshake.take(size) == .wait)
    #expect(handshake.take([UInt8](repeating: 0, count: 124)) == .done(NBDExport(size: 64 << 20, flags: 1)))
    var old = NBDHandshake(export: "data")
    #expect(old.take(Self.greet(2)) == .send([0, 0, 0, 2] + byName))
    #expect(old.take(size) == .done(NBDExport(size: 64 << 20, flags: 1)))
  }

  @Test(arguments: [
    (0x8000_0006 as UInt32, "has no export named data"), (0x8000_0002, "does not let this machine in"),
    (0x8000_0005, "TLS"), (0x8000_0003, "refuses"), (99, "refuses"), (1, "without saying how large"),
  ])
  func refusalsAreSaid(type: UInt32, expected: String) {
    var handshake = NBDHandshake(export: "data")
    _ = handshake.take(Self.greet(3))
    guard case .refused(let reason) = handshake.take(Self.reply(type)) else {
      Issue.record("\(type) is taken")
      return
    }
    #expect(reason.contains(expected), "\(reason)")
  }

  @Test func whatIsNoServerIsSaid() {
    for bytes in [Array("HTTP/1.1 400 Bad R".utf8), Array("NBDMAGIC".utf8) + [UInt8](repeating: 0, count: 10)] {
      var handshake = NBDHandshake(export: "data")
      guard case .refused(let reason) = handshake.take(bytes) else {
        Issue.record("it is taken")
        continue
      }
      #expect(reason.contains("no NBD server"))
    }
    // Nobody waits for four gigabytes of an answer, and no export is empty.
    var handshake = NBDHandshake(export: "data")
    _ = handshake.take(Self.greet(3))
    let endless = Array(Self.reply(3).prefix(16)) + [255, 255, 255, 255]
    guard case .refused = handshake.take(endless) else {
      Issue.record("it is waited for")
      return
    }
    var empty = NBDHandshake(export: "data")
    _ = empty.take(Self.greet(3))
    #expect(empty.take(Self.info(size: 0, flags: 1)) == .wait)
    #expect(empty.take(Self.reply(1)) == .refused("its export has no size"))
  }

  @Test(arguments: [0, 6, 18])
  func aServerThatHangsUpIsSaidToDoSo(greetingBytes: Int) throws {
    let listener = try InternetSocket.listen(address: 0x7F00_0001, port: 0)
    let port = Int(try InternetSocket.localPort(of: listener.rawValue))
    let number = listener.release()
    let server = try Thread("nbd-server") {
      guard let guest = try? UnixSocket.accept(FileDescriptor(adopting: number)) else { return }
      try? guest.writeAll(Array(Self.greet(3).prefix(greetingBytes)))
      // What was asked is left unread: the connection is reset.
      if greetingBytes == 18 { MonotonicClock.sleep(milliseconds: 200) }
    }
    #expect {
      _ = try NBDHandshake.open("data", address: 0x7F00_0001, port: port, server: "there")
    } throws: {
      "\($0)".hasPrefix("the NBD server there hangs up")
    }
    server.join()
  }

  @Test func hostileServersDoNotTrap() {
    var random = SeededNumbers(7)
    let whole = Self.greet(3) + Self.blocks(512) + Self.info(size: 1 << 30, flags: 1) + Self.reply(1)
    var ends = 0
    for _ in 0..<5_000 {
      var bytes = whole
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      var handshake = NBDHandshake(export: "data")
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = rest.prefix(Int.random(in: 1...40, using: &random))
        rest = rest.dropFirst(piece.count)
        switch handshake.take(Array(piece)) {
        case .done(let export):
          ends += 1
          #expect(export.size > 0 && export.blockBytes >= 512)
          rest = []
        case .refused: rest = []
        case .send, .wait: #expect(handshake.wanted >= 0)
        }
      }
    }
    #expect(ends > 500)
  }
}
