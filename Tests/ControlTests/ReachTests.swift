import Platform
import Synchronization
import TestMachine
import Testing
@testable import Control

@Suite("Where --host leads")
struct RemoteHostTests {
  @Test("A host is a name, with a user before it and a port behind it if they are said")
  func written() throws {
    let cases: [(String, user: String?, name: String, port: Int?, again: String)] = [
      ("lab-01", nil, "lab-01", nil, "lab-01"),
      ("root@lab-01.example", "root", "lab-01.example", nil, "root@lab-01.example"),
      ("ssh://root@lab-01:2222/", "root", "lab-01", 2222, "root@lab-01:2222"),
      ("10.77.0.1:22", nil, "10.77.0.1", 22, "10.77.0.1:22"),
      ("root@[2001:db8::1]:22", "root", "2001:db8::1", 22, "root@[2001:db8::1]:22"),
      ("[fe80::1%eth0]", nil, "fe80::1%eth0", nil, "[fe80::1%eth0]"),
    ]
    for (text, user, name, port, again) in cases {
      let host = try RemoteHost(text)
      #expect(host.user == user && host.name == name && host.port == port && "\(host)" == again, "\(text)")
    }
  }

  @Test(
    "What ssh or a shell could take for something else is refused, and what is wrong is said",
    arguments: [
      ("", "name"), ("-oProxyCommand=sh", "name"), ("root@-x", "name"), ("-l@lab", "user"), ("a b", "name"),
      ("lab;reboot", "name"), ("$(id)@lab", "user"), ("lab:0", "port"), ("lab:65536", "port"), ("lab:x", "port"),
      ("lab:", "port"), ("2001:db8::1", "brackets"), ("[2001:db8::1", "]"), ("[lab]", "IPv6"), ("@lab", "user"),
      ("https://lab-01:8443", "docs/http-api.md"), ("lab\n", "name"),
    ])
  func refused(text: String, word: String) {
    let error = #expect(throws: ControlError.self) { try RemoteHost(text) }
    #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
  }

  @Test("ssh gets the host behind its options, and the command as one line that its shell takes apart again")
  func arguments() throws {
    var options = SecureShellClient.Options(program: ["my-ssh", "-F", "none"])
    options.sharing = "/run/user/1000/roost-1-1"
    options.isQuiet = true
    let words = SecureShellClient.arguments(
      try RemoteHost("root@lab-01:2222"), ["roost", "relay", "console", "it's"], terminal: false, options)
    #expect(words.prefix(4) == ["my-ssh", "-F", "none", "-T"])
    #expect(words.suffix(6) == ["-p", "2222", "-l", "root", "lab-01", "roost relay console 'it'\\''s'"])
    #expect(words.contains("BatchMode=yes") && words.contains("ControlPath=/run/user/1000/roost-1-1"))
    let loud = SecureShellClient.arguments(try RemoteHost("lab"), [], terminal: true, .init(program: ["ssh"]))
    #expect(loud.prefix(2) == ["ssh", "-t"] && loud.last == "lab")
    #expect(!loud.contains("BatchMode=yes") && !loud.contains { $0.hasPrefix("Control") } && !loud.contains("-p"))
  }
}

@Suite("A relay's first line")
struct RelayGreetingTests {
  @Test("It is found behind what a login shell says, however it is cut, and what follows is the stream's")
  func cut() throws {
    let bytes = Array("Welcome\nroost\r\n".utf8) + RelayGreeting.accepted + Array("roost-relay \nstream".utf8)
    for size in 1...bytes.count {
      var greeting = RelayGreeting()
      var got: [UInt8]?
      for start in stride(from: 0, to: bytes.count, by: size) {
        let piece = Array(bytes[start..<min(start + size, bytes.count)])
        if got == nil { got = try greeting.append(piece) } else { got? += piece }
      }
      #expect(got.map { String(decoding: $0, as: UTF8.self) } == "roost-relay \nstream", "pieces of \(size)")
    }
  }

