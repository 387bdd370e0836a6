internal import Control
internal import HTTPTypes
internal import Manifest

/// The interface's description (OpenAPI Specification 3.1.0), made of the table of endpoints and of the schemas.
enum OpenAPIDocument {
  /// The document as it is sent.
  static let bytes: [UInt8] = (try? ControlCoding.encode(json)) ?? []

  static let json: JSONValue = .object([
    "openapi": "3.1.0", "info": info, "servers": [["url": "/", "description": "The appliance."]],
    "security": [["token": []]], "paths": .object(paths), "components": components,
  ])

  private static var info: JSONValue {
    let roles = Role.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")
    let description = """
      The domains of a Roost appliance. Over TLS every request needs a token of the recipe's; a token's role is one of \
      \(roles), and each may what those before it may. On the unix socket inside the appliance root may all without one.
      """
    return ["title": "Roost", "version": "1", "description": .text(description)]
  }

  private static var components: JSONValue {
    let refusal: JSONValue = ["application/json": ["schema": Schema.Kind.message("Error").json]]
    return [
      "securitySchemes": ["token": ["type": "http", "scheme": "bearer"]],
      "schemas": .object(Dictionary(uniqueKeysWithValues: Schema.all.map { ($0.name, $0.json) })),
      "responses": ["Refusal": ["description": "Refused: the body says why.", "content": refusal]],
    ]
  }

  private static var paths: [String: JSONValue] {
    var paths: [String: [String: JSONValue]] = [:]
    for endpoint in Endpoint.all {
      paths[endpoint.path, default: [:]][endpoint.method.rawValue.lowercased()] = operation(endpoint)
    }
    return paths.mapValues { .object($0) }
  }

  private static func operation(_ endpoint: Endpoint) -> JSONValue {
    var responses: [String: JSONValue] = ["200": ["description": "Done.", "content": content(endpoint.reply)]]
    for status in refusals(endpoint) { responses["\(status)"] = ["$ref": "#/components/responses/Refusal"] }
    var operation: [String: JSONValue] = [
      "operationId": .text(identifier(endpoint)), "summary": .text(endpoint.summary),
      "description": .text("Needs the role `\(endpoint.role.rawValue)`."), "responses": .object(responses),
    ]
    var parameters: [JSONValue] = []
    for name in endpoint.parameters {
      parameters.append(["name": .text(name), "in": "path", "required": true, "schema": ["type": "string"]])
    }
    for query in endpoint.query {
      let schema: JSONValue = [
        "type": "integer", "minimum": .number(query.range.lowerBound), "maximum": .number(query.range.upperBound),
      ]
      parameters.append([
        "name": .text(query.name), "in": "query", "required": false, "description": .text(query.summary),
        "schema": schema,
      ])
    }
    if !parameters.isEmpty { operation["parameters"] = .list(parameters) }
    if let body = endpoint.body {
      operation["requestBody"] = [
        "required": true, "content": ["application/json": ["schema": Schema.Kind.message(body).json]],
      ]
    }
    return .object(operation)
  }

  private static func content(_ reply: Endpoint.Reply) -> JSONValue {
    switch reply {
    case .json(let schema): ["application/json": ["schema": Schema.Kind.message(schema).json]]
    case .text(let type): .object([type: ["schema": ["type": "string"]]])
    case .document: ["application/json": ["schema": ["type": "object"]]]
    }
  }

  private static func refusals(_ endpoint: Endpoint) -> [Int] {
    var statuses = [401, 403, 429, 503]
    if !endpoint.parameters.isEmpty { statuses.append(404) }
    if endpoint.method != .get { statuses += [409, 413] }
    if endpoint.body != nil || !endpoint.query.isEmpty { statuses.append(400) }
    return statuses
  }

  /// Such as `post-v1-domains-domain-start`.
  private static func identifier(_ endpoint: Endpoint) -> String {
    let words = endpoint.path.split { "/{}.".contains($0) }
    return ([endpoint.method.rawValue.lowercased()] + words.map(String.init)).joined(separator: "-")
  }
}
