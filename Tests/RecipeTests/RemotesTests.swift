import Binary
import Manifest
import Recipe
import Testing

@Suite struct RemotesTests {
  private static func text(_ storage: String) -> String {
    """
    name: lab
    control-domain: {suite: trixie}
    storage:
    \(storage)
    domains:
      - name: debian
        memory: 384 MiB
        disk: 2 GiB
        source: {debian: {suite: trixie}}
    """
  }

  @Test func remotesAreRead() throws {
    let recipe = try Recipe.parse(
      Self.text(
        """
          remotes:
            more: {address: "iscsi://nas/iqn.2026-11.org.example:disk/2", use: room}
            data: {address: nbd://10.77.0.20/data, attach: debian}
        """), file: "r.yaml")
    #expect(recipe.storage.ramBytes == 1 << 30)
    #expect(recipe.storage.remotes.map(\.name) == ["data", "more"])
    #expect(recipe.storage.remotes.map(\.use) == [.disk, .room])
    #expect(recipe.storage.remotes.map(\.attach) == ["debian", nil])
    let remotes = recipe.storage.remotes.map(ApplianceManifest.Remote.init)
    #expect(
      remotes.map(\.address) == ["nbd://10.77.0.20:10809/data", "iscsi://nas:3260/iqn.2026-11.org.example:disk/2"])
    #expect(remotes.compactMap(\.request) == recipe.storage.remotes)
  }

  @Test func theyDecideTheDigest() throws {
    func digest(_ storage: String) throws -> String {
      try Recipe.parse(Self.text(storage), file: "r.yaml").digest.description
    }
    let without = try digest("  ram: 1 GiB")
    let with = try digest("  remotes: {data: {address: nbd://server/data}}")
    #expect(without != with)
    #expect(try with == digest("  remotes: {data: {use: disk, address: \"nbd://server:10809/data\"}}"))
    #expect(try with != digest("  remotes: {data: {address: nbd://server/data, attach: debian}}"))
    #expect(try with != digest("  remotes: {data: {address: nbd://server/data, use: room}}"))
  }

  @Test(arguments: [
    ("  remote: {}", "4:3: error: unknown key 'remote' in the storage; did you mean 'remotes'?"),
    ("  remotes: [a]", "4:12: error: 'remotes' must have names as its keys"),
    ("  remotes: {data: nbd://server/data}", "4:19: error: a remote must have keys (address, use, attach), not"),
    ("  remotes: {data: {}}", "4:19: error: a remote needs the key 'address'"),
    ("  remotes: {data: {address: ndb://server/data}}", "4:29: error: 'address' in a remote: 'ndb' is none of"),
    ("  remotes: {data: {adress: nbd://server/data}}", "4:20: error: unknown key 'adress' in a remote; did you mean"),
    ("  remotes: {data: {address: nbd://server/data, use: rom}}", "did you mean 'room'?"),
    ("  remotes: {Data: {address: nbd://server/data}}", "4:13: error: the remote's name 'Data' may only have"),
    ("  remotes: {image-a: {address: nbd://server/data}}", "may not begin with 'image-'"),
    ("  remotes: {debian: {address: nbd://server/data}}", "4:13: error: 'debian' is the name of a domain"),
    (
      "  remotes: {data: {address: nbd://server/data, attach: debain}}",
      "4:56: error: 'attach' in a remote: there is no"
    ),
    ("  remotes: {data: {address: nbd://server/data, use: room, attach: debian}}", "room for all guests"),
    ("  remotes: {data: {address: drbd://twin/4GiB, use: room}}", "can only be a disk"),
    ("  remotes: {data: {address: nbd://s/d}, data: {address: nbd://s/d}}", "the remotes has the key 'data' twice"),
  ])
  func mistakesHaveTheirPlace(storage: String, expected: String) {
    let found = problems(Self.text(storage))
    #expect(found.contains { $0.contains(expected) }, "\(found)")
  }
}
