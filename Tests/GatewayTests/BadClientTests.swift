import Control
import Manifest
import Platform
import Synchronization
import Testing
@testable import Gateway

@Suite("Clients that do not behave")
struct BadClientTests {
  private static let secret = GatewayFixture.secrets[.viewer] ?? ""

  /// Waits until the gateway itself counts no connection but the one that asks.
  private func allAreGone(_ gateway: GatewayFixture) async throws {
    try await eventually("only the asking connection is left") {
      let metrics = try await gateway.ask("GET", "/metrics", as: nil)
      return metrics.body.contains("\nroost_gateway_connections 1\n")
    }
  }

  @Test(
    "A client that is slow with its head, with its body, or between requests is let go; others are served",
    arguments: [
      "", "GET /v1/dom", "GET /v1/domains HTTP/1.1\r\nHost: roost\r\nX: ",
      "POST /v1/disks HTTP/1.1\r\nHost: roost\r\nAuthorization: Bearer \(secret)\r\nContent-Length: 100\r\n\r\n{",
      "GET /v1/domains HTTP/1.1\r\nHost: roost\r\nAuthorization: Bearer \(secret)\r\n\r\n",
    ])
  func slow(text: String) async throws {
    let gateway = try GatewayFixture { limits in
      limits.headSeconds = 1
      limits.bodySeconds = 1
    }
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    let isEnded = try await blocking {
      let connection = try HTTPConnection(port: port)
      try connection.send(text)
      return try connection.isEnded()
    }
    #expect(isEnded)
    try await eventually("others are served") {
      (try? await gateway.ask("GET", "/v1/domains", as: .viewer))?.status == 200
    }
    _ = manager
  }

  @Test("A client that sends its head byte by byte does not stay by that")
  func dripping() async throws {
    let gateway = try GatewayFixture { $0.headSeconds = 1 }
    let port = gateway.port
    let isEnded = try await blocking {
      let connection = try HTTPConnection(port: port)
      try connection.send("GET /v1/domains HTTP/1.1\r\nX: ")
      do {
        // 300 s of drops; the connection is to end long before.
        for _ in 0..<6000 {
          try connection.send("a")
          MonotonicClock.sleep(milliseconds: 50)
        }
        return false
      } catch let error as SystemError {
        return error.errno == .brokenPipe || error.errno == .connectionReset
      }
    }
    #expect(isEnded)
  }

  @Test("Those that come at the moment when the gateway ends are let go")
  func arrivingAtTheEnd() async throws {
    for round in 0..<20 {
      let gateway = try GatewayFixture()
      let port = gateway.port
      let socket = "\(gateway.directory)/http.sock"
      // It comes as fast as it can, until nobody listens any more.
      try Thread("arrivals") {
        while let connection = try? HTTPConnection(port: port) {
          try? connection.send("GET /v1/domains HTTP/1.1\r\n")
          guard Files.exists(socket) else { return }
        }
      }.detach()
      #expect(try await gateway.ask("GET", "/metrics", as: nil).status == 200)
      try await Task.sleep(for: .milliseconds(round))
    }
  }