  @Test("A refusal is thrown as it was said")
  func refusal() throws {
    let error = ControlError(.unknownDomain, "there is no \"x\"\nat all")
    var greeting = RelayGreeting()
    #expect(throws: error) { try greeting.append(RelayGreeting.refused(error)) }
  }

  @Test("Another version, and endless noise, are not a relay")
  func odd() {
    var other = RelayGreeting()
    #expect(throws: ControlError.self) { try other.append(Array("roost-relay 2 ok\n".utf8)) }
    var noise = RelayGreeting()
    #expect(throws: ControlError.self) { try noise.append([UInt8](repeating: 0x41, count: RelayGreeting.limit + 1)) }
    var broken = RelayGreeting()
    #expect(throws: ControlError.self) { try broken.append(Array("roost-relay 1 {}\n".utf8)) }
  }
}

@Suite("A console's bytes for people")
struct PrintableBytesTests {
  @Test("Characters that are cut between two pieces are whole, and escape sequences stay out")
  func cut() {
    let bytes = Array("gr\u{FC}n \u{1B}[31m\u{20AC}\u{1F426}\n".utf8)
    for size in 1...bytes.count {
      var printable = PrintableBytes()
      let shown = stride(from: 0, to: bytes.count, by: size).flatMap {
        printable.show(Array(bytes[$0..<min($0 + size, bytes.count)]))
      }
      #expect(String(decoding: shown, as: UTF8.self) == "gr\u{FC}n \u{20AC}\u{1F426}\n", "pieces of \(size)")
    }
  }
}

/// A domain manager that is reached by a program in ssh's place, which runs the relay here.
private final class FarAppliance {
  let fixture: DaemonFixture
  private var servers: [ConsoleServer] = []

  static var program: String {
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/.build/debug/roost"
  }

  init(_ domains: [String] = ["debian"]) throws {
    fixture = try DaemonFixture()
    let script = """
      #!/bin/sh
      # In ssh's place: the host says what happens, the last word is the command.
      here='\(fixture.directory)'
      echo "$*" >> "$here/ssh.calls"
      for host do before="$last"; last="$host"; done
      case "$before" in
        shut) echo "root@shut: Permission denied (publickey)." >&2; exit 255 ;;
        away) echo "ssh: connect to host away port 22: No route to host" >&2; exit 255 ;;
        doubtful) echo "Host key verification failed." >&2; exit 255 ;;
        bare) echo "bash: line 1: roost: command not found" >&2; exit 127 ;;
        old) echo "Error: Unexpected argument 'relay'" >&2; exit 64 ;;
        broken) echo "out of luck" >&2; exit 3 ;;
        still) exec sleep 300 ;;
        breaking) echo "roost-relay 1 ok"; echo "Connection to breaking closed by remote host." >&2; exit 255 ;;
        noisy) echo "Welcome to noisy"; echo "no mail" >&2 ;;
      esac
      eval "set -- $last"
      shift
      exec '\(Self.program)' "$@"

      """
    try Files.write(script, to: ssh)
    try Files.setPermissions(ssh, 0o755)
    try fixture.start(domains.map { Samples.domain($0) })
  }

  var ssh: String { "\(fixture.directory)/ssh" }
  var calls: [String] {
    ((try? Files.readText("\(fixture.directory)/ssh.calls")) ?? "").split(separator: "\n").map(String.init)
  }

  func link(_ host: String = "lab", socket: String? = nil, patience: Double? = nil) throws -> ApplianceLink {
    var options = SecureShellClient.Options(program: [ssh])
    // The tests' own output stays clean.
    options.isQuiet = true
    return ApplianceLink(
      host: try RemoteHost(host), socket: socket ?? fixture.configuration.socket, options, patience: patience)
  }

  /// Opens a domain's console: it greets, and gives back what is typed, in brackets.
  func openConsole(of domain: String) throws -> DomainStatus {
    let status = try fixture.status(domain)
    servers.append(try ConsoleServer(status.console, "\(domain) login: "))
    return status
  }

