import CAttack
import Platform
import Testing

@testable import Jail

/// What a jail takes, and programs that were built for these tests.
enum JailHost {
  /// The directory of the package: this file is two below it.
  private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  static func program(_ name: String) -> String { "\(root)/.build/debug/\(name)" }

  /// Whether a jail can be made; only root can.
  static let isRoot = ProcessEnvironment.isSuperuser
  static let reason: Comment = "skipped: only root can make a jail"

  /// Whether guests can run.
  static let hasKVM = (try? FileDescriptor(opening: "/dev/kvm", .readWrite).rawValue) != nil
  static let noKVM: Comment = "skipped: there is no usable /dev/kvm on this machine"

  /// The kernel's Landlock.
  static let landlock = (try? Isolation.landlockVersion()) ?? 0
}

/// A program that runs to its end.
struct Outcome {
  let status: Platform.ExitStatus
  let output: String
  let errors: String

  /// Runs `arguments`, in a namespace of process ids of its own where that is wanted.
  init(_ arguments: [String], newProcessNamespace: Bool) throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-jail-")
    defer { try? Files.removeTree(directory) }
    let silence = try FileDescriptor(opening: "/dev/null", .readOnly)
    let output = try FileDescriptor(opening: "\(directory)/out", [.readWrite, .create])
    let errors = try FileDescriptor(opening: "\(directory)/err", [.readWrite, .create, .append])
    var request = ChildRequest(arguments)
    request.descriptors = [silence.rawValue, output.rawValue, errors.rawValue]
    request.newProcessNamespace = newProcessNamespace
    status = try ChildProcess.start(request).wait()
    self.output = try Files.readText("\(directory)/out")
    self.errors = try Files.readText("\(directory)/err")
  }
}

/// What an attacker may want to reach, all of it outside of the jail.
final class Prey {
  let directory: String
  let process: ChildProcess
  let abstract: String
  private(set) var port: UInt16 = 0
  private let sockets: [DescriptorBox]

  init() throws {
    directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-prey-")
    abstract = "roost-prey-\(MonotonicClock.now())"
    process = try ChildProcess.start(ChildRequest(["/bin/sleep", "600"]))
    // SAFETY: the string and the variable live for the calls.
    let numbers = unsafe [target_listen_abstract(abstract), target_listen_tcp(&port)]
    try #require(numbers.allSatisfy { $0 >= 0 })
    sockets =
      [DescriptorBox(try UnixSocket.listen("\(directory)/socket"))]
      + numbers.map { DescriptorBox(FileDescriptor(adopting: $0)) }
    try Files.makeDirectories("\(directory)/mount")
  }

  deinit {
    try? process.signal(Signal.kill)
    _ = try? process.wait()
    try? Files.removeTree(directory)
  }

  func argument(_ target: Attack.Target) -> String {
    switch target {
    case .nothing: ""
    case .file: "/etc/passwd"
    case .proc: "/proc"
    case .socket: "\(directory)/socket"
    case .abstract: abstract
    case .port: "\(port)"
    case .process: "\(process.pid)"
    case .mount: "\(directory)/mount"
    }
  }
}

/// A way out that is tried.
struct Attack: CustomTestStringConvertible, Sendable {
  enum Target {
    case nothing, file, proc, socket, abstract, port, process, mount
  }

  let name: String
  let target: Target
  /// The call that the jail ends it for.
  let call: String
  /// Whether the other layers of the jail refuse it too.
  var hasSecondLayer = true
  /// The version of Landlock that refuses it as well, where one does.
  var landlock: Int32?

  var testDescription: String { name }

  static let all = [
    Attack(name: "open", target: .file, call: "openat", landlock: 1),
    Attack(name: "list", target: .proc, call: "openat", landlock: 1),
    Attack(name: "connect-path", target: .socket, call: "socket"),
    Attack(name: "connect-abstract", target: .abstract, call: "socket", landlock: 6),
    Attack(name: "connect-tcp", target: .port, call: "socket", landlock: 4),
    Attack(name: "trace", target: .process, call: "ptrace", landlock: 1),
    Attack(name: "kill", target: .process, call: "kill", landlock: 6),
    Attack(name: "fork", target: .nothing, call: "fork", hasSecondLayer: false),
    Attack(name: "execute", target: .nothing, call: "execve", landlock: 1),
    Attack(name: "executable-memory", target: .nothing, call: "mmap", hasSecondLayer: false),
    Attack(name: "executable-change", target: .nothing, call: "mprotect", hasSecondLayer: false),
    Attack(name: "mount", target: .mount, call: "mount", landlock: 1),
    Attack(name: "user-namespace", target: .nothing, call: "unshare", hasSecondLayer: false),
    Attack(name: "become-root", target: .nothing, call: "setresuid"),
    Attack(name: "set-clock", target: .nothing, call: "clock_settime"),
    Attack(name: "ring", target: .file, call: "io_uring_setup", landlock: 1),
  ]
}
