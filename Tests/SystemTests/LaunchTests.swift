import Binary
import Platform
import Testing

/// A guest out of an OCI image, one out of a folder, and a Debian that a recipe makes its own, in one appliance: what
/// docs/recipe.md says of them, seen on their consoles.
@Suite(
  "Images, folders and systems of a recipe's own", .serialized, .enabled(if: Environment.isComplete, Environment.reason)
)
struct LaunchTests {
  @Test("An OCI image and a folder run their commands, and Debian has what the recipe and what it includes say")
  func archive() throws {
    let work = try BuildTests.Workplace("launch")
    try LaunchFiles(folder: work.path).write()
    let program = try Environment.program("roost")
    let build = try Machine(
      [program, "build", "\(work.path)/recipe.yaml", "-o", "\(work.path)/out.iso", "--set", "course=networks"],
      log: "launch-build")
    try #require(try build.waitForExit(seconds: 600) == .exited(0), "\(build.tail)")
    try EmulatorPanic.startingOver { attempt in
      let machine = try Machine(
        [program, "boot", "\(work.path)/out.iso", "--memory", "2GiB", "--no-net"], log: "launch-\(attempt)")
      do {
        try session(machine)
      } catch {
        try EmulatorPanic.check(text: machine.text)
        throw error
      }
      #expect(!machine.text.contains("Kernel panic"))
      #expect(!machine.text.contains("guest crashed"))
    }
  }

  private static let summary = "All 3 domains are ready."

  private func session(_ machine: Machine) throws {
    try machine.wait(for: "on networks", seconds: 300)
    try machine.wait(for: Self.summary, seconds: 600)

    // Debian's is the first console: what is included comes first. The user of the recipe has a password.
    try machine.type("1")
    try machine.wait(for: "debian login:", seconds: 60)
    try machine.type("ada\r")
    try machine.wait(for: "Password:", seconds: 60)
    try machine.type("open sesame\r")
    try machine.wait(for: "the lesson of networks in room 12", seconds: 60)
    try machine.wait(for: "ada@debian:~$", seconds: 60)
    try machine.leaveConsole()

    // The image's command reads its console, too.
    try machine.type("2")
    try machine.wait(for: "web: listening", seconds: 60)
    try machine.type("abcdefghijkl\r")
    try machine.wait(for: "web: heard 12 letters", seconds: 60)
    try machine.leaveConsole()

    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    // The command before this one failed.
    expect(
      ["starts with 23 and the lesson of networks in room 12"],
      of: try said("control: ", by: "cat /var/log/roost/services/at-start*", machine))
    try machine.type("roost stop web && roost events --domain web --until off && echo web-is-d''own\r")
    try machine.wait(for: "web-is-down", seconds: 120)
    expect(
      [
        "arguments 2: from the image, and more", "user 1000:1001 at home in /home/app of 1000:1001", "in /srv/work",
        "environment hello, 8080, web", "files first kept work", "instead new", "first: the second layer's",
        "address inet 10.77.0.10/24", "told to end",
      ], of: try said("web: ", by: "roost log web", machine))
    expect(
      [
        "run 1 in networks, 2 arguments: two words, files of 44:55", "the command ended with status 3",
        "run 2 in networks, 2 arguments: two words, files of 44:55", "serving",
      ], of: try said("tool: ", by: "roost log tool", machine))
    expect(
      ["command 2 of 3 failed; it is tried again at the next start"],
      of: try said("first boot: ", by: "roost log debian", machine))
    let debian = try said("debian: ", by: "roost log debian", machine)
    expect(
      [
        "start 1 after one", "start 2 after one three", "swappiness 17 in room 12", "ada 1000 in ada adm",
        "notes ada:ada 755 ada:adm 640 for the lesson", "key ada 600 \(LaunchFiles.key)",
        "services enabled disabled enabled",
      ], of: debian)
    #expect(!debian.contains { $0.hasPrefix("start 3") })
    try machine.type("roost-init poweroff\r")
    #expect(try machine.waitForExit(seconds: 120) == .exited(0))
  }

  private func expect(_ wanted: [String], of lines: [String]) {
    for line in wanted { #expect(lines.contains(line), "'\(line)' is not among \(lines)") }
  }

  /// What follows `mark` in the lines that a command in the control domain prints.
  private func said(_ mark: String, by command: String, _ machine: Machine) throws -> [String] {
    let start = machine.log.count
    try machine.type("\(command) | grep -a '\(mark)'; echo the''-end\r")
    try machine.wait(for: "the-end", seconds: 60)
    return String(decoding: machine.log[start...], as: UTF8.self).split(whereSeparator: \.isNewline).compactMap {
      line in
      guard let range = line.firstRange(of: mark) else { return nil }
      var rest = line[range.upperBound...]
      while let last = rest.last, last.isWhitespace { rest.removeLast() }
      return String(rest)
    }
  }
}

/// The recipe, the one that it includes, and what they name: an OCI layout in a tar, and a folder, each with busybox and a
/// script that says what it sees.
private struct LaunchFiles {
  let folder: String

