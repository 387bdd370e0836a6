internal import Manifest

/// The appliance's network as text for the tools that make it: a bridge with an address, a tap for each domain, names
/// and addresses by dnsmasq, and the way out by nftables. Pure: it runs nothing.
struct NetworkPlan: Hashable, Sendable {
  /// A guest on the network.
  struct Guest: Hashable, Sendable {
    let name: String
    let mac: String
    let address: String
    /// Its interface in the control domain.
    let tap: String
  }

  let bridge: String
  /// The control domain's own address.
  let address: IPv4Address
  let prefixLength: Int
  /// DNS domain.
  let domain: String
  /// The control domain's host name.
  let hostname: String
  let guests: [Guest]
  /// The name server that the guests' images name, where it is not at this network's own address any more.
  let formerNameServer: IPv4Address?

  /// Longest name of an interface (linux/if.h: IFNAMSIZ is 16 with the NUL).
  static let interfaceNameLength = 15

  /// `builtAddress` is the control domain's address as the medium has it; this stick's may be another.
  ///
  /// Throws `system` when the manifest's address is none.
  init(_ manifest: ApplianceManifest, builtAddress: String? = nil) throws(ControlError) {
    guard let (address, length) = Self.parse(manifest.network.address) else {
      throw ControlError(
        .system, "the manifest's network address \"\(manifest.network.address)\" is not of the form 10.77.0.1/24")
    }
    let built = builtAddress.flatMap(Self.parse)?.address
    formerNameServer = built == address ? nil : built
    bridge = String(manifest.network.bridge.prefix(Self.interfaceNameLength))
    self.address = address
    prefixLength = length
    domain = manifest.network.domain
    hostname = manifest.controlDomain.hostname
    let taps = Self.interfaceNames(manifest.domains.map(\.name), taken: [bridge])
    guests = zip(manifest.domains, taps).compactMap { domain, tap in
      domain.network.map { Guest(name: domain.name, mac: $0.mac, address: $0.address, tap: tap) }
    }
  }

  private static func parse(_ text: String) -> (address: IPv4Address, length: Int)? {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(String(parts[0])), let length = Int(parts[1]),
      (8...30).contains(length)
    else { return nil }
    return (address, length)
  }

  /// `tap-` and the name, cut to what an interface may be called, and distinct.
  static func interfaceNames(_ names: [String], taken: Set<String> = []) -> [String] {
    var used = taken
    return names.map { name in
      var candidate = String("tap-\(name)".prefix(interfaceNameLength))
      var number = 1
      while !used.insert(candidate).inserted {
        number += 1
        candidate = String("tap-\(name)".prefix(interfaceNameLength - "~\(number)".count)) + "~\(number)"
      }
      return candidate
    }
  }

  /// The interface of a domain; nil when it has no network.
  func tap(of domain: String) -> String? {
    guests.first { $0.name == domain }?.tap
  }

  private var netmask: IPv4Address { IPv4Address(rawValue: UInt32.max << UInt32(32 - prefixLength)) }
  private var subnet: IPv4Address { IPv4Address(rawValue: address.rawValue & netmask.rawValue) }

