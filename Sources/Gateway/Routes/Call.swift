internal import Control
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Manifest
internal import NIOCore

/// What requests are answered with.
struct Services: Sendable {
  let limits: GatewayLimits
  let link: ManagerLink
  let hub: EventHub
  let meters: Meters
  let connections: ConnectionCount
  let log: @Sendable (String) -> Void
}

/// What is known of a request beside itself.
struct CallContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// What its client may do; all of it where no token is needed.
  var role = Role.admin
  /// Who the client is, for the log.
  var client = "root"

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
  }
}

/// A request that is being answered.
struct Call: Sendable {
  let request: Request
  let context: CallContext
  let services: Services

  /// A part of the path.
  func name(_ parameter: String) -> String {
    // No name has a character that would need to be escaped.
    context.parameters.get(parameter) ?? ""
  }

  /// A whole number of the query; nil when it is not there.
  func number(_ name: String, in range: ClosedRange<Int>) throws(Failure) -> Int? {
    guard let text = request.uri.queryParameters[name[...]] else { return nil }
    guard let value = Int(text), range.contains(value) else {
      throw Failure(
        .badRequest,
        ControlError(
          .malformedRequest,
          "'\(name)' must be a whole number from \(range.lowerBound) to \(range.upperBound)"))
    }
    return value
  }

  /// The request's body.
  func body<Value: Decodable>(_ type: Value.Type) async throws -> Value {
    let limit = services.limits.bodyBytes
    if let text = request.headers[.contentLength], let length = Int(text), length > limit {
      throw Failure.tooLarge(limit)
    }
    let buffer: ByteBuffer
    do {
      buffer = try await request.body.collect(upTo: limit)
    } catch is NIOTooManyBytesError {
      throw Failure.tooLarge(limit)
    }
    do {
      return try JSONDecoder().decode(type, from: Data(buffer.readableBytesView))
    } catch DecodingError.keyNotFound(let key, _) {
      throw Failure.badBody("the field '\(key.stringValue)' is missing")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
      throw Failure.badBody(
        "the field '\(context.codingPath.map(\.stringValue).joined(separator: "."))' is of a wrong type")
    } catch {
      throw Failure.badBody("it is not valid JSON")
    }
  }

  /// Asks the domain manager.
  func ask<Value: Codable & Sendable>(_ request: ControlRequest, as type: Value.Type) async throws(ControlError)
    -> Value
  {
    if Self.isWorthLogging(request.op) {
      let subject = [request.domain, request.disk, request.spec?.name, request.network?.name].compactMap { $0 }.map {
        " \($0.prefix(64))"
      }
      .joined()
      services.log("\(context.client): \(request.op.rawValue)\(subject)")
    }
    return try await services.link.call(request, as: type)
  }

  /// Asks the domain manager, and answers with what it said.
  func pass<Value: Codable & Sendable>(_ request: ControlRequest, as type: Value.Type) async throws -> Response {
    JSONAnswer.response(try await ask(request, as: type))
  }

  /// Who changed what is in the log; who looked is not.
  private static func isWorthLogging(_ operation: ControlOperation) -> Bool {
    switch operation {
    case .hello, .list, .subscribe, .tail, .usage, .info, .storage, .reload, .diskList, .networkList: false
    default: true
    }
  }
}

/// Answers in JSON.
enum JSONAnswer {
  static func response(_ value: some Codable, status: HTTPResponse.Status = .ok) -> Response {
    do throws(ControlError) {
      return bytes(try ControlCoding.encode(value), type: "application/json", status: status)
    } catch {
      return Response(status: .internalServerError)
    }
  }

  static func bytes(_ bytes: [UInt8], type: String, status: HTTPResponse.Status = .ok) -> Response {
    Response(status: status, headers: [.contentType: type], body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
  }
}
