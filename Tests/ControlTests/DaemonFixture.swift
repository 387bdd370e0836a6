import Manifest
import Platform
import Synchronization
import Testing
@testable import Control

/// A real domain manager on a thread of its own, in a directory of its own, with a shell script in the monitor's place
/// and the test at the consoles' other end.
final class DaemonFixture {
  let directory: String
  private(set) var configuration = DaemonConfiguration()
  private var outcome = Outcome()
  private var thread: JoinOnce?

  /// What the daemon's thread tells the test.
  private final class Outcome: Sendable {
    let stopper = Mutex<Daemon.Stopper?>(nil)
    let failure = Mutex<String?>(nil)
    let isDone = Atomic(false)
    let log = Mutex<[String]>([])
  }

  /// A thread that is joined at most once.
  private final class JoinOnce {
    private var thread: Thread?

    init(_ thread: consuming Thread) {
      self.thread = consume thread
    }

    func join() {
      thread.take()?.join()
    }
  }

  init() throws {
    directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-daemon-")
    configuration.manifest = "\(directory)/manifest.json"
    configuration.storage = "\(directory)/storage.json"
    configuration.medium = "\(directory)/medium"
    configuration.runtimeDirectory = "\(directory)/run"
    configuration.logDirectory = "\(directory)/log"
    configuration.monitor = "\(directory)/monitor"
    configuration.storageProgram = "\(directory)/roost-storage"
    configuration.pool = "\(directory)/pool.json"
    configuration.remotes = "\(directory)/remotes.json"
    configuration.remotePause = 0.1...0.4
    configuration.storageInterval = 0.1
    // However busy the machine is, no test meets the deadline of a report.
    configuration.storagePatience = 3600
    configuration.kvm = "/dev/null"
    configuration.controlGroups = "\(directory)/cgroup"
    configuration.network = false
    configuration.jail = false
    configuration.port = false
    configuration.shutdownPatience = 2
    configuration.powerOffCommand = ["/bin/sh", "-c", "touch \(directory)/poweroff"]
    configuration.rebootCommand = ["/bin/false"]
    let script = """
      #!/bin/sh
      # In roost-vmm's place: --name NAME and the rest. It ends with what the test writes into NAME.exit.
      here='\(directory)'
      name="$2"
      if [ -e "$here/$name.stubborn" ]; then trap '' TERM; else trap 'exit 0' TERM; fi
      echo "$$ $*" >> "$here/$name.starts"
      while [ ! -s "$here/$name.exit" ]; do sleep 0.02; done
      read code words < "$here/$name.exit"
      rm "$here/$name.exit"
      printf 'starting\\r\\nroost-vmm: %s: %s\\r\\n' "$name" "$words" >&2
      exit "$code"

      """
    try Files.write(script, to: configuration.monitor)
    try Files.setPermissions(configuration.monitor, 0o755)
    let storage = """
      #!/bin/sh
      # In roost-storage's place: what the test wrote for the verb, see `whenAsked`.
      here='\(directory)'
      echo "$*" >> "$here/storage.calls"
      verb="$1"
      case "$1" in disk | domain) verb="$2" ;; esac
      [ -e "$here/$verb.sh" ] || { echo "roost-storage: unexpected: $*" >&2; exit 1; }
      . "$here/$verb.sh"

      """
    try Files.write(storage, to: configuration.storageProgram)
    try Files.setPermissions(configuration.storageProgram, 0o755)
  }

  deinit {
    stop()
    stop()
    thread?.join()
    for name in (try? Files.list(directory)) ?? [] where name.hasSuffix(".starts") {
      // A test that failed half-way leaves no process behind.
      for pid in starts(String(name.dropLast(7))).compactMap({ Int32($0.prefix { $0 != " " }) }) {
        if (try? Files.readText("/proc/\(pid)/cmdline"))?.contains(directory) == true {
          try? ChildProcess(pid: pid).signal(Signal.kill)
        }
      }
    }
    try? Files.removeTree(directory)
  }

  func configure(_ change: (inout DaemonConfiguration) -> Void) {
    change(&configuration)
  }

  func write(_ text: String, to name: String) throws {
    try Files.replace("\(directory)/\(name)", with: Array(text.utf8))
  }

  /// Starts the daemon with these domains and waits until it serves.
  func start(_ domains: [ApplianceManifest.Domain], balancer: Bool = false) throws {
    var manifest = Samples.manifest(domains)
    if balancer { manifest.balancer = true }
    try Files.write(try manifest.encoded(), to: "\(directory)/manifest.json")
    let configuration = self.configuration
    let outcome = self.outcome
    thread = JoinOnce(
      try Thread("daemon") {
        do throws(ControlError) {
          let daemon = try Daemon(configuration) { line in outcome.log.withLock { $0.append(line) } }
          outcome.stopper.withLock { $0 = daemon.stopHandle }
          try daemon.run()
        } catch {
          outcome.failure.withLock { $0 = error.message }
        }
        outcome.isDone.store(true, ordering: .releasing)
      })
    try eventually("the daemon serves") {
      outcome.failure.withLock { $0 } != nil || (try? ControlClient(path: configuration.socket)) != nil
    }
    try #require(outcome.failure.withLock { $0 } == nil)
  }

  func stop() {
    outcome.stopper.withLock { $0 }?.stop()
  }

  var isDone: Bool { outcome.isDone.load(ordering: .acquiring) }
  var log: [String] { outcome.log.withLock { $0 } }
  var failure: String? { outcome.failure.withLock { $0 } }

  func client() throws -> ControlClient {
    let client = try ControlClient(path: configuration.socket)
    client.timeout = 120
    return client
  }

  /// A line for each start of this domain's monitor: its pid and its arguments.
  func starts(_ domain: String) -> [String] {
    ((try? Files.readText("\(directory)/\(domain).starts")) ?? "").split(separator: "\n").map(String.init)
  }

  /// Ends the domain's monitor.
  func exit(_ domain: String, _ code: Int, saying words: String = "") throws {
    try write("\(code) \(words)\n", to: "\(domain).exit")
  }

  /// Opens the domain's console as its monitor would, and shows `text`.
  func show(_ text: String, on domain: String) throws {
    let path = DomainPaths(
      name: domain, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory
    ).console
    let listener = try UnixSocket.listen(path)
    let connection = try UnixSocket.accept(listener)
    try connection.writeAll(Array(text.utf8))
    // Its end before the daemon has read would not lose what was written: a stream socket delivers first.
  }

  func status(_ domain: String) throws -> DomainStatus {
    try #require(try client().list().domain(domain))
  }

  /// Waits for a domain's state.
  @discardableResult
  func await(_ state: DomainState, of domain: String) throws -> DomainStatus {
    var last: DomainStatus?
    try eventually("\(domain) is \(state)") {
      last = try? status(domain)
      return last?.state == state
    }
    return try #require(last)
  }
}

/// Waits until `condition` holds, up to 300 s: the machine that runs this may be busy.
func eventually(
  _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
) throws {
  let end = MonotonicClock.now() + 300_000_000_000
  while try !condition() {
    guard MonotonicClock.now() < end else {
      Issue.record("not within 300 s: \(what)", sourceLocation: sourceLocation)
      throw ControlError(.timedOut, what)
    }
    MonotonicClock.sleep(milliseconds: 20)
  }
}
