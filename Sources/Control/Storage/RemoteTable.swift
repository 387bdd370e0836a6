/// Devices that come over the network as plain text.
public enum RemoteTable {
  /// A line for each, and one more for what is wrong with it.
  public static func text(_ remotes: [RemoteStatus]) -> String {
    guard !remotes.isEmpty else { return "Nothing comes over the network; `roost storage connect` connects a disk.\n" }
    return remotes.map { remote in
      let size = remote.bytes.map { ", \(Text.size($0))" } ?? ""
      let place = remote.device.map { "\($0)\(size)" } ?? "not connected"
      let role = remote.isPrimary.map { $0 ? ", primary" : ", secondary" } ?? ""
      let domain = remote.attachedTo.map { ", attached to \($0)" } ?? ""
      let problem = remote.problem.map { "  \(Text.printable($0))\n" } ?? ""
      return "\(remote.name): \(remote.address), \(remote.use), \(place)\(role)\(domain)\n" + problem
    }.joined()
  }
}
