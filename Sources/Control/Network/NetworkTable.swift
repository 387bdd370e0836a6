internal import Manifest

/// The appliance's networks as plain text.
public enum NetworkTable {
  /// A line for each network, and below it one for each card that is connected to it.
  public static func text(_ list: NetworkList) -> String {
    list.networks.map { network in
      let address = network.address.map { ", \($0)" } ?? ""
      let router = network.router.map { ", way out \($0)" } ?? ""
      let head = "\(network.name): \(network.mode.rawValue)\(address)\(router) (\(network.bridge))\n"
      return head + network.cards.map { "  \(line($0))\n" }.joined()
    }.joined()
  }

  private static func line(_ card: CardStatus) -> String {
    let name = card.index == 0 ? card.domain : "\(card.domain), card \(card.index)"
    return ([name, card.address ?? "no address", card.mac, card.interface] + card.remarks).joined(separator: "  ")
  }
}
