import Control
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOPosix
import Testing
@testable import Gateway

/// JSON of any shape, read back.
indirect enum AnyJSON: Decodable, Hashable {
  case object([String: AnyJSON])
  case list([AnyJSON])
  case text(String)
  case flag(Bool)
  case integer(Int)
  case number(Double)
  case nothing

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .nothing
    } else if let value = try? container.decode(Bool.self) {
      self = .flag(value)
    } else if let value = try? container.decode(Int.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else if let value = try? container.decode([AnyJSON].self) {
      self = .list(value)
    } else {
      self = .object(try container.decode([String: AnyJSON].self))
    }
  }

  init(_ value: some Encodable) throws {
    self = try ControlCoding.decode(AnyJSON.self, from: try ControlCoding.encode(value))
  }

  subscript(_ key: String) -> AnyJSON? {
    if case .object(let fields) = self { fields[key] } else { nil }
  }

  var keys: Set<String> {
    if case .object(let fields) = self { Set(fields.keys) } else { [] }
  }

  var text: String? {
    if case .text(let value) = self { value } else { nil }
  }

  var list: [AnyJSON] {
    if case .list(let value) = self { value } else { [] }
  }
}

@Suite("The OpenAPI document and the code say the same")
struct OpenAPITests {
  private static func document() throws -> AnyJSON {
    try ControlCoding.decode(AnyJSON.self, from: OpenAPIDocument.bytes)
  }

  @Test("Every route of the router is in the document, and every path of the document in the router")
  func routes() throws {
    let limits = GatewayLimits()
    let hub = EventHub(limits: limits)
    let services = Services(
      limits: limits,
      link: ManagerLink(
        path: "/none", limits: limits, group: MultiThreadedEventLoopGroup.singleton, hub: hub, log: { _ in }),
      hub: hub, meters: Meters(), connections: ConnectionCount(limits: limits), log: { _ in })
    let routed = Set(Gateway.router(services).routes.map { "\($0.method.rawValue) \($0.path)" })
    let document = try Self.document()
    var described: Set<String> = []
    for path in document["paths"]?.keys ?? [] {
      for method in document["paths"]?[path]?.keys ?? [] { described.insert("\(method.uppercased()) \(path)") }
    }
    #expect(routed == described)
    #expect(routed.count == Endpoint.all.count)
    for route in ["GET /v1/domains", "POST /v1/domains/{domain}/start", "GET /v1/events", "GET /metrics"] {
      #expect(routed.contains(route))
    }
  }

  @Test("A path's parts in braces are its parameters, and every reference leads somewhere")
  func references() throws {
    let document = try Self.document()
    let schemas = try #require(document["components"]?["schemas"]?.keys)
    for path in document["paths"]?.keys ?? [] {
      for method in document["paths"]?[path]?.keys ?? [] {
        let parameters = document["paths"]?[path]?[method]?["parameters"]?.list ?? []
        let names = parameters.filter { $0["in"]?.text == "path" }.compactMap { $0["name"]?.text }
        #expect(
          names
            == path.split(separator: "/").filter { $0.hasPrefix("{") }.map { $0.dropFirst().dropLast() }.map(
              String.init))
      }
    }
    var references: Set<String> = []
    Self.collect(document, into: &references)
    for reference in references where reference.hasPrefix("#/components/schemas/") {
      #expect(schemas.contains(String(reference.dropFirst("#/components/schemas/".count))), "\(reference)")
    }
    #expect(references.contains("#/components/schemas/DomainStatus"))
    let identifiers = (document["paths"]?.keys ?? []).flatMap { path in
      (document["paths"]?[path]?.keys ?? []).compactMap { document["paths"]?[path]?[$0]?["operationId"]?.text }
    }
    #expect(Set(identifiers).count == Endpoint.all.count)
  }

  private static func collect(_ json: AnyJSON, into references: inout Set<String>) {
    switch json {
    case .object(let fields):
      if let reference = fields["$ref"]?.text { references.insert(reference) }
      for value in fields.values { collect(value, into: &references) }
    case .list(let values): for value in values { collect(value, into: &references) }
    default: break
    }
  }

  @Test("Every schema has the fields of its type, of their kinds, and knows which are always there")
  func schemas() throws {
    let document = try Self.document()
    #expect(Set(Samples.all.map(\.schema)) == document["components"]?["schemas"]?.keys)
    for sample in Samples.all {
      let schema = try #require(document["components"]?["schemas"]?[sample.schema])
      let full = try AnyJSON(sample.full)
      #expect(full.keys == schema["properties"]?.keys ?? [], "\(sample.schema)")
      #expect(
        try AnyJSON(sample.least).keys == Set(schema["required"]?.list.compactMap(\.text) ?? []), "\(sample.schema)")
      for key in full.keys {
        let property = try #require(schema["properties"]?[key])
        #expect(Self.fits(full[key] ?? .nothing, property), "\(sample.schema).\(key)")
      }
    }
  }

  private static func fits(_ value: AnyJSON, _ property: AnyJSON) -> Bool {
    switch (property["type"]?.text, value) {
    case ("string", .text(let text)): property["enum"].map { $0.list.contains(.text(text)) } ?? true
    case ("integer", .integer), ("number", .number), ("number", .integer), ("boolean", .flag), ("array", .list): true
    case (nil, .object): property["$ref"] != nil
    default: false
    }
  }

  @Test("Bodies and answers name schemas that there are")
  func names() {
    let schemas = Set(Schema.all.map(\.name))
    for endpoint in Endpoint.all {
      if let body = endpoint.body { #expect(schemas.contains(body), "\(endpoint.path)") }
      if case .json(let name) = endpoint.reply { #expect(schemas.contains(name), "\(endpoint.path)") }
    }
  }
}
