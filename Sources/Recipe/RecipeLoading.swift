internal import Manifest
internal import YAML

extension Recipe {
  /// Reads and validates the recipe in a file, and those that it includes. `variables` come before those of the recipe.
  ///
  /// Throws `RecipeError.unreadable`, or `.invalid` with all that is wrong, sorted by line.
  public static func load(_ path: String, variables: [String: String] = [:]) throws(RecipeError) -> Recipe {
    try parse(
      try YAMLText.load(path, what: "recipe"), file: path, directory: FilePath.folder(of: path), variables: variables)
  }

  /// Reads a file with nothing but `domains:` as a recipe has it: what `roost create` takes. Relative paths in it start at
  /// the folder that is returned.
  public static func loadDomains(_ path: String) throws(RecipeError) -> (domains: [Domain], directory: String) {
    let yaml = YAMLText(
      text: try YAMLText.load(path, what: "file of domains"), file: path, what: "file of domains",
      example: "roost create --help")
    let directory = FilePath.folder(of: path)
    let domains = try yaml.decode { (root, reader) throws(RecipeError) in
      var decoder = RecipeDecoder(reader: reader, directory: directory)
      return try decoder.decodeDomains(root)
    }
    return (domains, directory)
  }

  /// Validates a recipe's text. `file` is for messages; relative paths in the recipe start at `directory`.
  public static func parse(
    _ text: String, file: String, directory: String = ".", variables: [String: String] = [:]
  ) throws(RecipeError) -> Recipe {
    var reader = NodeReader()
    let yaml = YAMLText(text: text, file: file, what: "recipe", example: "recipes/quickstart.yaml")
    var includes = Includes()
    var root = try includes.root(yaml, directory: directory, &reader)
    let values = Variables(root, overrides: variables, file: file, &reader)
    root = values.replaced(in: root, &reader)
    guard reader.diagnostics.isEmpty else { throw .invalid(reader.diagnostics.sorted()) }
    var decoder = RecipeDecoder(reader: reader, directory: directory, variables: values)
    return try decoder.decode(root)
  }
}

/// Paths as text.
enum FilePath {
  /// The folder that a file is in; `.` for a bare name.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// `path` as it is meant in `folder`, where empty and `.` stand for the working directory.
  static func join(_ folder: String, _ path: String) -> String {
    if path.hasPrefix("/") || folder.isEmpty || folder == "." { return path }
    if path == "." { return folder }
    return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
  }
}
