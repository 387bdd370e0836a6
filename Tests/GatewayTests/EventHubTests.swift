import Control
import NIOCore
import Testing
@testable import Gateway

@Suite("Events of the HTTP interface")
struct EventHubTests {
  @Test("A client that does not keep up loses its stream, and the others go on")
  func slowClient() async throws {
    var limits = GatewayLimits()
    limits.streamQueue = 4
    let hub = EventHub(limits: limits)
    hub.begin(Samples.overview)
    let slow = try #require(hub.open())
    let quick = try #require(hub.open())
    var iterator = quick.events.makeAsyncIterator()
    var seen: [String] = []
    for _ in 0..<10 {
      hub.take(.domain(Samples.domain("debian")))
      seen.append(String(buffer: try #require(await iterator.next())))
    }
    #expect(seen.first?.hasPrefix("event: overview\ndata: {") == true)
    #expect(seen.dropFirst().allSatisfy { $0.hasPrefix("event: domain\n") })
    // What is not ended would be waited for below.
    try #require(hub.count == 1)
    #expect(hub.slowClients == 1)
    var left = 0
    for await _ in slow.events { left += 1 }
    #expect(left == limits.streamQueue)
    hub.close(slow)
    hub.close(quick)
    #expect(hub.count == 0)
  }

  @Test("There are no more streams than there may be, and who comes later sees how things are by then")
  func streamsAreBounded() async throws {
    var limits = GatewayLimits()
    limits.streams = 2
    let hub = EventHub(limits: limits)
    hub.begin(Samples.overview)
    hub.take(.domain(Samples.domain("bsd", .running)))
    let first = try #require(hub.open())
    _ = hub.open()
    #expect(hub.open() == nil)
    hub.close(first)
    let later = try #require(hub.open())
    var iterator = later.events.makeAsyncIterator()
    let overview = String(buffer: try #require(await iterator.next()))
    #expect(overview.contains(#""name":"bsd","os":"Debian 13""#))
    #expect(overview.contains(#""state":"running""#))
  }

  @Test("A domain that is being made is told of with its name and how far it is")
  func making() async throws {
    let hub = EventHub(limits: GatewayLimits())
    hub.begin(Samples.overview)
    let stream = try #require(hub.open())
    var iterator = stream.events.makeAsyncIterator()
    _ = await iterator.next()
    hub.take(.making("web", percent: 40))
    let event = String(buffer: try #require(await iterator.next()))
    #expect(event == "event: making\ndata: {\"name\":\"web\",\"percent\":40}\n\n")
    hub.close(stream)
  }
}
