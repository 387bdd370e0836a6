import Testing

/// What `roost network` does on a running appliance: the machine shows the screen, and root is logged in on the console of
/// the guest `debian`.
struct NetworkSession {
  let machine: Machine

  func run() throws {
    try cables()
    try senders()
    try networks()
  }

  /// A cable that delays, across a domain manager's end, and one that is pulled.
  private func cables() throws {
    try machine.inShell([
      ("roost network list | grep bookworm", "tap-bookworm"),
      ("roost network link bookworm --delay '300 ms'", "bookworm: delay 300 ms"),
      ("roost network link bookworm --loss '101 %'", "is not 0 % to 100 %"),
      (
        "kill -9 $(busybox pidof roostd); until roost network list >/dev/null 2>&1; do sleep 1; done; roost network list | grep 'delay 300' | sed 's/^/ke''pt/'",
        "kept"
      ),
    ])
    // Each way.
    try machine.inGuest([
      ("ping -c 3 bookworm | sed -n 's/.*= [0-9.]*\\/\\([0-9]*\\).*/ro''und=\\1/p'", "round=")
    ])
    let round = try #require(
      machine.text.split(whereSeparator: \.isNewline).last { $0.hasPrefix("round=") }.flatMap {
        Int($0.dropFirst("round=".count).prefix { $0.isNumber })
      })
    // A machine that has much else to do takes longer.
    #expect((600..<10_000).contains(round), "an answer took \(round) ms")
    try machine.inShell([("roost network link bookworm --delay '0 ms' --down", "bookworm: pulled")])
    try machine.inGuest([("ping -c 2 -W 2 bookworm >/dev/null || echo unreach''able", "unreachable")])
    try machine.inShell([("roost network link bookworm --perfect", "bookworm: a perfect cable")])
  }

  /// A guest that sends as another is not heard; what it sends as itself is, and is captured.
  private func senders() throws {
    try machine.inGuest([
      (
        "ip address add 10.77.0.99/24 dev eth0; ping -c 2 -W 2 -I 10.77.0.99 10.77.0.1 >/dev/null || echo drop''ped",
        "dropped"
      ),
      ("ip address delete 10.77.0.99/24 dev eth0; ping -c 1 bookworm >/dev/null && echo hea''rd", "heard"),
    ])
    try machine.inShell([
      (
        "ping 10.77.0.10 >/dev/null & roost network capture debian --packets 6 -o /tmp/c.pcapng; kill $!",
        "debian: 6 packets"
      ),
      ("busybox hexdump -n 4 -e '1/4 \"%08x\"' /tmp/c.pcapng; echo", "0a0d0d0a"),
      ("[ $(stat -c %s /tmp/c.pcapng) -gt 400 ] && echo fu''ll", "full"),
      ("nft list table bridge roost | grep -q 10.77.0.10 && echo gu''arded", "guarded"),
    ])
  }

  /// A network that is made on the fly has addresses for those that are connected to it, and goes again.
  private func networks() throws {
    try machine.inShell([
      (
        "roost network create lab --mode isolated --subnet 10.77.0.0/25", "the network guests has addresses of that one"
      ),
      ("roost network create lab --mode isolated --subnet 10.80.1.0/24", "lab: isolated, 10.80.1.1/24"),
      (
        "roost create --like debian --name peer --network lab --network guests --memory '192 MiB'",
        "peer: starting, 10.80.1.10"
      ),
      ("ls /sys/class/net/net-lab/brif | sed 's/^/on''-lab: /'", "on-lab: tap-peer"),
      ("roost events --domain peer --until ready; roost info peer | grep network", "on lab"),
      ("until ping -c 1 -W 1 10.80.1.10 >/dev/null; do sleep 1; done; echo ans''wers", "answers"),
      ("roost network remove lab", "peer would lose a network card"),
      ("roost remove peer --force --yes", "peer: removed"),
      ("roost network remove lab", "lab: removed"),
      (
        "n() { ls /sys/class/net | grep -c 'lab\\|peer'; }; for i in $(seq 60); do [ $(n) = 0 ] && break; sleep 1; done; n | sed 's/^/le''ft-of-it=/'",
        "left-of-it=0"
      ),
      ("roost network remove guests", "part of the recipe"),
    ])
  }
}
