import Platform
import Testing

/// What the commands for domains do on a running appliance: the machine shows the screen, root is logged in on the console
/// of the guest `debian`, and `/dev/vda` is an archive with `disk.qcow2` in it.
struct DomainSession {
  let machine: Machine
  /// The digest of the disk that `disk.qcow2` is, as `sha256sum` has it, and its size in bytes.
  let image: (digest: String, bytes: Int)

  func run() throws {
    try machine.inShell(
      [
        ("roost create --like hatchling --name egg", "egg: starting"),
        ("roost events --domain egg --until ready && roost info egg", "\"hatchling> \""),
        ("roost pause egg", "egg: paused"),
        ("roost list | grep '^egg'", "paused"),
        // It stands still: no time of a processor.
        (
          "cpu() { roost info egg | sed -n 's/^cpu time *//p'; }; a=$(cpu); sleep 3; [ \"$a\" = \"$(cpu)\" ] && echo st''ill",
          "still"
        ),
        ("roost stop egg", "unpause it first"),
        ("roost unpause egg", "egg: ready"),
        ("roost create --like hatchling --name egg", "there is a domain named egg already"),
        ("roost create --like hatchling --name huge --memory 512GiB", "MiB left for it"),
        // Debian with a disk of its own that begins as the image, and a name that others know.
        ("roost create --like debian --name web --memory '192 MiB' --cpus 2", "web: starting, 10.77.0."),
        ("[ -b /dev/roost/web ] && [ -e /sys/class/net/tap-web ] && echo the''re", "there"),
        (
          "roost limit web --cpu-cap 50 --cpu-weight 300 --disk-operations 500 --network-rate '10 Mbit' | grep weight",
          "300"
        ),
        // The kernel has it all.
        (
          "cat /sys/fs/cgroup/roost/web/cpu.max && grep -c riops=500 /sys/fs/cgroup/roost/web/io.max | sed 's/^/i''o=/'",
          "io=1"
        ),
        (
          "until tc qdisc show dev tap-web | grep -q 'tbf.*10Mbit'; do sleep 1; done; echo out''bound", "outbound"
        ),
        (
          "p() { tc filter show dev tap-web ingress | grep -q 'rate 10Mbit'; }; for i in $(seq 60); do p && break; sleep 1; done; p && echo po''liced || tail -n 3 /var/log/roost/network.log",
          "policed"
        ),
        ("wc -l </sys/fs/cgroup/roost/web/cgroup.procs | sed 's/^/mo''nitors=/'", "monitors=1"),
        ("grep -c '^[0-9]*$' /sys/fs/cgroup/roost/web/memory.max | sed 's/^/bo''unded=/'", "bounded=1"),
        (
          "roost limit web --cpu-cap 0 --network-rate 0 >/dev/null && cat /sys/fs/cgroup/roost/web/cpu.max",
          "max 100000"
        ),
        // The manager may end at any time: its successor takes all of them over.
        (
          "kill -9 $(busybox pidof roostd); until roost list >/dev/null 2>&1; do sleep 1; done; roost list | grep -c '^web' | sed 's/^/ru''ns=/'",
          "runs=1"
        ),
        ("roost events --domain web --until ready && echo we''b-is-up", "web-is-up"),
        // Processors, and what is seen of it all.
        ("roost vcpu-set web 1 >/dev/null && cat /sys/fs/cgroup/roost/web/cpu.max", "100000 100000"),
        ("roost list | grep '^web'", "1/2"),
        ("roost vcpu-set web 3", "can use 1 to 2 processors"),
        ("roost vcpu-set web 2 >/dev/null && cat /sys/fs/cgroup/roost/web/cpu.max", "max 100000"),
        ("roost top --once | grep -c '^web.*MiB' | sed 's/^/to''p=/'", "top=1"),
        ("roost log web | grep -q 'debian login:' && echo lo''gged", "logged"),
        // Off and on again: by the guest itself, and without asking it.
        Machine.rebooting("web"),
        ("roost events --domain web --until ready && echo ba''ck", "back"),
        ("roost destroy egg && roost events --domain egg --until off && echo en''ded", "ended"),
        ("roost start egg && roost events --domain egg --until ready && echo ha''tched", "hatched"),
        // A disk that begins as an image of another format.
        (
          "mkdir /tmp/images && tar -C /tmp/images -xf /dev/vda disk.qcow2; ls /tmp/images/*2", "/tmp/images/disk.qcow2"
        ),
        ("roost create --image /tmp/images/disk.qcow2 --memory '64 MiB' --name box", "box: starting"),
        ("head -c \(image.bytes) /dev/roost/box | sha256sum", image.digest),
        ("roost remove box --force --yes", "box: removed"),
      ], then: "All 5 domains are ready.")
    try machine.type("1")
    try machine.wait(for: "root@debian:~#", seconds: 60)
    try machine.type(
      "getent hosts web && ping -c 1 web >/dev/null 2>&1; getent hosts web | grep -c 10.77 | sed 's/^/na''mes=/'\r")
    try machine.wait(for: "names=1", seconds: 60)
    try machine.type("\u{1D}")
    try machine.wait(for: "All 5 domains are ready.", seconds: 60)
    try machine.inShell(
      [
        ("roost disk snapshot web early && roost remove web egg --yes", "stop it first"),
        (
          "roost stop web && roost events --domain web --until off && roost list | sed -n 's/^web .* off .*/web is do''wn/p'",
          "web is down"
        ),
        ("roost remove web egg --force --yes", "egg: removed"),
        // Interfaces go when who asked has his answer already.
        (
          "n() { ls /dev/roost /sys/class/net /sys/fs/cgroup/roost /run/roost/domains /var/log/roost | grep -c 'web\\|egg'; }; for i in $(seq 60); do [ $(n) = 0 ] && break; sleep 1; done; n | sed 's/^/le''ft=/'",
          "left=0"
        ),
        ("roost disk list | grep -c early | sed 's/^/kep''t=/' && roost disk destroy early --yes", "early: removed"),
        ("roost remove debian --yes", "part of the recipe"),
      ], then: "All 3 domains are ready.")
  }
}
