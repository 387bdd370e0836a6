internal import Control
internal import HTTPTypes
internal import Hummingbird
internal import Manifest

extension Endpoint {
  static let watching: [Endpoint] = [
    Endpoint(
      method: .get, path: "/v1/usage", role: .viewer, summary: "What running domains took of the machine so far.",
      reply: .json("UsageReport")
    ) { call in try await call.pass(ControlRequest(id: 0, op: .usage), as: UsageReport.self) },
    Endpoint(
      method: .get, path: "/v1/events", role: .viewer,
      summary:
        "What changes, as Server-Sent Events: `overview` first and whenever all may be different, then `domain`, "
        + "`removed`, `making` (a domain of this `name` is being made, and `percent` of its disk is written) and "
        + "`appliance`; `lost` while the domain manager is not there. A client that does not keep up loses its "
        + "stream, and may come again.",
      reply: .text("text/event-stream")
    ) { call in try call.events() },
    Endpoint(
      method: .get, path: "/metrics", role: .viewer, summary: "Figures for Prometheus.", reply: .text("text/plain")
    ) { call in await call.metrics() },
    Endpoint(
      method: .get, path: "/v1/openapi.json", role: .viewer, summary: "This document.", reply: .document
    ) { _ in JSONAnswer.bytes(OpenAPIDocument.bytes, type: "application/json") },
  ]
}

extension Call {
  fileprivate func events() throws(Failure) -> Response {
    let hub = services.hub
    guard hub.count < services.limits.streams else {
      throw Failure(
        .serviceUnavailable, ControlError(.busy, "too many clients wait for events; try again"), retryAfter: 10)
    }
    // The stream is opened when its answer begins: one that never begins leaves nothing behind.
    return Response(
      status: .ok, headers: [.contentType: "text/event-stream"],
      body: ResponseBody { writer in
        if let stream = hub.open() {
          defer { hub.close(stream) }
          for await event in stream.events { try await writer.write(event) }
        }
        try await writer.finish(nil)
      })
  }

  /// What the domain manager does not say is left out; `roost_up` tells whether it is there.
  fileprivate func metrics() async -> Response {
    var text = MetricsText()
    text.metric("roost_up", "gauge", "1 while the domain manager is there.")
    text.sample("roost_up", [], services.link.isConnected ? 1 : 0)
    if let overview = try? await ask(ControlRequest(id: 0, op: .list), as: Overview.self) { text.add(overview) }
    if let usage = try? await ask(ControlRequest(id: 0, op: .usage), as: UsageReport.self) { text.add(usage) }
    if let storage = try? await ask(ControlRequest(id: 0, op: .storage), as: StorageStatus.self) { text.add(storage) }
    text.add(services.meters, connections: services.connections, hub: services.hub)
    return JSONAnswer.bytes(Array(text.text.utf8), type: "text/plain; version=0.0.4; charset=utf-8")
  }
}
