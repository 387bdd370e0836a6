extension ImageDifference {
  /// The difference in words, line by line; empty for images that are the same. Nothing in it steers a terminal.
  public var lines: [String] {
    var lines: [String] = []
    func section(_ title: String, _ content: [String]) {
      guard !content.isEmpty else { return }
      if !lines.isEmpty { lines.append("") }
      lines += [title] + content.map { "  \($0)" }
    }
    section("Versions", versions.map(Self.words))
    section("Recipe", recipe.map(Self.words))
    section(
      "Domains",
      addedDomains.map { "\($0) was added" } + removedDomains.map { "\($0) was removed" }
        + changedDomains.sorted { $0.key < $1.key }.flatMap { name, changes in
          changes.map { "\(name): \(Self.words($0))" }
        })
    for root in packages { section("Packages of \(root.root)", root.packages.map(Self.words)) }
    section("Boot", boot.map(Self.words))
    section("Files", files.map(Self.words))
    if let sizes, let old = sizes.old.flatMap({ Int($0) }), let new = sizes.new.flatMap({ Int($0) }) {
      section("Size", ["\(ImageReport.size(old)) became \(ImageReport.size(new)), \(Self.growth(old, new))"])
    }
    if differsOutsideFiles { section("Other bytes", ["boot code, or what no file has, differs"]) }
    return lines.map { EscapedText.make($0) }
  }

  private static func words(_ change: Change) -> String {
    let path = change.what.split(separator: ".").map(String.init)
    let isSize = path.last?.hasSuffix("ytes") == true
    func value(_ text: String) -> String {
      if isSize, let bytes = Int(text) { return ImageReport.size(bytes) }
      return text.isEmpty || text.contains(" ") ? "'\(text)'" : text
    }
    let name = path.map(Self.name).filter { !$0.isEmpty }.joined(separator: ", ")
    switch (change.old, change.new) {
    case (let old?, let new?): return "\(name): \(value(old)) became \(value(new))"
    case (nil, let new?): return "\(name): \(value(new)), which was not there"
    case (let old?, nil): return "\(name): \(value(old)) is not there any more"
    case (nil, nil): return name
    }
  }

  /// `commandLine` as `command line`, `memoryBytes` as `memory`.
  private static func name(_ key: String) -> String {
    var key = key
    for unit in ["Bytes", "bytes"] where key.hasSuffix(unit) {
      key.removeLast(unit.count)
      if key.isEmpty { return "size" }
    }
    return key.reduce(into: "") { text, character in
      text +=
        character.isUppercase && !text.isEmpty && text.last?.isLowercase == true
        ? " \(character.lowercased())" : String(character)
    }
  }

  private static func words(_ change: PackageChange) -> String {
    switch (change.old, change.new) {
    case (let old?, let new?): "\(change.name): \(change.kind.rawValue) from \(old) to \(new)"
    case (let old, let new): "\(change.name): \(change.kind.rawValue), \(old ?? new ?? "")"
    }
  }

  private static func words(_ change: FileChange) -> String {
    switch (change.old, change.new) {
    case (let old?, let new?):
      return old.bytes == new.bytes
        ? "\(change.path): \(ImageReport.size(new.bytes)) of other content"
        : "\(change.path): \(ImageReport.size(old.bytes)) became \(ImageReport.size(new.bytes)), "
          + growth(old.bytes, new.bytes)
    case (nil, let new?): return "\(change.path): added, \(ImageReport.size(new.bytes))"
    case (let old?, nil): return "\(change.path): removed, \(ImageReport.size(old.bytes))"
    case (nil, nil): return change.path
    }
  }

  private static func growth(_ old: Int, _ new: Int) -> String {
    new > old ? "\(ImageReport.size(new - old)) more" : "\(ImageReport.size(old - new)) less"
  }
}
