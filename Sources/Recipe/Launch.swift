/// How a root file system that is no distribution of Roost's making becomes a guest that runs.
public struct Launch: Sendable, Hashable {
  /// What is run.
  public enum Start: String, Sendable, Hashable, CaseIterable {
    /// `/sbin/init` where there is one, else the command.
    case automatic = "auto"
    /// `/sbin/init`.
    case system = "init"
    /// The command.
    case command
  }

  /// What happens when the command ends.
  public enum Restart: String, Sendable, Hashable, CaseIterable {
    /// The guest powers off.
    case never
    /// It is run again where it failed; otherwise the guest powers off.
    case onFailure = "on-failure"
    /// It is run again.
    case always
  }

  /// The Debian release whose kernel is entered.
  public var suite: String
  /// The host name.
  public var hostname: String
  /// Program and arguments, in the place of the image's own; empty for those.
  public var command: [String] = []
  /// Variables beside the image's own.
  public var environment: [String: String] = [:]
  /// What is run.
  public var start = Start.automatic
  /// What happens when the command ends.
  public var restart = Restart.never

  /// One that says no more than it must.
  public init(suite: String, hostname: String, command: [String] = []) {
    self.suite = suite
    self.hostname = hostname
    self.command = command
  }

  /// What decides the guest.
  public var words: [String] {
    [suite, hostname, start.rawValue, restart.rawValue, "\(command.count)"] + command
      + environment.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] }
  }

  /// What the console shows when it is started.
  public var readyText: String { "\(hostname) starts " }
}

extension Recipe {
  /// A root that is an OCI image.
  public struct ImageRoot: Sendable, Hashable {
    /// A layout: a folder, or a tar of one.
    public let image: FileReference
    /// The name of one image in it; nil where it has one only.
    public let reference: String?
    /// How it is run.
    public let launch: Launch

    /// One of these parts.
    public init(image: FileReference, reference: String?, launch: Launch) {
      (self.image, self.reference, self.launch) = (image, reference, launch)
    }
  }

  /// A root that is a folder in the recipe's own.
  public struct FolderRoot: Sendable, Hashable {
    /// As seen from the recipe's folder.
    public let path: String
    /// Whose everything in it is: `user` or `user:group`, names of its own or numbers.
    public let owner: String
    /// How it is run.
    public let launch: Launch

    /// One of these parts.
    public init(path: String, owner: String, launch: Launch) {
      (self.path, self.owner, self.launch) = (path, owner, launch)
    }
  }
}
