internal import Binary
internal import Control
internal import Manifest
internal import Synchronization

/// Knows whose secrets are whose, and makes guessing slow.
///
/// A secret is compared as its SHA-256, with all tokens and to the last byte, so that the time it takes tells nothing. A
/// wrong one is answered after a pause that grows with each that comes from the same address; those with a right one do
/// not wait. `penalties` is under its lock.
final class TokenGuard: Sendable {
  private let tokens: [(digest: [UInt8], token: ApplianceManifest.Token)]
  private let penalties = Mutex(Penalties())
  private let sleep: @Sendable (Double) async -> Void

  init(_ tokens: [ApplianceManifest.Token], sleep: @escaping @Sendable (Double) async -> Void) {
    self.tokens = tokens.compactMap { token in SHA256.Digest(hex: token.sha256).map { ($0.bytes, token) } }
    self.sleep = sleep
  }

  /// The token of a request with the header `authorization` from the address `peer`.
  func admit(_ authorization: String?, from peer: String, now: Double) async throws(Failure) -> ApplianceManifest.Token
  {
    guard let authorization else { throw .unauthorized }
    if let token = token(of: authorization) { return token }
    guard let pause = penalties.withLock({ $0.begin(peer, at: now) }) else { throw .tooManyAttempts }
    await sleep(pause)
    penalties.withLock { $0.end(peer) }
    throw .wrongToken
  }

  private func token(of authorization: String) -> ApplianceManifest.Token? {
    let scheme = "bearer "
    guard authorization.utf8.count <= 512, authorization.lowercased().hasPrefix(scheme) else { return nil }
    let secret = authorization.dropFirst(scheme.count).drop { $0 == " " }
    let digest = SHA256.hash(Array(secret.utf8)).bytes
    var found: ApplianceManifest.Token?
    for (expected, token) in tokens where Self.isEqual(digest, expected) { found = token }
    return found
  }

  /// Compares as many bytes whatever they are.
  private static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    var difference: UInt8 = left.count == right.count ? 0 : 1
    for (one, other) in zip(left, right) { difference |= one ^ other }
    return difference == 0
  }
}

/// How long addresses wait that sent wrong secrets. Times are seconds of one clock, and are given in.
struct Penalties {
  private struct Entry {
    var failures = 0
    var waiting = 0
    var last = 0.0
  }

  /// Addresses that are remembered; others share one entry.
  static let peers = 1024
  /// Pauses of one address at a time; more attempts are not looked at.
  static let waiting = 4
  /// The first pause, and the longest.
  static let pause = 0.25...8.0
  /// After this time without a failure an address begins anew.
  static let memory = 600.0

  private var entries: [String: Entry] = [:]

  /// Notes a failure. Returns how long to pause before it is told, after which `end` is to be called; nil where too many
  /// of the address's pause already.
  mutating func begin(_ peer: String, at now: Double) -> Double? {
    let key = key(peer, at: now)
    var entry = entries[key] ?? Entry()
    if now - entry.last > Self.memory { entry.failures = 0 }
    entry.last = now
    guard entry.waiting < Self.waiting else {
      entries[key] = entry
      return nil
    }
    let pause = min(Self.pause.upperBound, Self.pause.lowerBound * Double(1 << min(entry.failures, 10)))
    entry.failures += 1
    entry.waiting += 1
    entries[key] = entry
    return pause
  }

  /// A pause is over.
  mutating func end(_ peer: String) {
    let key = entries[peer] == nil ? "" : peer
    if let entry = entries[key] { entries[key]?.waiting = max(0, entry.waiting - 1) }
  }

  private mutating func key(_ peer: String, at now: Double) -> String {
    if entries[peer] != nil { return peer }
    if entries.count >= Self.peers {
      entries = entries.filter { $0.value.waiting > 0 || now - $0.value.last <= Self.memory }
    }
    return entries.count >= Self.peers ? "" : peer
  }
}
