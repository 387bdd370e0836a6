internal import FoundationEssentials

/// A command line's description, as swift-argument-parser prints it with `--experimental-dump-help` (its
/// `ArgumentParserToolInfo`, serialization version 0): what of it manual pages are made of.
struct CommandDescription: Decodable {
  /// One way to write an option.
  struct Name: Decodable {
    var kind: String
    var name: String

    /// As it is typed.
    var text: String { kind == "long" ? "--\(name)" : "-\(name)" }
  }

  /// An argument, an option or a flag.
  struct Argument: Decodable {
    var kind: String
    var shouldDisplay: Bool
    var isOptional: Bool
    var isRepeating: Bool
    var names: [Name]?
    var valueName: String?
    var defaultValue: String?
    var abstract: String?

    var isPositional: Bool { kind == "positional" }
    var isFlag: Bool { kind == "flag" }
    var value: String { valueName ?? "value" }
  }

  var commandName: String
  var superCommands: [String]?
  var abstract: String?
  var discussion: String?
  var aliases: [String]?
  var shouldDisplay: Bool
  var subcommands: [CommandDescription]?
  var arguments: [Argument]?

  /// The words that call it.
  var words: [String] { (superCommands ?? []) + [commandName] }

  /// What people see of its arguments.
  var visibleArguments: [Argument] { (arguments ?? []).filter(\.shouldDisplay) }

  /// What people see of its commands; `help` is no command of its own.
  var visibleCommands: [CommandDescription] {
    (subcommands ?? []).filter { $0.shouldDisplay && $0.commandName != "help" }
  }
}

/// What the tool prints.
struct ToolDescription: Decodable {
  var serializationVersion: Int
  var command: CommandDescription
}

/// Why there are no manual pages.
public struct ManualError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong with the description.
  public let description: String

  /// With what is wrong.
  public init(description: String) {
    self.description = description
  }
}

extension ToolDescription {
  init(json: String) throws(ManualError) {
    do {
      self = try JSONDecoder().decode(ToolDescription.self, from: Data(json.utf8))
    } catch {
      throw ManualError(description: "the description of the commands cannot be understood: \(error)")
    }
    guard serializationVersion == 0 else {
      throw ManualError(description: "the description of the commands is of version \(serializationVersion), not 0")
    }
  }
}
