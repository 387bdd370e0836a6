internal import Platform

/// Commands that the control domain runs at each start, one after the other, whatever becomes of those before. Its init
/// looks for the file, and keeps what they print.
struct StartCommands: Sendable {
  let commands: [String]

  private static let script = "etc/roost/at-start"

  var entries: [TreeEntry] {
    guard !commands.isEmpty else { return [] }
    let lines = commands.enumerated().map { "run \($0.offset + 1) \(ShellWord.quoted($0.element))\n" }
    let text = """
      #!/bin/sh
      export HOME=/root
      cd /root
      run() {
        /bin/sh -c "$2" || echo "at-start: command $1 of \(commands.count) failed" >&2
      }
      \(lines.joined())
      """
    return [.text(Self.script, text, permissions: 0o755)]
  }
}

/// Commands that a guest runs when it starts for the first time, one after the other. Each is run until it was successful
/// once: one that fails is tried again at the next start, and those before it are not.
struct FirstBoot: Sendable {
  let commands: [String]
  /// Whether there is a network to wait for.
  let hasNetwork: Bool

  private static let script = "usr/local/lib/roost/first-boot"
  private static let unit = "roost-first-boot.service"
  private static let state = "/var/lib/roost"
  private static let done = "\(state)/first-boot.done"

  var entries: [TreeEntry] {
    guard !commands.isEmpty else { return [] }
    let units = "etc/systemd/system"
    return [
      .text(Self.script, text, permissions: 0o755), .text("\(units)/\(Self.unit)", service),
      .link("\(units)/multi-user.target.wants/\(Self.unit)", to: "../\(Self.unit)"),
    ]
  }

  private var service: String {
    let waiting = "ExecStartPre=-/usr/lib/systemd/systemd-networkd-wait-online --any --timeout=60\n"
    return """
      [Unit]
      Description=What the recipe says for the first start
      ConditionPathExists=!\(Self.done)
      After=systemd-networkd.service

      [Service]
      Type=oneshot
      \(hasNetwork ? waiting : "")ExecStart=/\(Self.script)
      Environment=HOME=/root
      WorkingDirectory=/root
      StandardOutput=journal+console

      """
  }

  private var text: String {
    let lines = commands.enumerated().map { "run \($0.offset + 1) \(ShellWord.quoted($0.element))\n" }
    return """
      #!/bin/sh
      # How many commands were successful is kept beside the mark that all were.
      count=\(Self.state)/first-boot.count
      mkdir -p \(Self.state)
      done=$(cat $count 2>/dev/null || echo 0)
      run() {
        [ "$1" -gt "$done" ] || return 0
        if ! /bin/sh -c "$2"; then
          echo "first boot: command $1 of \(commands.count) failed; it is tried again at the next start" >&2
          exit 1
        fi
        echo "$1" > $count.new && sync $count.new && mv $count.new $count
      }
      \(lines.joined())touch \(Self.done)

      """
  }
}
