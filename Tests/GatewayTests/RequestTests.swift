import Control
import HTTPTypes
import Manifest
import Platform
import Synchronization
import Testing
@testable import Gateway

@Suite("Requests over HTTP")
struct RequestTests {
  private static let cap: ResourceLimits = {
    var limits = ResourceLimits()
    limits.cpuCap = 150
    return limits
  }()

  /// What is sent to each endpoint that wants a body, and what the domain manager is asked then.
  static let cases: [(method: String, path: String, body: String?, request: ControlRequest)] = [
    ("GET", "/v1/domains/debian/console/tail?bytes=10", nil, .init(id: 0, op: .tail, domain: "debian", bytes: 10)),
    ("POST", "/v1/domains/debian/start", nil, .init(id: 0, op: .start, domain: "debian")),
    ("POST", "/v1/domains/debian/stop", nil, .init(id: 0, op: .stop, domain: "debian")),
    ("POST", "/v1/domains/debian/reboot", nil, .init(id: 0, op: .reboot, domain: "debian")),
    ("POST", "/v1/domains/debian/destroy", nil, .init(id: 0, op: .destroy, domain: "debian")),
    ("POST", "/v1/domains/debian/pause", nil, .init(id: 0, op: .pause, domain: "debian")),
    ("POST", "/v1/domains/debian/unpause", nil, .init(id: 0, op: .unpause, domain: "debian")),
    ("GET", "/v1/domains/debian/info", nil, .init(id: 0, op: .info, domain: "debian")),
    (
      "POST", "/v1/domains/debian/limit", #"{"cpuCap":150}"#,
      .init(id: 0, op: .limit, domain: "debian", limits: cap)
    ),
    (
      "POST", "/v1/domains/debian/vcpu-set", #"{"cpus":2}"#,
      .init(id: 0, op: .processorSet, domain: "debian", cpus: 2)
    ),
    ("DELETE", "/v1/domains/debian", nil, .init(id: 0, op: .remove, domain: "debian")),
    (
      "POST", "/v1/domains", #"{"spec":{"name":"new"},"start":false}"#,
      .init(id: 0, op: .create, spec: DomainSpec(name: "new"), start: false)
    ),
    ("POST", "/v1/appliance/poweroff", nil, .init(id: 0, op: .poweroff)),
    ("POST", "/v1/appliance/reboot", nil, .init(id: 0, op: .rebootHost)),
    ("GET", "/v1/storage", nil, .init(id: 0, op: .storage)),
    ("GET", "/v1/disks", nil, .init(id: 0, op: .diskList)),
    ("POST", "/v1/disks", #"{"name":"n","bytes":8}"#, .init(id: 0, op: .diskCreate, bytes: 8, disk: "n")),
    ("DELETE", "/v1/disks/data", nil, .init(id: 0, op: .diskDestroy, disk: "data")),
    ("POST", "/v1/disks/data/resize", #"{"bytes":16}"#, .init(id: 0, op: .diskResize, bytes: 16, disk: "data")),
    (
      "POST", "/v1/disks/data/snapshot", #"{"snapshot":"s"}"#,
      .init(id: 0, op: .diskSnapshot, disk: "data", snapshot: "s")
    ),
    (
      "POST", "/v1/disks/data/rollback", #"{"snapshot":"s"}"#,
      .init(id: 0, op: .diskRollback, disk: "data", snapshot: "s")
    ),
    ("POST", "/v1/disks/data/clone", #"{"clone":"c"}"#, .init(id: 0, op: .diskClone, disk: "data", clone: "c")),
    ("POST", "/v1/disks/data/attach", #"{"domain":"bsd"}"#, .init(id: 0, op: .diskAttach, domain: "bsd", disk: "data")),
    ("POST", "/v1/disks/data/detach", nil, .init(id: 0, op: .diskDetach, disk: "data")),
    (
      "POST", "/v1/remotes", #"{"name":"r","address":"nbd://s/e","wipe":true}"#,
      .init(id: 0, op: .remoteConnect, disk: "r", address: "nbd://s/e", use: "disk", force: true)
    ),
    ("DELETE", "/v1/remotes/r", nil, .init(id: 0, op: .remoteDisconnect, disk: "r")),
    ("POST", "/v1/remotes/r/promote", #"{"force":false}"#, .init(id: 0, op: .remotePromote, disk: "r")),
    ("POST", "/v1/remotes/r/demote", nil, .init(id: 0, op: .remoteDemote, disk: "r")),
    ("GET", "/v1/usage", nil, .init(id: 0, op: .usage)),
    ("GET", "/v1/networks", nil, .init(id: 0, op: .networkList)),
    (
      "POST", "/v1/networks", #"{"name":"left","mode":"isolated","address":"10.80.1.1/24"}"#,
      .init(id: 0, op: .networkCreate, network: .init(name: "left", mode: .isolated, address: "10.80.1.1/24"))
    ),
    (
      "DELETE", "/v1/networks/left", nil,
      .init(id: 0, op: .networkRemove, network: .init(name: "left", mode: .isolated))
    ),
    (
      "POST", "/v1/domains/debian/cards/1/link", #"{"delay":1000,"isDown":false}"#,
      .init(id: 0, op: .networkLink, domain: "debian", card: 1, link: .init(delay: 1000, isDown: false))
    ),
  ]

  @Test("Each endpoint asks the domain manager for what it says, and passes the answer on")
  func endpoints() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    for entry in Self.cases {
      let answer = try await gateway.ask(entry.method, entry.path, as: .admin, body: entry.body)
      #expect(answer.status == 200, "\(entry.path): \(answer.body)")
      #expect(answer.headers["content-type"] == "application/json")
      var asked = try #require(manager.requests.last)
      asked.id = 0
      #expect(asked == entry.request, "\(entry.path)")
      guard case .success(let expected) = Samples.answer(entry.request) else { continue }
      #expect(answer.body == expected, "\(entry.path)")
    }
    // What the table leaves out is asked for below.
    let patterns = Set(Endpoint.all.map { "\($0.method.rawValue) \($0.path)" })
    let seen = Set(
      Self.cases.flatMap { entry in
        Endpoint.all.filter {
          $0.method.rawValue == entry.method && $0.matches(String(entry.path.prefix { $0 != "?" }))
        }
        .map { "\($0.method.rawValue) \($0.path)" }
      })
    #expect(
      patterns.subtracting(seen) == [
        "GET /v1/domains", "GET /v1/domains/{domain}", "GET /v1/appliance", "GET /v1/remotes", "GET /v1/events",
        "GET /metrics", "GET /v1/openapi.json",
      ])
    #expect(gateway.log.list.withLock { $0 }.contains("the-admin: disk-destroy data"))
    #expect(!gateway.log.list.withLock { $0 }.contains { $0.contains("disk-list") })
  }

  @Test("What is there is shown, over the unix socket without a token, and by one connection again and again")
  func looking() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    let path = "\(gateway.directory)/http.sock"
    let bodies = try await blocking {
      let connection = try HTTPConnection(path: path)
      return try ["/v1/domains", "/v1/domains/bsd", "/v1/appliance", "/v1/remotes", "/v1/openapi.json"].map {
        let answer = try connection.ask("GET", $0)
        #expect(answer.status == 200)
        return answer.body
      }
    }
    #expect(bodies[0] == (try Samples.json(DomainList(domains: Samples.overview.domains))))
    #expect(bodies[1] == (try Samples.json(Samples.domain("bsd", .off))))
    #expect(bodies[2] == (try Samples.json(Samples.appliance)))
    #expect(bodies[3] == (try Samples.json(RemoteList(remotes: [Samples.remote]))))
    #expect(bodies[4] == String(decoding: OpenAPIDocument.bytes, as: UTF8.self))
    _ = manager
  }

  @Test("Roles: who may less is refused, and nothing is asked of the domain manager")
  func roles() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    let requests: [(String, String, least: Role)] = [
      ("GET", "/v1/domains", .viewer), ("POST", "/v1/domains/debian/stop", .operator),
      ("POST", "/v1/appliance/poweroff", .admin), ("DELETE", "/v1/disks/data", .admin),
    ]
    for (method, path, least) in requests {
      for role in Role.allCases {
        let before = manager.requests.count
        let answer = try await gateway.ask(method, path, as: role)
        #expect(answer.status == (role < least ? 403 : 200), "\(path) as \(role)")
        #expect(answer.code == (role < least ? "forbidden" : nil))
        #expect(manager.requests.count == (role < least ? before : before + 1))
      }
    }
  }

  @Test("Without a token, or with a wrong one, nothing is told, and wrong ones wait longer and longer")
  func tokens() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    for path in ["/v1/domains", "/v1/nothing", "/metrics", "/v1/openapi.json"] {
      let answer = try await blocking { try HTTPConnection(port: port).ask("GET", path, token: "wrong") }
      #expect(answer.status == 401)
      #expect(answer.code == "unauthorized")
      #expect(answer.headers["www-authenticate"] == "Bearer")
    }
    let bare = try await blocking { try HTTPConnection(port: port).ask("GET", "/v1/domains") }
    #expect(bare.status == 401)
    #expect(gateway.pauses.list.withLock { $0 } == [0.25, 0.5, 1, 2])
    #expect(try await gateway.ask("GET", "/v1/domains", as: .viewer).status == 200)
    #expect(manager.requests.filter { $0.op == .list }.count == 1)
  }