  @Test("A client that takes nothing is let go")
  func notTaking() async throws {
    let gateway = try GatewayFixture { $0.writeSeconds = 1 }
    let text = String(repeating: "x", count: 1 << 16)
    let manager = try await gateway.manager { request in
      request.op == .tail ? .success(#"{"domain":"debian","text":"\#(text)"}"#) : Samples.answer(request)
    }
    let port = gateway.port
    let connection = try await blocking {
      let connection = try HTTPConnection(port: port)
      let request =
        "GET /v1/domains/debian/console/tail HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer \(Self.secret)\r\n\r\n"
      try connection.send(String(repeating: request, count: 300))
      return connection
    }
    try await allAreGone(gateway)
    #expect(try await blocking { try connection.isEnded() })
    _ = manager
  }

  @Test("Heads that are too large or no HTTP are refused, and the connection ends")
  func badHeads() async throws {
    let gateway = try GatewayFixture()
    let port = gateway.port
    for text in [
      "GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 40_000))\r\n\r\n",
      "GET / HTTP/1.1\r\n\(String(repeating: "X: a\r\n", count: 5_000))\r\n", "\u{16}\u{3}\u{1}\u{2}hello\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n", "GET \(String(repeating: "/a", count: 40_000)) HTTP/1.1\r\n\r\n",
    ] {
      let (status, isEnded) = try await blocking {
        let connection = try HTTPConnection(port: port)
        try? connection.send(text)
        // It may end before all of it was sent, and its answer be lost then.
        let status = try? connection.receiveHead().status
        return (status, try connection.isEnded())
      }
      #expect(status == 400 || status == nil, "\(text.prefix(20))")
      #expect(isEnded)
    }
    #expect(try await gateway.ask("GET", "/v1/openapi.json", as: .viewer).status == 200)
  }

  @Test("A body without a stated length is refused when it gets too large")
  func chunks() async throws {
    let gateway = try GatewayFixture()
    let port = gateway.port
    let secret = try #require(GatewayFixture.secrets[.admin])
    let answer = try await blocking {
      let connection = try HTTPConnection(port: port)
      try connection.send(
        "POST /v1/disks HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer \(secret)\r\nTransfer-Encoding: chunked\r\n\r\n")
      let chunk = "8000\r\n\(String(repeating: " ", count: 0x8000))\r\n"
      for _ in 0..<4 { try? connection.send(chunk) }
      return try connection.receive()
    }
    #expect(answer.status == 413)
    #expect(answer.code == "too-large")
  }

  @Test("Of a thousand connections as many are served as there may be, the others are refused, and the first go on")
  func thousand() async throws {
    let gateway = try GatewayFixture { limits in
      limits.connections = 100
      limits.connectionsPerPeer = 100
    }
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    let held = try await blocking {
      try (0..<100).map { _ in
        let connection = try HTTPConnection(port: port)
        #expect(try connection.ask("GET", "/v1/domains", token: Self.secret).status == 200)
        return connection
      }
    }
    let refused = try await blocking {
      try (0..<900).count { _ in
        let connection = try HTTPConnection(port: port)
        let answer = try connection.receive()
        return try answer.status == 503 && answer.code == "busy" && connection.isEnded()
      }
    }
    #expect(refused == 900)
    let (served, metrics) = try await blocking {
      (
        try held.count { try $0.ask("GET", "/v1/domains", token: Self.secret).status == 200 },
        try held[0].ask("GET", "/metrics", token: Self.secret).body
      )
    }
    #expect(served == 100)
    #expect(metrics.contains("\nroost_gateway_refused_total 900\n"))
    #expect(metrics.contains("\nroost_gateway_connections 100\n"))
    _ = manager
  }

  @Test("One address does not take all connections")
  func onePeer() async throws {
    let gateway = try GatewayFixture { $0.connectionsPerPeer = 2 }
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    let (held, third) = try await blocking {
      let held = try (0..<2).map { _ in
        let connection = try HTTPConnection(port: port)
        #expect(try connection.ask("GET", "/v1/domains", token: Self.secret).status == 200)
        return connection
      }
      return (held, try HTTPConnection(port: port).receive())
    }
    #expect(third.status == 503)
    #expect(try await gateway.ask("GET", "/v1/domains", as: nil).status == 200)
    #expect(held.count == 2)
    _ = manager
  }

  @Test("More streams than there may be are refused")
  func streams() async throws {
    let gateway = try GatewayFixture { $0.streams = 1 }
    let manager = try await gateway.manager(Samples.answer)
    let port = gateway.port
    let first = try await blocking {
      let connection = try HTTPConnection(port: port)
      try connection.send("GET /v1/events HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer \(Self.secret)\r\n\r\n")
      #expect(try connection.receiveHead().status == 200)
      while try connection.line() != "event: overview" {}
      return connection
    }
    let second = try await gateway.ask("GET", "/v1/events", as: .viewer)
    #expect(second.status == 503)
    #expect(second.code == "busy")
    _ = (manager, first)
  }
}
