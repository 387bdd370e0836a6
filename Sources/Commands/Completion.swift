internal import ArgumentParser
internal import Control
internal import Platform

extension CompletionKind {
  /// The domains of the appliance that the line names.
  static let domains = CompletionKind.custom { words, _, _ in
    Completion.names(words) { client throws(ControlError) in try client.list().domains.map(\.name) }
  }

  /// Its disks, snapshots and clones.
  static let disks = CompletionKind.custom { words, _, _ in
    Completion.names(words) { client throws(ControlError) in try client.disks(within: client.timeout).map(\.name) }
  }

  /// What comes to it over the network.
  static let remotes = CompletionKind.custom { words, _, _ in
    Completion.names(words) { client throws(ControlError) in try client.storage().remotes?.map(\.name) ?? [] }
  }
}

/// What shells ask while somebody types: quick, and without a word when there is no answer.
private enum Completion {
  /// Seconds that a shell waits at most: for this machine's domain manager, and for another's.
  private static let patience = (here: 1.0, remote: 4.0)

  static func names(_ words: [String], _ question: (ControlClient) throws(ControlError) -> [String]) -> [String] {
    do throws(ControlError) {
      var options = ApplianceOptions()
      options.socket = value(of: "--socket", in: words)
      options.host = try value(of: "--host", in: words).map { text throws(ControlError) in try RemoteHost(text) }
      let machine = try options.machine()
      let seconds = machine == nil ? patience.here : patience.remote
      let client = try ControlClient(ApplianceLink(host: machine, socket: options.socket, quietWithin: seconds))
      client.timeout = seconds
      return try question(client)
    } catch {
      return []
    }
  }

  /// The value of an option that is on the line already.
  private static func value(of option: String, in words: [String]) -> String? {
    if let place = words.firstIndex(of: option), place + 1 < words.count { return words[place + 1] }
    return words.first { $0.hasPrefix("\(option)=") }.map { String($0.dropFirst(option.count + 1)) }
  }
}