  @Test("What cannot be answered says why")
  func refusals() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    let cases: [(method: String, path: String, body: String?, status: Int, code: String)] = [
      ("GET", "/v1/domains/nobody", nil, 404, "unknown-domain"),
      ("POST", "/v1/domains/nobody/start", nil, 404, "unknown-domain"),
      ("POST", "/v1/domains/a%2Fb%00/start", nil, 404, "unknown-domain"),
      ("GET", "/", nil, 404, "not-found"), ("GET", "/v1/domains/debian/start/now", nil, 404, "not-found"),
      ("GET", "/v1/domains/debian/start", nil, 405, "wrong-method"), ("PUT", "/v1/disks", nil, 405, "wrong-method"),
      ("PATCH", "/v1/disks", nil, 405, "wrong-method"),
      ("POST", "/v1/disks", "{", 400, "malformed-request"), ("POST", "/v1/disks", nil, 400, "malformed-request"),
      ("POST", "/v1/disks", #"{"name":"n"}"#, 400, "malformed-request"),
      ("POST", "/v1/disks", #"{"name":7,"bytes":8}"#, 400, "malformed-request"),
      ("POST", "/v1/disks", "[]", 400, "malformed-request"),
      ("POST", "/v1/disks", String(repeating: "[", count: 60_000), 400, "malformed-request"),
      ("GET", "/v1/domains/debian/console/tail?bytes=x", nil, 400, "malformed-request"),
      ("GET", "/v1/domains/debian/console/tail?bytes=999999999999", nil, 400, "malformed-request"),
      ("POST", "/v1/disks", String(repeating: " ", count: 70_000), 413, "too-large"),
    ]
    for entry in cases {
      let answer = try await gateway.ask(entry.method, entry.path, as: .admin, body: entry.body)
      #expect(answer.status == entry.status, "\(entry.method) \(entry.path): \(answer.body)")
      #expect(answer.code == entry.code, "\(entry.method) \(entry.path): \(answer.body)")
    }
    _ = manager
  }

  @Test(
    "What the domain manager refuses has its status",
    arguments: [
      ("unknown-disk", 404), ("wrong-state", 409), ("malformed-request", 400), ("storage", 422), ("system", 500),
      ("timed-out", 504), ("of-another-time", 500),
    ])
  func managersRefusals(code: String, status: Int) async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager { request in
      request.op == .subscribe ? Samples.answer(request) : .failure(ControlError(.init(rawValue: code), "not now"))
    }
    let answer = try await gateway.ask("POST", "/v1/disks/data/detach", as: .operator)
    #expect(answer.status == status)
    #expect(answer.body == #"{"error":{"code":"\#(code)","message":"not now"}}"#)
    _ = manager
  }

