internal import Manifest

/// What cables do to what goes over them, by the kernel's queueing disciplines (tc-netem(8), tc-tbf(8)).
extension NetworkPlan.Port {
  /// Packets that a cable holds at most: a second of 10 Gbit/s in the packets of 64 KiB that guests hand over.
  private static let queueLength = 20_000

  /// Whether the cable does anything that takes a queue of its own on the way from the domain.
  var isShaped: Bool { !link.isPerfect }

  /// Commands for `ip -batch` for the interface that the way from the domain takes, if it is not there and needed.
  func inboundCommands(existing: Set<String>) -> String {
    guard isShaped else { return "" }
    let make = existing.contains(inbound) ? [] : ["link add name \(inbound) type ifb"]
    return NetworkPlan.text(make + ["link set dev \(inbound) up"])
  }

  /// Commands for `tc -batch` that undo all that a cable did; each fails where there is nothing to be undone. An ingress
  /// discipline can be made and deleted, and not be changed.
  var undoingCommands: String {
    NetworkPlan.text(["qdisc delete dev \(tap) root", "qdisc delete dev \(tap) ingress"])
  }

  /// Commands for `tc -batch` that have a cable that does nothing do what it is to do, and limit the domain to `rate` bits
  /// a second in each direction; nil for no limit. Empty where nothing is to be done.
  func cableCommands(rate: Int?) -> String {
    guard isShaped else { return Self.rateCommands(tap, rate: rate) }
    let discipline = "netem \(words(rate: rate))"
    return NetworkPlan.text([
      "qdisc add dev \(tap) root \(discipline)", "qdisc add dev \(tap) ingress",
      "filter add dev \(tap) ingress protocol all pref 1 handle 1 matchall action mirred egress redirect dev \(inbound)",
      "qdisc replace dev \(inbound) root \(discipline)",
    ])
  }

  private func words(rate limit: Int?) -> String {
    var words = ["limit \(Self.queueLength)"]
    if link.delay ?? 0 > 0 || link.jitter ?? 0 > 0 {
      words.append("delay \(link.delay ?? 0)us" + (link.jitter.map { " \($0)us" } ?? ""))
    }
    if link.isDown == true {
      words.append("loss 100%")
    } else if let loss = link.loss {
      words.append("loss \(loss)%")
    }
    if let rate = [link.rate, limit].compactMap({ $0 }).min() { words.append("rate \(rate)bit") }
    return words.joined(separator: " ")
  }

  /// A guest hands over up to 64 KiB at a time, which is a packet here.
  private static func rateCommands(_ tap: String, rate: Int?) -> String {
    guard let rate else { return "" }
    let burst = max(1 << 17, rate / 8 / 20)
    return """
      qdisc add dev \(tap) root tbf rate \(rate)bit burst \(burst)b latency 100ms
      qdisc add dev \(tap) ingress
      filter add dev \(tap) ingress protocol all pref 1 handle 1 matchall action police rate \(rate)bit burst \
      \(burst)b mtu 64kb conform-exceed drop

      """
  }
}
