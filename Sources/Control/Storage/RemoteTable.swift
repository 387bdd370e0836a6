internal import Manifest

/// Devices that come over the network as plain text.
public enum RemoteTable {
  /// A line for each, and one more for what is wrong with it.
  public static func text(_ remotes: [RemoteStatus]) -> String {
    guard !remotes.isEmpty else { return "Nothing comes over the network; `roost storage connect` connects a disk.\n" }
    return remotes.map { "\($0.line)\n" + ($0.problem.map { "  \(Text.printable($0))\n" } ?? "") }.joined()
  }
}
