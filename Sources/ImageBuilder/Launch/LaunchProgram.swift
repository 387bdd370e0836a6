internal import FoundationEssentials
internal import Platform
internal import Recipe

/// What a root that is an image or a folder runs, as the tree and the recipe say it together.
struct LaunchProgram: Codable, Sendable, Hashable {
  /// Its own init, and nothing else below.
  var isSystem = false
  /// The program, and its arguments.
  var words: [String] = []
  /// Lines `NAME=value`, sorted.
  var environment: [String] = []
  /// Where it begins, links followed, without a leading slash.
  var directory = ""
  /// Where the root has its /etc/resolv.conf, links followed, without a leading slash; nil where it can have none.
  var resolver: String?
  /// User id.
  var user: UInt32 = 0
  /// Group id.
  var group: UInt32 = 0

  static let file = "program.json"

  /// Bytes that the words and the variables may have together.
  private static let limit = 128 << 10
  private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  /// A command of these parts.
  init(words: [String], environment: [String], directory: String, user: UInt32, group: UInt32) {
    (self.words, self.environment, self.directory) = (words, environment, directory)
    (self.user, self.group) = (user, group)
  }

  /// Works it out. `name` is what messages call the root.
  init(
    _ image: OCIConfig.Execution?, _ launch: Launch, _ index: TreeIndex, called name: String
  ) throws(BuildError) {
    let own = (image?.entrypoint ?? []) + (image?.command ?? [])
    words = launch.command.isEmpty ? own : launch.command
    if launch.start != .command, launch.command.isEmpty {
      isSystem = index.hasFile(Self.initPath)
      // A busybox has an init under that name whether it is a system's or not.
      if isSystem, launch.start == .automatic, !own.isEmpty {
        isSystem = index.place(of: Self.initPath, followingLast: true)?.split(separator: "/").last != "busybox"
      }
      guard isSystem || launch.start != .system else {
        throw BuildError(
          .badFile, "\(name) has no /\(Self.initPath)", hint: "leave 'start' out, or say a 'command' in the recipe")
      }
    }
    if isSystem {
      words = []
      return
    }
    guard let program = words.first, !program.isEmpty else {
      throw BuildError(
        .badFile, "\(name) has neither /\(Self.initPath) nor a command to run",
        hint: "say one in the recipe, as in 'command: [/bin/app]'")
    }
    guard !program.hasPrefix("/") || index.hasFile(program) else {
      throw BuildError(
        .badFile, "\(name) has no program \(EscapedText.make(program))",
        hint: "say another 'command' in the recipe, or bring the program into the root")
    }
    resolver = LaunchDisk.place(of: LaunchDisk.resolver, in: index)
    let home = try setUser(image?.user ?? "", Accounts(index), called: name)
    var variables = ["HOME": home, "HOSTNAME": launch.hostname, "PATH": Self.path, "TERM": "vt220"]
    for line in image?.environment ?? [] {
      let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2, !parts[0].isEmpty { variables[String(parts[0])] = String(parts[1]) }
    }
    variables.merge(launch.environment) { $1 }
    environment = variables.map { "\($0.key)=\($0.value)" }.sorted()
    try setDirectory(image?.directory ?? "", index, called: name)
    let texts = words + environment
    guard texts.reduce(0, { $0 + $1.utf8.count + 1 }) <= Self.limit, !texts.contains(where: { $0.contains("\0") })
    else {
      throw BuildError(.badFile, "\(name) has a command or an environment that no system takes")
    }
  }

  private static let initPath = "sbin/init"

  /// `user`, `user:group`, names or numbers (config.md, "User"); the home is returned.
  private mutating func setUser(
    _ text: String, _ accounts: Accounts, called name: String
  ) throws(BuildError) -> String {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let wanted = parts.first.flatMap { $0.isEmpty ? nil : $0 } ?? "0"
    let account = accounts.user(wanted)
    guard let number = account?.id ?? UInt32(wanted) ?? (wanted == "root" ? 0 : nil) else {
      throw BuildError(
        .badFile, "\(name) is to run as the user '\(EscapedText.make(wanted))', whom its /etc/passwd does not have")
    }
    (user, group) = (number, account?.group ?? 0)
    if parts.count == 2, !parts[1].isEmpty {
      guard let number = accounts.group(parts[1]) ?? UInt32(parts[1]) ?? (parts[1] == "root" ? 0 : nil) else {
        throw BuildError(
          .badFile, "\(name) is to run in the group '\(EscapedText.make(parts[1]))', which its /etc/group does not have"
        )
      }
      group = number
    }
    if let home = account?.home, !home.isEmpty { return "/\(home)" }
    return number == 0 ? "/root" : "/"
  }

  private mutating func setDirectory(
    _ path: String, _ index: TreeIndex, called name: String
  ) throws(BuildError) {
    guard let place = index.place(of: path, followingLast: true), !index.isBelowFile(place), !path.contains("\0") else {
      throw BuildError(.badFile, "\(name) is to begin in \(EscapedText.make(path)), which is no folder")
    }
    directory = place
  }

  /// Reads what `encoded` wrote.
  init(file: String) throws(BuildError) {
    let bytes = try attempt("cannot read what a guest runs") { () throws(SystemError) in try Files.read(file) }
    do {
      self = try JSONDecoder().decode(LaunchProgram.self, from: Data(bytes))
    } catch {
      throw BuildError(.content, "\(file) does not say what is run", hint: "remove the cache's 'results' directory")
    }
  }

  func encoded() throws(BuildError) -> [UInt8] { try StableJSON.encode(self) }

  /// Reads a root's tar, and writes beside it what it runs.
  static func write(
    of tar: String, _ image: OCIConfig.Execution?, _ launch: Launch, called name: String,
    _ context: borrowing StepContext
  ) throws(BuildError) {
    let index = try TreeIndex(tar, cancellation: context.cancellation, keeping: Accounts.paths.contains)
    let bytes = try LaunchProgram(image, launch, index, called: name).encoded()
    let path = "\(context.output)/\(file)"
    try attempt("cannot write \(file)") { () throws(SystemError) in try Files.write(bytes, to: path) }
  }
}

extension TreeIndex {
  /// Whether a place, or one above it, is something else than a folder.
  func isBelowFile(_ place: String) -> Bool {
    var above = ""
    for part in TreePath.parts(place) {
      above += (above.isEmpty ? "" : "/") + part
      if let kind = entries[above]?.kind, kind != .directory { return true }
    }
    return false
  }
}
