internal import Control
internal import HTTPTypes

/// Why a request is not answered as it was asked for, in HTTP's terms.
struct Failure: Error {
  let status: HTTPResponse.Status
  let error: ControlError
  /// Seconds after which it may be tried again.
  var retryAfter: Int?

  init(_ status: HTTPResponse.Status, _ error: ControlError, retryAfter: Int? = nil) {
    self.status = status
    self.error = error
    self.retryAfter = retryAfter
  }

  /// What the domain manager refused.
  init(_ error: ControlError) {
    self.error = error
    (status, retryAfter) =
      switch error.code {
      case .unknownDomain, .unknownDisk, .unknownNetwork: (.notFound, nil)
      case .wrongState: (.conflict, nil)
      case .malformedRequest: (.badRequest, nil)
      case .lineTooLong: (.contentTooLarge, nil)
      case .unreachable, .disconnected, .busy: (.serviceUnavailable, 1)
      case .timedOut: (.gatewayTimeout, nil)
      case .storage: (.unprocessableContent, nil)
      case .malformedReply, .unknownOperation, .unsupportedVersion: (.badGateway, nil)
      default: (.internalServerError, nil)
      }
  }

  static let unauthorized = Failure(
    .unauthorized,
    ControlError(.unauthorized, "this needs a token: send the header 'Authorization: Bearer SECRET'"))
  static let wrongToken = Failure(
    .unauthorized, ControlError(.unauthorized, "no token has this secret; the recipe's 'api: tokens' says which"))
  static let tooManyAttempts = Failure(
    .tooManyRequests, ControlError(.tooManyAttempts, "too many wrong tokens at once; wait"), retryAfter: 8)
  static let notFound = Failure(
    .notFound, ControlError(.notFound, "there is nothing at this path; /v1/openapi.json says what there is"))
  static let internalError = Failure(.internalServerError, ControlError(.system, "the gateway failed"))

  static func tooLarge(_ limit: Int) -> Failure {
    Failure(.contentTooLarge, ControlError(.tooLarge, "a request's body may have \(limit) bytes"))
  }

  static func badBody(_ reason: String) -> Failure {
    Failure(.badRequest, ControlError(.malformedRequest, "the request's body is not what is wanted: \(reason)"))
  }
}

extension ControlError.Code {
  /// No token, or a wrong one.
  static let unauthorized = ControlError.Code(rawValue: "unauthorized")
  /// The token's role is too low.
  static let forbidden = ControlError.Code(rawValue: "forbidden")
  /// Nothing is at the path.
  static let notFound = ControlError.Code(rawValue: "not-found")
  /// The path knows other methods.
  static let wrongMethod = ControlError.Code(rawValue: "wrong-method")
  /// The request is larger than allowed.
  static let tooLarge = ControlError.Code(rawValue: "too-large")
  /// There are as many connections, streams or requests as there may be.
  static let busy = ControlError.Code(rawValue: "busy")
  /// Wrong tokens came faster than they are looked at.
  static let tooManyAttempts = ControlError.Code(rawValue: "too-many-attempts")
}

/// The body of an answer that is none.
struct ErrorBody: Codable, Sendable {
  var error: ControlError
}