  /// Runs the program itself.
  func run(_ words: [String], _ environment: [String] = []) throws -> ProgramEnd {
    let (output, errors) = ("\(fixture.directory)/output", "\(fixture.directory)/errors")
    var request = ChildRequest([Self.program] + words)
    request.environment = ["PATH=/usr/bin:/bin", "ROOST_SSH=\(ssh)"] + environment
    let input = try FileDescriptor(opening: "/dev/null")
    let first = try FileDescriptor(opening: output, [.writeOnly, .create, .truncate])
    let second = try FileDescriptor(opening: errors, [.writeOnly, .create, .truncate])
    request.descriptors = [input.rawValue, first.rawValue, second.rawValue]
    let status = try ChildProcess.start(request).wait()
    return ProgramEnd(status: status, output: try Files.readText(output), errors: try Files.readText(errors))
  }
}

/// How the program ended, and what it said.
private struct ProgramEnd {
  var status: Platform.ExitStatus
  var output: String
  var errors: String
}

/// A monitor's console, for as many as connect.
private final class ConsoleServer {
  private let listener: Listener

  private final class Listener: Sendable {
    let file: FileDescriptor

    init(_ path: String) throws(SystemError) {
      file = try UnixSocket.listen(path)
    }
  }

  init(_ path: String, _ greeting: String) throws {
    let listener = try Listener(path)
    self.listener = listener
    try Thread("console") {
      while let connection = try? UnixSocket.accept(listener.file) {
        let number = connection.release()
        try? Thread("viewer") {
          let file = FileDescriptor(adopting: number)
          try? file.writeAll(Array(greeting.utf8))
          while let bytes = try? file.read(upTo: 100), !bytes.isEmpty { try? file.writeAll([0x5B] + bytes + [0x5D]) }
        }.detach()
      }
    }.detach()
  }

  deinit {
    try? UnixSocket.shutDown(listener.file)
  }
}