  static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB ada"

  private static let included = """
    variables: {course: ~, room: 11}
    control-domain:
      suite: trixie
      hostname: ${course}
      files: [{path: /etc/lesson, template: lesson.txt}]
      sysctl: {vm.swappiness: 23}
      at-start:
        - "false"
        - 'echo "control: starts with $(cat /proc/sys/vm/swappiness) and $(cat /etc/lesson)"'
    domains:
      - name: debian
        memory: 512 MiB
        disk: 1 GiB
        source:
          debian:
            suite: trixie
            hostname: debian
            users: [{name: ada, groups: [adm], password-hash: "HASH"}]
            files:
              - {path: /etc/motd, template: lesson.txt}
              - {path: /etc/systemd/system/report.service, from: report.service}
            services: {enable: [report, fstrim.timer], disable: [remote-fs.target]}
            first-boot: [echo one >>/root/first]

    """

  private static let recipe = """
    name: launch
    include: [base.yaml]
    variables: {room: 12}
    image: {level: 1}
    storage: {ram: 256 MiB}
    domains:
      - name: debian
        memory: 256 MiB
        source:
          debian:
            users: [{name: ada, ssh-keys: ["\(key)"]}]
            files:
              - {path: /usr/local/bin/report, template: report, mode: 0755}
              - {path: /home/ada/notes/today, text: "for the lesson\\n", owner: "ada:adm", mode: 0640}
            first-boot:
              - test -e /root/tried || { touch /root/tried; exit 1; }
              - echo three >>/root/first
            sysctl: {vm.swappiness: 17}
        ready: {console: "debian: reported", timeout: 300 s}
      - name: web
        memory: 128 MiB
        disk: 64 MiB
        network: true
        source: {oci: {image: image.tar, reference: "web:2", suite: trixie, environment: {PORT: 8080}}}
      - name: tool
        memory: 128 MiB
        disk: 64 MiB
        source:
          directory:
            path: tool
            suite: trixie
            owner: "tool:tools"
            command: [/bin/sh, /start, --serve, two words]
            environment: {COURSE: "${course}"}
            restart: on-failure
        ready: {console: "tool: serving", timeout: 300 s}

    """

  /// At the first start it has the machine start again.
  private static let report = """
    #!/bin/sh
    say() { echo "debian: $*"; }
    starts=$(($(cat /root/starts 2>/dev/null || echo 0) + 1))
    echo $starts >/root/starts
    say start $starts after $(cat /root/first)
    if [ $starts = 1 ]; then
      sync
      exec systemctl --no-block reboot
    fi
    say swappiness $(cat /proc/sys/vm/swappiness) in room ${room}
    say ada $(id -u ada) in $(id -nG ada)
    say notes $(stat -c '%U:%G %a' /home/ada/notes /home/ada/notes/today) $(cat /home/ada/notes/today)
    say key $(stat -c '%U %a' /home/ada/.ssh/authorized_keys) $(cat /home/ada/.ssh/authorized_keys)
    say services $(systemctl is-enabled report remote-fs.target fstrim.timer)
    say reported

    """

  private static let unit = """
    [Unit]
    After=roost-first-boot.service

    [Service]
    Type=oneshot
    ExecStart=/usr/local/bin/report
    StandardOutput=journal+console

    [Install]
    WantedBy=multi-user.target

    """

  private static let start = """
    runs=$(($(cat /runs 2>/dev/null || echo 0) + 1))
    echo $runs >/runs
    echo "tool: run $runs in $COURSE, $# arguments: $2, files of $(stat -c %u:%g /start)"
    [ $runs -gt 1 ] || exit 3
    echo "tool: serving"
    exec sleep 100000

    """

  private static let run = """
    say() { echo "web: $*"; }
    say "arguments $#: $1, $2"
    say "user $(id -u):$(id -g) at home in $HOME of $(stat -c %u:%g /home/app)"
    say "in $(pwd)"
    say "environment $GREETING, $PORT, $HOSTNAME"
    say files $(ls /srv)
    say instead $(ls /opt)
    say "first: $(cat /srv/first)"
    say "address $(ip -o -4 addr show dev eth0 | grep -o 'inet [0-9.]*/24')"
    trap 'say told to end; exit 0' TERM
    say listening
    while :; do
      read -r line && say "heard ${#line} letters" || sleep 1
    done

    """

  func write() throws {
    let hash = try DamagedImage.output(["openssl", "passwd", "-6", "-salt", "launch", "open sesame"])
    for (name, text) in [
      ("base.yaml", Self.included.replacing("HASH", with: String(hash.prefix { $0 != "\n" }))),
      ("recipe.yaml", Self.recipe), ("report", Self.report), ("report.service", Self.unit),
      ("lesson.txt", "the lesson of ${course} in room ${room}\n"),
    ] {
      try Files.write(text, to: "\(folder)/\(name)")
    }
    let tool = "\(folder)/tool"
    try addBusybox(to: tool)
    try Files.write("tool:x:44:44::/:/bin/sh\n", to: "\(tool)/etc/passwd")
    try Files.write("tools:x:55:\n", to: "\(tool)/etc/group")
    try Files.write(Self.start, to: "\(tool)/start")
    try writeImage()
  }