  @Test("While the domain manager is not there requests are refused at once, and when it comes they are answered")
  func managerComesAndGoes() async throws {
    let gateway = try GatewayFixture()
    let early = try await gateway.ask("GET", "/v1/domains", as: .viewer)
    #expect(early.status == 503)
    #expect(early.code == "unreachable")
    #expect(early.headers["retry-after"] == "1")
    let isMute = Mutex(false)
    let manager = try await gateway.manager { request in
      // It ends while it is asked.
      if isMute.withLock({ $0 }) { Samples.hangUp.withLock { $0?.hangUp() } }
      return Samples.answer(request)
    }
    #expect(try await gateway.ask("GET", "/v1/domains", as: .viewer).status == 200)
    Samples.hangUp.withLock { $0 = manager }
    isMute.withLock { $0 = true }
    let cut = try await gateway.ask("GET", "/v1/domains", as: .viewer)
    #expect(cut.status == 503)
    isMute.withLock { $0 = false }
    Samples.hangUp.withLock { $0 = nil }
    try await eventually("it is reached again") {
      try await gateway.ask("GET", "/v1/domains", as: .viewer).status == 200
    }
    manager.stop()
    try await eventually("it is gone") { try await gateway.ask("GET", "/v1/domains", as: .viewer).status == 503 }
    let metrics = try await gateway.ask("GET", "/metrics", as: .viewer)
    #expect(metrics.status == 200)
    #expect(metrics.body.contains("\nroost_up 0\n"))
  }

