internal import Identity
internal import Platform

/// What the init found out about the stick that the appliance was started from.
struct StickSettings {
  /// The stick's identity; nil for one without.
  private(set) var identity: ApplianceIdentity?
  /// Why there is none though there should be, in words.
  private(set) var problems: [String] = []

  init(_ configuration: DaemonConfiguration) {
    if let reason = try? Files.readText(configuration.identityProblem) {
      problems.append(Self.notice(reason.split(separator: "\n").first.map(String.init) ?? "unknown"))
    }
    guard let bytes = try? Files.read(configuration.identity) else { return }
    do throws(IdentityError) {
      identity = try ApplianceIdentity(json: bytes)
    } catch {
      problems.append(Self.notice(error.description))
    }
  }

  private static func notice(_ reason: String) -> String {
    "this stick's identity is not used: \(Text.printable(reason)); provision the stick again"
  }
}
