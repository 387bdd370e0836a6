internal import Manifest

/// Who may reach whom, and say what, for `nft -f`.
extension NetworkPlan {
  /// Domains of networks with the mode `nat` reach the outside behind the machine's address, and nobody reaches them from
  /// there; networks do not reach one another; of the control domain domains reach DHCP, DNS and ping.
  func firewallRules() -> String {
    let all = Self.set(segments.map(\.bridge))
    // Where a bridged network's card has the machine's own address, the control domain is reached as by a card.
    let guarded = Self.set(segments.filter { $0.mode != .bridged }.map(\.bridge))
    let ways = segments.filter { $0.mode == .nat }
    let masquerade = ways.compactMap { segment in
      segment.base.map {
        "    ip saddr \($0)/\(segment.prefixLength) oifname != \"\(segment.bridge)\" masquerade\n"
      }
    }
    return """
      add table inet roost
      delete table inet roost
      table inet roost {
      \(formerNames)\
        chain input {
          type filter hook input priority filter; policy accept;
          iifname != \(guarded) accept
          ct state established,related accept
          meta l4proto { 1, 58 } accept comment "ICMP and ICMPv6: names would need /etc/protocols"
          udp dport { 53, 67 } accept
          tcp dport 53 accept
          drop
        }
        chain forward {
          type filter hook forward priority filter; policy accept;
          ct state established,related accept
          iifname \(Self.set(ways.map(\.bridge))) oifname != \(guarded) accept
          iifname \(guarded) drop
          oifname \(all) drop
        }
        chain postrouting {
          type nat hook postrouting priority srcnat; policy accept;
      \(masquerade.joined())\
        }
      }

      """
  }

  /// A file system that was made for another network asks there; its question goes to where the answer is.
  private var formerNames: String {
    guard let former = formerNameServer, let bridge = segments.first?.bridge else { return "" }
    return """
        chain names {
          type nat hook prerouting priority dstnat; policy accept;
          iifname "\(bridge)" ip daddr \(former) udp dport 53 redirect
          iifname "\(bridge)" ip daddr \(former) tcp dport 53 redirect
        }

      """
  }

  private static func set(_ names: [String]) -> String {
    "{ " + names.map { "\"\($0)\"" }.joined(separator: ", ") + " }"
  }

  /// What comes from a card with another sender than that card is dropped, and so is what only the network itself says:
  /// DHCP's answers and a router's advertisements. Cards that say so, as a router's does, are left alone.
  func guardRules() -> String {
    let guarded = ports.filter { $0.card.filter != false }
    var text = "add table bridge roost\ndelete table bridge roost\n"
    guard !guarded.isEmpty else { return text }
    text += "table bridge roost {\n"
    for port in guarded {
      text += "  chain \(Self.chain(of: port)) {\n"
      for line in Self.conditions(of: port) { text += "    \(line) drop\n" }
      text += "  }\n"
    }
    text += """
        chain senders {
          type filter hook prerouting priority -300; policy accept;
          iifname vmap { \(guarded.map { "\"\($0.tap)\" : jump \(Self.chain(of: $0))" }.joined(separator: ", ")) }
        }
      }

      """
    return text
  }

  /// A chain's name has letters, digits, `/`, `\`, `_` and `.` (nft(8), "LEXICAL CONVENTIONS"); a domain's has no `_`.
  private static func chain(of port: Port) -> String {
    "of_" + String(port.domain.map { $0 == "-" ? "_" : $0 }) + "_\(port.index)"
  }

  private static func conditions(of port: Port) -> [String] {
    let mac = port.card.mac
    var lines = ["ether saddr != \(mac)", "arp saddr ether != \(mac)"]
    if let address = port.card.address {
      // Whoever has no address yet asks from 0.0.0.0 (RFC 2131, 4.1; RFC 5227, 1.1).
      lines.append("arp saddr ip != { 0.0.0.0, \(address) }")
      lines.append("ip saddr != { 0.0.0.0, \(address) }")
    }
    return lines + ["udp sport 67", "icmpv6 type 134"]
  }
}
