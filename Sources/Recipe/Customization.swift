/// What a recipe decides of a Debian system beside its packages.
public struct Customization: Sendable, Hashable {
  /// Files, in the order of their paths.
  public var files: [PlacedFile] = []
  /// Users that are there beside those of the packages, and what is said of these, in the order of the recipe.
  public var users: [User] = []
  /// systemd's units that are started with the system though their packages do not say so; sorted.
  public var enabledServices: [String] = []
  /// Units that are not though their packages say so; sorted.
  public var disabledServices: [String] = []
  /// Shell commands that are run when the system starts for the first time, in order.
  public var firstBoot: [String] = []
  /// Shell commands that are run whenever the system starts, in order.
  public var startCommands: [String] = []
  /// The kernel's settings by their names (sysctl(8)).
  public var kernelSettings: [String: String] = [:]

  /// A system as its packages make it.
  public init() {}

  /// One file.
  public struct PlacedFile: Sendable, Hashable {
    /// What is in it.
    public enum Content: Sendable, Hashable {
      case text(String)
      /// A file of the user's; a relative path starts at `Recipe.directory`.
      case file(String)
    }

    /// Where it goes, absolute.
    public let path: String
    /// What is in it.
    public let content: Content
    /// Permission bits, 12 bits.
    public let permissions: UInt32
    /// The name or number of a user.
    public let owner: String
    /// The name or number of a group; nil for the owner's own.
    public let group: String?
  }

  /// One user.
  public struct User: Sendable, Hashable {
    /// Its name; where a package makes one of that name, it is that one.
    public let name: String
    /// Lines of authorized_keys.
    public let sshKeys: [String]
    /// The hash of a password (crypt(5)), or `*` for none; nil leaves it as it is, which for a new user is none.
    public let passwordHash: String?
    /// Groups beside its own.
    public let groups: [String]
    /// The program that it logs into; nil for bash, or what it has.
    public let shell: String?
    /// Whether sudo lets it do everything, without a password.
    public let mayDoAll: Bool
  }

  /// Whether nothing is said.
  public var isEmpty: Bool { self == Customization() }
}

extension Customization: CustomStringConvertible {
  /// Everything that decides the result but contents of files, in a line for each.
  public var description: String { words.map { "\($0.utf8.count):\($0)\n" }.joined() }

  /// The same in pieces.
  var words: [String] {
    var words: [String] = []
    for file in files {
      words += ["file", file.path, String(file.permissions, radix: 8), file.owner, file.group ?? ""]
      switch file.content {
      case .text(let text): words += ["text", text]
      case .file(let path): words += ["from", path]
      }
    }
    for user in users {
      words += ["user", user.name, user.passwordHash ?? "", user.shell ?? "", "\(user.mayDoAll)"]
      words += ["\(user.sshKeys.count)"] + user.sshKeys + ["\(user.groups.count)"] + user.groups
    }
    words += enabledServices.flatMap { ["enable", $0] } + disabledServices.flatMap { ["disable", $0] }
    words += firstBoot.flatMap { ["first-boot", $0] }
    words += startCommands.flatMap { ["at-start", $0] }
    words += kernelSettings.sorted { $0.key < $1.key }.flatMap { ["sysctl", $0.key, $0.value] }
    return words
  }
}
