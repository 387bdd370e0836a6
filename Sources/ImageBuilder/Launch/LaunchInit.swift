internal import Platform
internal import Recipe

/// The init of a guest whose root is an image or a folder: it is in the initramfs and stays there, so that the root is as it
/// was made.
///
/// busybox's init is process 1: it reaps, gives the command the console, and ends everything. Scripts do the rest: devices,
/// network, the command as its user, and what comes after its end.
struct LaunchInit: Sendable {
  let launch: Launch
  /// Whether it has a network card.
  let hasNetwork: Bool
  /// Where it says what is run.
  let program: Step.Input

  /// Drivers that a device manager would load.
  static let modules = [
    "virtio_net", "af_packet", "virtio_balloon", "virtio_mem", "virtio_rng", "virtio_scsi", "sd_mod", "button", "evdev",
  ]

  /// What decides the initramfs beside the program.
  var settings: [String] { launch.words + ["\(hasNetwork)", "init 2"] }

  /// What follows in the initramfs' script when the root is mounted at /root.
  func start(_ program: LaunchProgram) -> String {
    guard program.isSystem else { return "exec $bb init\n" }
    return """
      echo \(ShellWord.quoted(launch.readyText + "/sbin/init"))
      $bb mount --move /dev /root/dev
      $bb umount /sys
      $bb umount /proc
      exec $bb switch_root /root /sbin/init

      """
  }

  /// The scripts.
  func entries(_ program: LaunchProgram) -> [TreeEntry] {
    guard !program.isSystem else { return [] }
    return [
      .text("etc/inittab", Self.table),
      .text("launch/setup", setup, permissions: 0o755),
      .text("launch/dhcp", Self.dhcp(program), permissions: 0o755),
      .text("launch/run", run(program), permissions: 0o755), .text("launch/stop", Self.stop, permissions: 0o755),
      .text("etc/acpi/PWRF/00000080", "#!/bin/busybox sh\nexec /bin/busybox poweroff\n", permissions: 0o755),
    ]
  }

  private static let table = """
    ::sysinit:/launch/setup
    ttyS0::once:-/launch/run
    ::shutdown:/launch/stop
    ::ctrlaltdel:/bin/busybox reboot

    """

  /// Mounts, and the network where it comes within some seconds; it is asked for on and on.
  private var setup: String {
    let cards = """
      for card in /sys/class/net/eth*; do
        [ -e "$card" ] || continue
        $bb ip link set "${card##*/}" up
        $bb udhcpc -i "${card##*/}" -b -t 8 -T 1 -A 5 -S -x hostname:\(launch.hostname) -s /launch/dhcp >/dev/null 2>&1
      done

      """
    return """
      #!/bin/busybox sh
      bb=/bin/busybox
      $bb mkdir -p /dev/pts /dev/shm
      for link in fd stdin:0 stdout:1 stderr:2; do
        number=${link#*:}
        [ "$number" = fd ] && target=/proc/self/fd || target=/proc/self/fd/$number
        $bb ln -sf "$target" "/dev/${link%:*}"
      done
      $bb mount -t devtmpfs -o nosuid dev /root/dev
      $bb mount -t proc -o nosuid,nodev,noexec proc /root/proc
      $bb mount -t sysfs -o nosuid,nodev,noexec sys /root/sys
      $bb mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /root/sys/fs/cgroup 2>/dev/null
      $bb mount -t devpts -o nosuid,noexec,mode=620,ptmxmode=666 devpts /root/dev/pts
      $bb mount -t tmpfs -o nosuid,nodev,mode=1777 shm /root/dev/shm
      $bb mount -t tmpfs -o nosuid,nodev,mode=755 run /root/run
      $bb hostname \(launch.hostname)
      $bb ip link set lo up
      $bb acpid -l /dev/null

      """ + (hasNetwork ? cards : "")
  }

  /// What udhcpc tells. The root's own resolv.conf is a file where it has one: the builder put it there.
  private static func dhcp(_ program: LaunchProgram) -> String {
    let servers = program.resolver.map { path in
      """
          if [ -n "$dns" ]; then
            for address in $dns; do echo "nameserver $address"; done >\(ShellWord.quoted("/root/" + path))
          fi

      """
    }
    return """
      #!/bin/busybox sh
      bb=/bin/busybox
      case $1 in
        deconfig)
          $bb ip -4 addr flush dev "$interface"
          $bb ip link set "$interface" up
          ;;
        bound|renew)
          $bb ip -4 addr flush dev "$interface"
          $bb ip addr add "$ip/${mask:-24}" broadcast + dev "$interface"
          for address in $router; do
            $bb ip route replace default via "$address" dev "$interface"
            break
          done
      \(servers ?? "")    ;;
      esac

      """
  }

  /// The command is the leader of its session, with the serial line as its terminal, in the root alone, as its user.
  private func run(_ program: LaunchProgram) -> String {
    let words = program.words.map(ShellWord.quoted).joined(separator: " ")
    let identity = program.user == 0 && program.group == 0 ? "" : "-G \(program.group) -S \(program.user) "
    let title = EscapedText.make(String((program.words.first ?? "").prefix(200)))
    let again =
      switch launch.restart {
      case .never: "false"
      case .onFailure: "[ $status != 0 ]"
      case .always: "true"
      }
    return """
      #!/bin/busybox sh
      bb=/bin/busybox
      wait=1
      while :; do
        echo \(ShellWord.quoted(launch.readyText + title))
        $bb sh -c 'echo $$ >/launch/pid; exec "$@"' sh \\
          $bb env -i \(program.environment.map(ShellWord.quoted).joined(separator: " ")) \\
          /bin/busybox nsenter -F -r/root -w\(ShellWord.quoted("/root/" + program.directory)) \(identity)-- \\
          \(words)
        status=$?
        $bb rm -f /launch/pid
        $bb stty sane 2>/dev/null
        echo "\(launch.hostname): the command ended with status $status"
        [ ! -e /launch/ending ] && \(again) || break
        $bb sleep $wait
        [ $wait -ge 60 ] || wait=$((wait * 2))
      done
      exec $bb poweroff

      """
  }

  /// The command has ten seconds to end by itself, and everything else one; then the disk is left as it should be.
  private static let stop = """
    #!/bin/busybox sh
    bb=/bin/busybox
    : >/launch/ending
    if [ -e /launch/pid ]; then
      pid=$($bb cat /launch/pid)
      kill -TERM "$pid" 2>/dev/null
      tries=0
      while [ -e "/proc/$pid" ] && [ $tries -lt 100 ]; do
        $bb usleep 100000
        tries=$((tries + 1))
      done
    fi
    kill -TERM -1
    $bb usleep 200000
    kill -KILL -1
    $bb sync
    $bb mount -o remount,ro /root 2>/dev/null

    """
}