  private func addBusybox(to root: String) throws {
    for name in ["bin", "etc"] { try Files.makeDirectories("\(root)/\(name)") }
    try DamagedImage.run(["cp", "/bin/busybox", "\(root)/bin/busybox"])
    for name in ["sh", "cat", "grep", "id", "ip", "ls", "sleep", "stat"] {
      try Files.link("\(root)/bin/\(name)", to: "busybox")
    }
  }

  // MARK: The image

  /// Two images, of which the second has another layer: it takes away a file and what was in a folder, and replaces a file.
  private func writeImage() throws {
    let (first, second, layout) = ("\(folder)/first", "\(folder)/second", "\(folder)/image")
    try addBusybox(to: first)
    for (path, text) in [
      ("etc/passwd", "app:x:1000:1001::/home/app:/bin/sh\n"), ("srv/first", "the first layer's"),
      ("srv/kept", ""), ("srv/gone", ""), ("opt/old", ""), ("home/app/file", ""), ("app/run", Self.run),
    ] {
      try write(text, to: "\(first)/\(path)")
    }
    for (path, text) in [
      ("srv/first", "the second layer's"), ("srv/.wh.gone", ""), ("opt/.wh..wh..opq", ""), ("opt/new", ""),
    ] {
      try write(text, to: "\(second)/\(path)")
    }
    try Files.makeDirectories("\(layout)/blobs/sha256")
    let layers = [
      try layer(first, packedBy: "gzip"),
      try layer(second, packedBy: "zstd"),
    ]
    let execution = """
      {"User":"app","Env":["GREETING=hello","PORT=80"],"Entrypoint":["/bin/sh","/app/run"],\
      "Cmd":["from the image","and more"],"WorkingDir":"/srv/work"}
      """
    let images = [
      try image(Array(layers.prefix(1)), execution, named: "web:1"), try image(layers, execution, named: "web:2"),
    ]
    try Files.write(#"{"imageLayoutVersion":"1.0.0"}"#, to: "\(layout)/oci-layout")
    try Files.write(
      #"{"schemaVersion":2,"manifests":[\#(images.joined(separator: ","))]}"#, to: "\(layout)/index.json")
    try DamagedImage.run(["tar", "-cf", "\(folder)/image.tar", "-C", layout, "."])
  }

  private func write(_ text: String, to path: String) throws {
    try Files.makeDirectories(path.split(separator: "/").dropLast().joined(separator: "/"))
    try Files.write(text, to: path)
  }

  /// Adds a file to the layout's blobs, and returns its descriptor.
  private func blob(_ bytes: [UInt8], _ type: String, more: String = "") throws -> String {
    let digest = "\(SHA256.hash(bytes))"
    try Files.write(bytes, to: "\(folder)/image/blobs/sha256/\(digest)")
    return """
      {"mediaType":"application/vnd.oci.image.\(type)","digest":"sha256:\(digest)","size":\(bytes.count)\(more)}
      """
  }

  /// A layer of what is in a folder: its descriptor, and the digest of what it unpacks to.
  private func layer(_ root: String, packedBy tool: String) throws -> (descriptor: String, unpacked: String) {
    // The user's home is its own.
    try DamagedImage.run([
      "sh", "-ec",
      """
      tar -cf "$1.tar" --owner=0 --group=0 --exclude=./home -C "$1" .
      [ ! -e "$1/home" ] || tar -rf "$1.tar" --owner=1000 --group=1001 -C "$1" ./home/app
      "$2" -c <"$1.tar" >"$1.packed"
      """, "sh", root, tool,
    ])
    return (
      try blob(try Files.read("\(root).packed"), "layer.v1.tar+\(tool)"),
      "\(SHA256.hash(try Files.read("\(root).tar")))"
    )
  }

  /// An image's descriptor.
  private func image(
    _ layers: [(descriptor: String, unpacked: String)], _ execution: String, named name: String
  ) throws -> String {
    let digests = layers.map { "\"sha256:\($0.unpacked)\"" }.joined(separator: ",")
    let config = try blob(
      Array(
        """
        {"architecture":"amd64","os":"linux","config":\(execution),"rootfs":{"type":"layers","diff_ids":[\(digests)]}}
        """.utf8), "config.v1+json")
    let list = layers.map(\.descriptor).joined(separator: ",")
    return try blob(
      Array(#"{"schemaVersion":2,"config":\#(config),"layers":[\#(list)]}"#.utf8), "manifest.v1+json",
      more: #","annotations":{"org.opencontainers.image.ref.name":"\#(name)"}"#)
  }
}
