import Testing
@testable import Control

@Suite("Requests about disks, and who may make them")
struct DiskRulesTests {
  private func order(_ request: ControlRequest) throws(ControlError) -> DiskOrder { try DiskOrder(request) }

  @Test("An order is what roost-storage is told")
  func arguments() throws {
    let resize = try order(ControlRequest(id: 1, op: .diskResize, bytes: 2 << 30, disk: "data"))
    #expect(resize.arguments == ["disk", "resize", "data", "--size", "2048MiB", "--json"])
    #expect(resize.words == "roost disk resize data --size 2048MiB")
    #expect(resize.disk == "data")
    #expect(try order(ControlRequest(id: 1, op: .diskList)).arguments == ["disk", "list", "--json"])
  }

  @Test("What is missing is named")
  func missing() {
    for (request, field) in [
      (ControlRequest(id: 1, op: .diskCreate, disk: "data"), "bytes"),
      (ControlRequest(id: 1, op: .diskSnapshot, disk: "data"), "snapshot"),
      (ControlRequest(id: 1, op: .diskRollback, disk: "data"), "snapshot"),
      (ControlRequest(id: 1, op: .diskClone, disk: "data"), "clone"),
    ] {
      let error = #expect(throws: ControlError.self) { try order(request) }
      #expect(error?.code == .malformedRequest && error?.message.contains("\"\(field)\"") == true)
    }
  }

  @Test("Identifiers fit into 20 bytes and stay different")
  func identifiers() {
    #expect(DiskStatus.identifier(of: "data") == "data")
    #expect(DiskStatus.identifier(of: "12345678901234567890") == "12345678901234567890")
    let long = ["one", "two"].map { DiskStatus.identifier(of: "a-disk-with-a-long-name-\($0)") }
    #expect(long[0] != long[1])
    #expect(long.allSatisfy { $0.utf8.count <= 20 && $0.hasPrefix("a-disk-with-") })
  }

  private let users = [
    DiskUser(domain: "debian", ownDisk: "debian", disks: ["data"], isRunning: true, isHotpluggable: true),
    DiskUser(domain: "old", ownDisk: "old", isRunning: false, room: 1), DiskUser(domain: "bare"),
  ]
  private let disks = [
    Samples.disk("debian", kind: .domain), Samples.disk("old", kind: .domain),
    Samples.disk("data", attachedTo: "debian"), Samples.disk("spare", attachedTo: "old"), Samples.disk("free"),
  ]

  private func objection(_ order: DiskOrder) -> String? {
    do throws(ControlError) {
      try DiskRules(disks: disks, users: users).check(order)
      return nil
    } catch {
      return error.message
    }
  }

  @Test("What makes no sense is refused, with the way out")
  func objections() {
    for (order, expected) in [
      (.create("bare", bytes: 1), "bare is the name of a domain"), (.create("free", bytes: 1), "a disk named free"),
      (.snapshot("debian", as: "free"), "a disk named free"), (.clone("gone", as: "x"), "no disk \"gone\""),
      (.rollback("data", to: "free"), "roost disk detach data"), (.rollback("debian", to: "free"), "roost stop debian"),
      (.attach("data", domain: "old"), "attached to debian; detach it first"),
      (.attach("free", domain: "old"), "no room for another IDE disk"),
      (.attach("old", domain: "bare"), "roost disk clone old NAME"), (.detach("free"), "not attached"),
      (.detach("debian"), "it is the disk of the domain debian"), (.destroy("spare"), "roost disk detach spare"),
      (.destroy("old"), "the disk of the domain old"),
    ] as [(DiskOrder, String)] {
      #expect(objection(order)?.contains(expected) == true, "\(order): \(objection(order) ?? "no objection")")
    }
    for order in [
      .list, .create("new", bytes: 1), .resize("debian", bytes: 1), .snapshot("debian", as: "new"),
      .clone("data", as: "new"), .rollback("old", to: "free"), .rollback("spare", to: "free"),
      .attach("free", domain: "bare"), .attach("free", domain: "debian"), .detach("data"), .detach("spare"),
      .destroy("free"),
    ] as [DiskOrder] {
      #expect(objection(order) == nil, "\(order)")
    }
  }

  @Test("A domain of another medium's does not keep its disk from being detached")
  func strangers() {
    let disk = Samples.disk("data", attachedTo: "nobody-any-more")
    let rules = DiskRules(disks: [disk], users: users)
    #expect(throws: Never.self) { try rules.check(.detach("data")) }
    #expect(rules.domains(of: .detach("data")) == ["nobody-any-more"])
  }

  @Test("Domains that a change concerns are held, others not")
  func held() {
    let rules = DiskRules(disks: disks, users: users)
    #expect(rules.domains(of: .rollback("debian", to: "x")) == ["debian"])
    #expect(rules.domains(of: .attach("free", domain: "old")) == ["old"])
    #expect(rules.domains(of: .detach("spare")) == ["old"])
    #expect(rules.domains(of: .snapshot("debian", as: "x")).isEmpty)
    #expect(rules.domains(of: .list).isEmpty)
  }

  @Test("Disks as a table")
  func table() {
    var bare = Samples.disk("free")
    bare.usedPercent = nil
    bare.isOpen = true
    #expect(
      DiskTable.lines([Samples.disk("data", attachedTo: "debian"), bare, Samples.disk("b", kind: .clone, origin: "a")])
        == [
          "NAME  KIND    SIZE  WRITTEN  OF  ATTACHED TO  OPEN",
          "data  disk   1 GiB    1.5 %  -   debian       -",
          "free  disk   1 GiB        -  -   -            yes",
          "b     clone  1 GiB    1.5 %  a   -            -",
        ])
    let narrow = DiskTable.lines([Samples.disk(String(repeating: "n", count: 48), origin: "o")], width: 60)
    #expect(narrow.allSatisfy { $0.count <= 60 })
  }
}
