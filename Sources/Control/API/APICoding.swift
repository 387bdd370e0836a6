internal import FoundationEssentials

/// Lines of the control protocol to values and back. A line never holds a newline, and is given and taken without the
/// one that ends it.
enum ControlCoding {
  /// One line of JSON with sorted keys.
  static func encode<Value: Encodable>(_ value: Value) throws(ControlError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(value))
    } catch {
      throw ControlError(.system, "cannot write a message as JSON: \(error)")
    }
  }

  static func decode<Value: Decodable>(_ type: Value.Type, from line: [UInt8]) throws(ControlError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: Data(line))
    } catch {
      throw ControlError(.malformedReply, "cannot understand a message of the domain manager: \(summary(of: error))")
    }
  }

  /// A request, or what is wrong with it beside the id to answer to.
  static func request(from line: [UInt8]) -> Result<ControlRequest, RequestFailure> {
    let raw: RawRequest
    do {
      raw = try JSONDecoder().decode(RawRequest.self, from: Data(line))
    } catch {
      let id = try? JSONDecoder().decode(OnlyIdentifier.self, from: Data(line)).id
      return .failure(
        RequestFailure(id: id, error: ControlError(.malformedRequest, "not a request: \(summary(of: error))")))
    }
    guard let op = ControlOperation(rawValue: raw.op) else {
      let known = ControlOperation.allCases.map(\.rawValue).joined(separator: ", ")
      return .failure(
        RequestFailure(
          id: raw.id,
          error: ControlError(.unknownOperation, "there is no operation \(quoted(raw.op)); there are \(known)")))
    }
    let missing = op.needsDisk && raw.disk == nil ? "disk" : op.needsDomain && raw.domain == nil ? "domain" : nil
    if let missing {
      return .failure(
        RequestFailure(
          id: raw.id,
          error: ControlError(.malformedRequest, "the operation \(op.rawValue) needs a \"\(missing)\"")))
    }
    return .success(
      ControlRequest(
        id: raw.id, op: op, domain: raw.domain, bytes: raw.bytes, version: raw.version, disk: raw.disk,
        snapshot: raw.snapshot, clone: raw.clone, address: raw.address, use: raw.use, force: raw.force))
  }

  /// A short, one-line text of a decoding error.
  private static func summary(of error: any Error) -> String {
    switch error {
    case DecodingError.keyNotFound(let key, _): "the field \"\(key.stringValue)\" is missing"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      "the field \"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" is of a wrong type"
    case DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty:
      "the field \"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" has an unknown value"
    default: "it is not valid JSON"
    }
  }

  private static func quoted(_ text: String) -> String {
    text.count <= 40 ? "\"\(text)\"" : "\"\(text.prefix(40))…\""
  }

  private struct RawRequest: Decodable {
    var id: Int
    var op: String
    var domain: String?
    var bytes: Int?
    var version: Int?
    var disk: String?
    var snapshot: String?
    var clone: String?
    var address: String?
    var use: String?
    var force: Bool?
  }

  private struct OnlyIdentifier: Decodable {
    var id: Int
  }
}

/// A line that is no request.
struct RequestFailure: Error {
  /// The id to answer to, where it could be read.
  let id: Int?
  let error: ControlError
}

/// A reply line.
struct ReplyLine<Value: Codable>: Codable {
  var id: Int?
  var ok: Bool
  var result: Value?
  var error: ControlError?
}

/// An event line.
struct EventLine: Codable {
  var event: String
  var domain: DomainStatus?
  var appliance: ApplianceStatus?

  init(_ event: ControlEvent) {
    switch event {
    case .domain(let status):
      self.event = "domain"
      domain = status
    case .appliance(let status):
      self.event = "appliance"
      appliance = status
    }
  }

  /// The event; nil for a kind that this version does not know.
  var value: ControlEvent? {
    if event == "domain", let domain { return .domain(domain) }
    if event == "appliance", let appliance { return .appliance(appliance) }
    return nil
  }
}

/// Enough of any line of the server to tell what it is.
struct LineHeader: Decodable {
  var id: Int?
  var ok: Bool?
  var error: ControlError?
  var event: String?
}