  @Test("Events come to all that want them from one subscription, and say when the domain manager is gone")
  func events() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    let secret = try #require(GatewayFixture.secrets[.viewer])
    let connections = try await blocking {
      try (0..<3).map { _ in
        let connection = try HTTPConnection(port: port)
        try connection.send("GET /v1/events HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer \(secret)\r\n\r\n")
        let head = try connection.receiveHead()
        #expect(head.status == 200)
        #expect(head.headers["content-type"] == "text/event-stream")
        return connection
      }
    }
    try await expect("event: overview", on: connections)
    manager.say(#"{"event":"domain","domain":\#(try Samples.json(Samples.domain("bsd", .starting)))}"#)
    try await expect("event: domain", on: connections)
    manager.say(#"{"event":"removed","name":"bsd"}"#)
    try await expect("event: removed", on: connections)
    manager.hangUp()
    try await expect("event: lost", on: connections)
    try await expect("event: overview", on: connections)
    #expect(manager.requests.filter { $0.op == .subscribe }.count == 2)
  }

  /// Reads until a line is there; nothing may come between but data and what ends an event.
  private func expect(_ line: String, on connections: [HTTPConnection]) async throws {
    try await blocking {
      for connection in connections {
        while true {
          let next = try connection.line()
          if next == line { break }
          try #require(!next.hasPrefix("event: "), "\(next) came before \(line)")
        }
      }
    }
  }

  @Test("Metrics tell of domains, the pool, and the gateway's own requests")
  func metrics() async throws {
    let gateway = try GatewayFixture()
    let manager = try await gateway.manager(Samples.answer)
    _ = try await gateway.ask("GET", "/v1/domains/nobody", as: .viewer)
    _ = try await gateway.ask("GET", "/made/up", as: .viewer)
    let answer = try await gateway.ask("GET", "/metrics", as: .viewer)
    #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
    let lines = Set(answer.body.split(separator: "\n").map(String.init))
    for line in [
      "roost_up 1", #"roost_domain_state{domain="bsd",state="off"} 1"#,
      #"roost_domain_state{domain="bsd",state="ready"} 0"#,
      #"roost_domain_cpu_seconds_total{domain="debian"} 2.5"#, #"roost_domain_resident_bytes{domain="debian"} 4096"#,
      #"roost_domain_steal_seconds_total{domain="debian"} 0.5"#,
      #"roost_domain_vm_exits_total{domain="debian",cause="mmio"} 4"#,
      #"roost_domain_vm_exits_total{domain="debian",cause="hypercall"} 7"#,
      #"roost_domain_vm_exits_all_total{domain="debian"} 100"#,
      #"roost_domain_disk_requests_total{domain="debian",disk="data",kind="read"} 3"#,
      #"roost_domain_disk_bytes_total{domain="debian",disk="data",kind="write"} 8192"#,
      #"roost_domain_disk_failures_total{domain="debian",disk="data"} 1"#,
      #"roost_domain_disk_request_seconds_bucket{domain="debian",disk="data",le="0.0005"} 1"#,
      #"roost_domain_disk_request_seconds_bucket{domain="debian",disk="data",le="0.5"} 5"#,
      #"roost_domain_disk_request_seconds_bucket{domain="debian",disk="data",le="+Inf"} 6"#,
      #"roost_domain_disk_request_seconds_sum{domain="debian",disk="data"} 0.25"#,
      #"roost_domain_disk_request_seconds_count{domain="debian",disk="data"} 6"#,
      #"roost_domain_disk_request_longest_seconds{domain="debian",disk="data"} 0.125"#,
      #"roost_domain_network_frames_total{domain="debian",direction="receive"} 10"#,
      #"roost_domain_network_drops_total{domain="debian",direction="receive"} 3"#,
      #"roost_domain_network_bytes_total{domain="debian",direction="send"} 2000"#,
      #"roost_domain_restarts{domain="debian"} 3"#, #"roost_domain_ready_seconds{domain="debian"} 9.25"#,
      "roost_pool_used_ratio 0.25", "roost_pool_full 1",
      #"roost_gateway_requests_total{method="GET",route="/v1/domains/{domain}",status="404"} 1"#,
      #"roost_gateway_requests_total{method="GET",route="none",status="404"} 1"#,
      #"roost_gateway_request_seconds_count{route="/v1/domains/{domain}"} 1"#,
      #"roost_gateway_request_seconds_bucket{route="none",le="+Inf"} 1"#,
      "# TYPE roost_gateway_request_seconds histogram",
    ] {
      #expect(lines.contains(line), "\(line)")
    }
    _ = manager
  }
}

extension Samples {
  /// Who is to hang up while it is asked.
  static let hangUp = Mutex<FakeManager?>(nil)
}
