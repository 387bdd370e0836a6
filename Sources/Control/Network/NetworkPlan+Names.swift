internal import Manifest

/// Names and addresses, by a dnsmasq for each network that has addresses: what one network asks does not reach another.
extension NetworkPlan {
  /// The configuration of a network's dnsmasq. `upstream` is the resolv.conf that the uplink's DHCP client writes; domains
  /// of isolated networks ask nobody outside.
  func nameServerConfiguration(of segment: Segment, runtimeDirectory: String, upstream: String) -> String? {
    guard let address = segment.address, let base = segment.base else { return nil }
    var lines = [
      "interface=\(segment.bridge)", "except-interface=lo", "bind-interfaces", "no-hosts", "domain-needed",
      "bogus-priv",
      "domain=\(domain)", "local=/\(domain)/", "expand-hosts",
      segment.mode == .isolated ? "no-resolv" : "resolv-file=\(upstream)",
      "dhcp-range=\(base),static,\(segment.netmask),12h", "dhcp-authoritative", "dhcp-no-override",
      "dhcp-leasefile=\(runtimeDirectory)/\(Self.file("leases", of: segment))",
      "host-record=\(hostname),\(hostname).\(domain),\(address)",
      // Guests come and go: dnsmasq reads these two again when it gets SIGHUP.
      "dhcp-hostsfile=\(runtimeDirectory)/\(Self.file("guests", of: segment))",
      "addn-hosts=\(runtimeDirectory)/\(Self.file("names", of: segment))",
    ]
    if segment.mode == .isolated {
      // An option without a value is not sent; otherwise dnsmasq names itself as the way out.
      lines.append("dhcp-option=option:router")
      if let router = segment.router { lines.append("dhcp-option=tag:!\(Self.routerTag),option:router,\(router)") }
    }
    return Self.text(lines)
  }

  /// Marks the card that is the way out itself.
  private static let routerTag = "router"

  /// Name of a dnsmasq's file.
  static func file(_ kind: String, of segment: Segment) -> String {
    segment.name == ApplianceManifest.Network.name ? "dnsmasq.\(kind)" : "dnsmasq-\(segment.name).\(kind)"
  }

  /// Which card gets which address (dnsmasq(8), --dhcp-hostsfile).
  func leases(of segment: Segment) -> String {
    Self.text(
      addressed(in: segment).map { port, address in
        let tag = segment.router.map { "\($0)" == address } == true ? "set:\(Self.routerTag)," : ""
        return "\(port.card.mac),\(tag)\(address),\(port.domain)"
      })
  }

  /// The guests' names, known before a guest asks for its address (hosts(5)).
  func names(of segment: Segment) -> String {
    Self.text(addressed(in: segment).map { port, address in "\(address) \(port.domain)" })
  }

  private func addressed(in segment: Segment) -> [(Port, String)] {
    ports(in: segment).compactMap { port in port.card.address.map { (port, $0) } }
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
