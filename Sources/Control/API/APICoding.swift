internal import FoundationEssentials
internal import Manifest

/// Lines of the control protocol to values and back. A line never holds a newline, and is given and taken without the
/// one that ends it.
package enum ControlCoding {
  /// One line of JSON with sorted keys.
  package static func encode<Value: Encodable>(_ value: Value) throws(ControlError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(value))
    } catch {
      throw ControlError(.system, "cannot write a message as JSON: \(error)")
    }
  }

  package static func decode<Value: Decodable>(_ type: Value.Type, from line: [UInt8]) throws(ControlError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: Data(line))
    } catch {
      throw ControlError(.malformedReply, "cannot understand a message of the domain manager: \(summary(of: error))")
    }
  }

  /// A request, or what is wrong with it beside the id to answer to.
  static func request(from line: [UInt8]) -> Result<ControlRequest, RequestFailure> {
    let head: Head
    do {
      head = try JSONDecoder().decode(Head.self, from: Data(line))
    } catch {
      let id = try? JSONDecoder().decode(OnlyIdentifier.self, from: Data(line)).id
      return .failure(
        RequestFailure(id: id, error: ControlError(.malformedRequest, "not a request: \(summary(of: error))")))
    }
    func refusal(_ code: ControlError.Code, _ message: String) -> Result<ControlRequest, RequestFailure> {
      .failure(RequestFailure(id: head.id, error: ControlError(code, message)))
    }
    guard let op = ControlOperation(rawValue: head.op) else {
      let known = ControlOperation.allCases.map(\.rawValue).joined(separator: ", ")
      return refusal(.unknownOperation, "there is no operation \(quoted(head.op)); there are \(known)")
    }
    let request: ControlRequest
    do {
      request = try JSONDecoder().decode(ControlRequest.self, from: Data(line))
    } catch {
      return refusal(.malformedRequest, "not a request: \(summary(of: error))")
    }
    let missing =
      op.needsDisk && request.disk == nil ? "disk" : op.needsDomain && request.domain == nil ? "domain" : nil
    if let missing { return refusal(.malformedRequest, "the operation \(op.rawValue) needs a \"\(missing)\"") }
    if op == .create, request.spec == nil {
      return refusal(.malformedRequest, "the operation create needs a \"spec\"")
    }
    return .success(request)
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

  private struct Head: Decodable {
    var id: Int
    var op: String
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
package struct ReplyLine<Value: Codable>: Codable {
  package var id: Int?
  package var ok: Bool
  package var result: Value?
  package var error: ControlError?

  package init(id: Int?, ok: Bool, result: Value?, error: ControlError?) {
    self.id = id
    self.ok = ok
    self.result = result
    self.error = error
  }
}

/// An event line.
package struct EventLine: Codable {
  var event: String
  var domain: DomainStatus?
  var appliance: ApplianceStatus?
  var name: String?
  var percent: Int?

  package init(_ event: ControlEvent) {
    switch event {
    case .domain(let status):
      self.event = "domain"
      domain = status
    case .appliance(let status):
      self.event = "appliance"
      appliance = status
    case .removed(let name):
      self.event = "removed"
      self.name = name
    case .making(let name, let percent):
      self.event = "making"
      self.name = name
      self.percent = percent
    }
  }

  /// The event; nil for a kind that this version does not know.
  package var value: ControlEvent? {
    if event == "domain", let domain { return .domain(domain) }
    if event == "appliance", let appliance { return .appliance(appliance) }
    if event == "removed", let name { return .removed(name) }
    if event == "making", let name, let percent { return .making(name, percent: percent) }
    return nil
  }
}

/// Enough of any line of the server to tell what it is.
package struct LineHeader: Decodable {
  package var id: Int?
  package var ok: Bool?
  package var error: ControlError?
  package var event: String?
}