@Suite("An appliance over SSH", .ownThreads, .timeLimit(.minutes(60)))
struct RemoteApplianceTests {
  @Test("Its domain manager answers, refuses and tells as it does at home")
  func manager() throws {
    let far = try FarAppliance(["debian", "other"])
    let client = try ControlClient(try far.link("noisy"))
    client.timeout = 120
    try client.hello()
    let overview = try client.subscribe()
    #expect(overview.domains.map(\.name) == ["debian", "other"])
    let error = #expect(throws: ControlError.self) { try client.perform(.start, on: "debain") }
    #expect(error?.code == .unknownDomain && error?.message.contains("debian") == true)
    try client.perform(.destroy, on: "other")
    var states: Set<String> = []
    try eventually("it is told") {
      if case .domain(let status)? = try client.nextEvent(within: 1), status.name == "other" {
        states.insert(status.state.rawValue)
      }
      return states.contains("off")
    }
    far.fixture.stop()
    let end = MonotonicClock.now() + 300_000_000_000
    let gone = #expect(throws: ControlError.self) {
      while MonotonicClock.now() < end { _ = try client.list() }
    }
    #expect(gone?.code == .disconnected)
  }

  @Test("A console goes both ways, and the session ends as it does at home")
  func console() throws {
    let far = try FarAppliance()
    let domain = try far.openConsole(of: "debian")
    let typed = try Pipe()
    let shown = try Pipe()
    let session = try ConsoleSession(
      domain, by: try far.link(), input: typed.reader.rawValue, output: shown.writer.rawValue)
    try typed.writer.writeAll(Array("root\r".utf8))
    let keyboard = try typed.writer.duplicate().release()
    let eye = try shown.reader.duplicate().release()
    let seen = Mutex("")
    // It leaves when all is there, or will not come any more.
    try Thread("leaver") {
      let screen = FileDescriptor(adopting: eye)
      try? screen.setNonBlocking(true)
      let end = MonotonicClock.now() + 300_000_000_000
      while !seen.withLock({ $0.contains("[root\r]") }), MonotonicClock.now() < end {
        let bytes = (try? screen.read(upTo: 100)) ?? []
        seen.withLock { $0 += String(decoding: bytes, as: UTF8.self) }
        if bytes.isEmpty { MonotonicClock.sleep(milliseconds: 20) }
      }
      try? FileDescriptor(adopting: keyboard).writeAll([ConsoleSession.leaveByte])
    }.detach()
    #expect(try session.run() == .left)
    #expect(seen.withLock { $0 } == "debian login: [root\r]")
    #expect(far.calls.last?.contains("lab roost relay console debian --socket /") == true)
  }

  @Test("All consoles are on the mosaic")
  func mosaic() throws {
    let far = try FarAppliance(["debian", "other"])
    for name in ["debian", "other"] { _ = try far.openConsole(of: name) }
    let loop = try EventLoop()
    let view = MosaicView(loop: loop, by: try far.link(), allowsQuit: true)
    let overview = try far.fixture.client().list()
    view.show(overview, problem: nil)
    _ = view.draw(columns: 80, rows: 24)
    let end = loop.now + 120
    try loop.run {
      loop.after(0.1) {}
      let canvas = view.draw(columns: 80, rows: 24)
      return canvas.text(row: 2) == "debian login:" && canvas.text(row: 13) == "other login:" || loop.now > end
    }
    #expect(view.draw(columns: 80, rows: 24).text(row: 2) == "debian login:")
    #expect(view.handle(.enter) == [] && view.isTyping)
    #expect(view.type(Array("hi".utf8)) == [])
    try loop.run {
      loop.after(0.1) {}
      return view.draw(columns: 80, rows: 24).text(row: 2) == "debian login: [hi]" || loop.now > end
    }
    #expect(view.draw(columns: 80, rows: 24).text(row: 2) == "debian login: [hi]")
  }

  @Test("A log comes whole, and goes on if that is asked for")
  func log() throws {
    let far = try FarAppliance()
    let domain = try far.fixture.status("debian")
    try Files.replace(domain.log, with: Array("first\n".utf8))
    var text = ""
    try far.link().readLog(of: domain, follows: false) { text += String(decoding: $0, as: UTF8.self) }
    #expect(text == "first\n")

    let found = Mutex("")
    let isOver = Mutex(false)
    let socket = far.fixture.configuration.socket
    try Thread("writer") {
      let end = MonotonicClock.now() + 300_000_000_000
      while !found.withLock({ $0.contains("first") }), MonotonicClock.now() < end {
        MonotonicClock.sleep(milliseconds: 20)
      }
      try? FileDescriptor(opening: domain.log, [.writeOnly, .append]).writeAll(Array("second\n".utf8))
      while !found.withLock({ $0.contains("second") }), MonotonicClock.now() < end {
        MonotonicClock.sleep(milliseconds: 20)
      }
      // Nothing else ends it, and where nothing has come it may only begin now.
      while !isOver.withLock({ $0 }) {
        for pid in relays(of: "log debian --follow --socket \(socket)") {
          try? ChildProcess(pid: pid).signal(Signal.kill)
        }
        MonotonicClock.sleep(milliseconds: 100)
      }
    }.detach()
    defer { isOver.withLock { $0 = true } }
    try far.link().readLog(of: domain, follows: true) { bytes in
      found.withLock { $0 += String(decoding: bytes, as: UTF8.self) }
    }
    #expect(found.withLock { $0 } == "first\nsecond\n")
  }

  @Test("What is in the way is told apart")
  func failures() throws {
    let far = try FarAppliance()
    let words = [
      "shut": "does not let you in", "away": "cannot be reached by ssh: ssh: connect to host away port 22: No route",
      "doubtful": "ssh-keygen -R doubtful", "bare": "there is no roost at bare", "old": "of another time",
      "broken": "exit code 3) before a relay answered: out of luck",
    ]
    for (host, text) in words {
      let error = #expect(throws: ControlError.self) { try ControlClient(try far.link(host)) }
      #expect(error?.message.contains(text) == true, "\(host): \(error?.message ?? "")")
    }
    let nobody = #expect(throws: ControlError.self) { try ControlClient(try far.link(socket: "/nonexistent/socket")) }
    #expect(nobody?.code == .unreachable)
    #expect(nobody?.message.hasPrefix("lab: cannot reach the domain manager") == true, "\(nobody?.message ?? "")")
    let missing = ApplianceLink(
      host: try RemoteHost("lab"), socket: nil, SecureShellClient.Options(program: ["/nonexistent/ssh"]))
    let none = #expect(throws: ControlError.self) { try ControlClient(missing) }
    #expect(none?.message.contains("/nonexistent/ssh does not start here") == true, "\(none?.message ?? "")")
    // On a machine that is busy ssh's end may be known too late for its words.
    try eventually("what ssh said at its end is told") {
      let broken = #expect(throws: ControlError.self) {
        try ControlClient(try far.link("breaking")).hello(within: 120)
      }
      #expect(broken?.code == .disconnected, "\(broken?.message ?? "")")
      return broken?.message == "the connection to breaking broke: Connection to breaking closed by remote host"
    }
    let still = #expect(throws: ControlError.self) { try ControlClient(try far.link("still", patience: 0.3)) }
    // It was not waited for: its end would have other words.
    #expect(still?.message.hasPrefix("no connection to still: ") == true, "\(still?.message ?? "")")
  }

  @Test("A relay joins nothing but what the domain manager knows")
  func names() throws {
    let far = try FarAppliance()
    try far.fixture.client().perform(.destroy, on: "debian")
    try far.fixture.await(.off, of: "debian")
    var status = try far.fixture.status("debian")
    let off = #expect(throws: ControlError.self) {
      try ConsoleSession(status, by: try far.link(), input: 0, output: 1)
    }
    #expect(off?.code == .wrongState && off?.message.contains("is not running (it is off)") == true)
    status.name = "../../etc"
    let unknown = #expect(throws: ControlError.self) {
      try ConsoleSession(status, by: try far.link(), input: 0, output: 1)
    }
    #expect(unknown?.code == .unknownDomain)
    status.name = "debian"
    let screen = #expect(throws: ControlError.self) { try ScreenCapture(of: status, by: try far.link()) }
    #expect(screen?.code == .wrongState)
  }

  @Test("The program takes the host before its command, behind it and from its environment")
  func program() throws {
    let far = try FarAppliance()
    let socket = ["--socket", far.fixture.configuration.socket]
    for words in [
      ["--host", "root@lab"] + socket + ["list"], ["list", "--host", "root@lab"] + socket,
      ["--host=lab", "info", "debian", "--json"] + socket, ["disk", "list", "--host", "lab"] + socket,
      ["storage", "remotes", "--host", "lab"] + socket, ["--host", "lab", "stop", "debian"] + socket,
    ] {
      let count = far.calls.count
      let result = try far.run(words)
      // There is nothing behind the storage's program here.
      #expect(result.status == .exited(words.contains("disk") ? 1 : 0), "\(words): \(result)")
      #expect(far.calls.count == count + 1, "\(words): \(far.calls)")
    }
    #expect(try far.run(["list", "--host", "lab"] + socket).output.contains("debian"))
    // A relay without --socket is the appliance's own, which this machine is not.
    let away = try far.run(["list"], ["ROOST_HOST=root@away"])
    #expect(away.status == .exited(1) && away.errors.contains("root@away cannot be reached"), "\(away)")
    // A socket that is named without a host is one of this machine.
    let count = far.calls.count
    #expect(try far.run(["list"] + socket, ["ROOST_HOST=away"]).status == .exited(0) && far.calls.count == count)
    let odd = try far.run(["list"], ["ROOST_HOST=-x"])
    #expect(odd.status == .exited(1) && odd.errors.contains("ROOST_HOST"), "\(odd)")
  }

  @Test("Hosts that are none, and commands that are not for one, are wrong usage")
  func usage() throws {
    let far = try FarAppliance()
    for (words, text) in [
      (["list", "--host", "https://lab"], "docs/http-api.md"), (["list", "--host", "-x"], "--host"),
      (["--host", "lab", "build", "x.yaml", "-o", "x.iso"], "works on this machine"),
      (["--host", "lab", "doctor"], "works on this machine"), (["relay", "--host", "lab"], "a relay is for"),
      (["relay", "console"], "a domain's"), (["relay", "control", "x"], "a domain's"),
    ] {
      let result = try far.run(words)
      #expect(result.status == .exited(64) && result.errors.contains(text), "\(words): \(result)")
    }
    #expect(far.calls.isEmpty)
  }

  @Test("Files that a new domain is made of are the appliance's, from its root; a file of domains is read here")
  func files() throws {
    let far = try FarAppliance()
    let place = ["--host", "lab", "--socket", far.fixture.configuration.socket]
    let here = try far.run(["create", "--name", "new", "--memory", "64 MiB", "--image", "disk.img"] + place)
    #expect(here.status == .exited(1) && here.errors.contains("name the file as it is at lab"), "\(here)")
    let file = "\(far.fixture.directory)/lab.yaml"
    let domain = "name: new, os: New, memory: 64 MiB, boot: pvh, ready: {console: x}, source: {kernel: boot/kernel}"
    try Files.write("domains:\n  - {\(domain)}\n", to: file)
    let inside = try far.run(["create", file] + place)
    #expect(inside.status == .exited(1) && inside.errors.contains("boot/kernel: name the file as"), "\(inside)")
    try Files.write("domains:\n  - {nane: new}\n", to: file)
    let wrong = try far.run(["create", file] + place)
    #expect(wrong.status == .exited(2) && wrong.errors.contains("lab.yaml:2"), "\(wrong)")
    #expect(far.calls.isEmpty)
    let whole = try far.run(["create", "--name", "new", "--like", "debian", "--kernel", "/nonexistent/kernel"] + place)
    // What is not there is said by the appliance.
    #expect(whole.status == .exited(1) && far.calls.count == 1, "\(whole)")
  }

  @Test("Storage's own program is run over there, with all its words")
  func storage() throws {
    let far = try FarAppliance()
    let result = try far.run(["storage", "persist", "/dev/sda", "--wipe", "--host", "shut"])
    #expect(result.status == .exited(1) && result.errors.contains("Permission denied"), "\(result)")
    #expect(far.calls.last?.hasSuffix("shut /usr/sbin/roost-storage persist /dev/sda --wipe") == true, "\(far.calls)")
  }

  @Test("Names are completed by asking the appliance, quickly, and without a word when it does not answer")
  func completion() throws {
    let far = try FarAppliance(["debian", "other"])
    let socket = ["--socket", far.fixture.configuration.socket]
    func complete(_ words: [String]) throws -> ProgramEnd {
      let line = ["roost", "start"] + words
      return try far.run(["---completion", "start", "--", "positional@0", "\(line.count)", "0"] + line + [""])
    }
    // On a machine that is busy it may not be quick, and then says nothing.
    for words in [socket, socket + ["--host", "lab"]] {
      try eventually("names are completed") {
        try complete(words).output.split(separator: "\n") == ["debian", "other"]
      }
    }
    #expect(far.calls.last?.contains("BatchMode=yes") == true)
    for words in [["--host", "away"], ["--host", "-x"], ["--host", "shut"], ["--socket", "/nonexistent"]] {
      let none = try complete(words)
      #expect(none.output.allSatisfy(\.isWhitespace) && none.errors.isEmpty, "\(words): \(none)")
    }
    // One that never answers is given up.
    #expect(try complete(["--host", "still"]).output.allSatisfy(\.isWhitespace))
  }
}

/// Relays of this machine that were asked for this.
private func relays(of words: String) -> [Int32] {
  ((try? Files.list("/proc")) ?? []).compactMap(Int32.init).filter { pid in
    guard let text = try? Files.readText("/proc/\(pid)/cmdline") else { return false }
    return text.split(separator: "\0").joined(separator: " ").contains("relay \(words)")
  }
}