  /// Commands for `ip -batch`, for what is not among the `existing` interfaces.
  func linkCommands(existing: Set<String>) -> String {
    var lines: [String] = []
    if !existing.contains(bridge) {
      lines.append("link add name \(bridge) type bridge stp_state 0 forward_delay 0")
      // An address of its own: a bridge takes that of its lowest port otherwise, and changes it with the ports.
      lines.append("link set dev \(bridge) address \(Self.hardwareAddress(for: address))")
    }
    lines.append("address replace \(address)/\(prefixLength) dev \(bridge)")
    lines.append("link set dev \(bridge) up")
    for guest in guests {
      if !existing.contains(guest.tap) { lines.append("tuntap add dev \(guest.tap) mode tap") }
      lines.append("link set dev \(guest.tap) master \(bridge)")
      lines.append("link set dev \(guest.tap) up")
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// A locally administered address that no guest has: 02-52-6F and the last three bytes of the IPv4 address.
  private static func hardwareAddress(for address: IPv4Address) -> String {
    let bytes: [UInt32] = [2, 0x52, 0x6F] + [16, 8, 0].map { address.rawValue >> UInt32($0) & 255 }
    return bytes.map { hex($0) }.joined(separator: ":")
  }

  private static func hex(_ byte: UInt32) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }

  /// The rules for `nft -f`: guests reach the outside behind the machine's address, nobody reaches them from there, and
  /// of the control domain they reach DHCP, DNS and ping.
  func firewallRules() -> String {
    // A file system that was made for another network asks there; its question goes to where the answer is.
    let names = formerNameServer.map { former in
      """
        chain names {
          type nat hook prerouting priority dstnat; policy accept;
          iifname "\(bridge)" ip daddr \(former) udp dport 53 redirect
          iifname "\(bridge)" ip daddr \(former) tcp dport 53 redirect
        }

      """
    }
    return """
      add table inet roost
      delete table inet roost
      table inet roost {
      \(names ?? "")\
        chain input {
          type filter hook input priority filter; policy accept;
          iifname != "\(bridge)" accept
          ct state established,related accept
          meta l4proto { 1, 58 } accept comment "ICMP and ICMPv6: names would need /etc/protocols"
          udp dport { 53, 67 } accept
          tcp dport 53 accept
          drop
        }
        chain forward {
          type filter hook forward priority filter; policy accept;
          ct state established,related accept
          iifname "\(bridge)" accept
          oifname "\(bridge)" drop
        }
        chain postrouting {
          type nat hook postrouting priority srcnat; policy accept;
          ip saddr \(subnet)/\(prefixLength) oifname != "\(bridge)" masquerade
        }
      }

      """
  }

  /// The configuration of dnsmasq. `upstream` is the resolv.conf that the uplink's DHCP client writes.
  func nameServerConfiguration(runtimeDirectory: String, upstream: String) -> String {
    var lines = [
      "interface=\(bridge)", "except-interface=lo", "bind-interfaces", "no-hosts", "domain-needed", "bogus-priv",
      "domain=\(domain)", "local=/\(domain)/", "expand-hosts",
      "resolv-file=\(upstream)",
      "dhcp-range=\(subnet),static,\(netmask),12h", "dhcp-authoritative", "dhcp-no-override",
      "dhcp-leasefile=\(runtimeDirectory)/dnsmasq.leases",
      "host-record=\(hostname),\(hostname).\(domain),\(address)",
    ]
    for guest in guests {
      lines.append("dhcp-host=\(guest.mac),\(guest.address),\(guest.name)")
      // Names are known before the guest asks for its address.
      lines.append("host-record=\(guest.name),\(guest.name).\(domain),\(guest.address)")
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// The script that udhcpc runs when the uplink's lease changes (busybox, networking/udhcp: "udhcpc.script").
  static func uplinkScript(resolvConf: String) -> String {
    """
    #!/bin/sh
    # Written by roostd. udhcpc gives: $1 the event, and interface, ip, mask, router, dns, domain.
    case "$1" in
      deconfig)
        ip address flush dev "$interface"
        ip link set dev "$interface" up
        ;;
      bound|renew)
        ip address replace "$ip/${mask:-24}" dev "$interface"
        if [ "$1" = bound ]; then
          for gateway in $router; do
            ip route replace default via "$gateway" dev "$interface" && break
          done
        fi
        : > "\(resolvConf).new"
        [ -n "$domain" ] && echo "search $domain" >> "\(resolvConf).new"
        for server in $dns; do
          echo "nameserver $server" >> "\(resolvConf).new"
        done
        mv "\(resolvConf).new" "\(resolvConf)"
        [ -L /etc/resolv.conf ] || cp "\(resolvConf)" /etc/resolv.conf
        ;;
    esac

    """
  }
}
