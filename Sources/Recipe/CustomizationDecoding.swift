internal import Identity
internal import Manifest
internal import Platform
internal import YAML

/// What is said of a Debian system, the control domain's or a guest's.
extension RecipeDecoder {
  mutating func customization(_ system: NodeReader.Fields, packages: [String]) -> Customization {
    var result = Customization()
    result.files = files(system)
    result.users = users(system, packages: packages)
    if let node = system.values["services"]?.value,
      let fields = reader.fields(node, .services, called: "'services' in \(system.what)")
    {
      result.enabledServices = services(fields, "enable")
      result.disabledServices = services(fields, "disable")
      for name in result.enabledServices where result.disabledServices.contains(name) {
        reader.report(fields.mark(of: "disable"), "'\(name)' is enabled and disabled; leave one out")
      }
    }
    result.firstBoot = commands(system, "first-boot")
    result.startCommands = commands(system, "at-start")
    result.kernelSettings = kernelSettings(system)
    return result
  }

  /// What is said of guests and has no meaning in the control domain.
  static let controlDomainAdvice = [
    "services": "it has Roost's own init and no systemd, and starts what Roost needs, and openssh-server",
    "first-boot": "its system is the same at each start, so none is the first; 'at-start' has commands for each",
  ]

  /// The other way round.
  static let guestAdvice = [
    "at-start":
      "a guest keeps what was done at its first start: 'first-boot' has commands for that, or 'services' for each"
  ]

  /// The entries of a list, each as `read` has it; an entry is nil where it is wrong.
  mutating func entries<Value>(
    _ fields: NodeReader.Fields, _ key: String, example: String, limit: Int,
    _ read: (inout Self, Node) -> Value?
  ) -> [Value] {
    guard let node = fields.values[key]?.value else { return [] }
    guard case .sequence(let sequence) = node else {
      reader.report(
        node.mark, "'\(key)' in \(fields.what) must be a list, such as \(example), not \(NodeReader.describe(node))")
      return []
    }
    guard sequence.count <= limit else {
      reader.report(node.mark, "'\(key)' in \(fields.what) has \(sequence.count) entries; \(limit) are the most")
      return []
    }
    return sequence.compactMap { read(&self, $0) }
  }

  /// The entries of a list of words, each once and after `check`.
  private mutating func words(
    _ fields: NodeReader.Fields, _ key: String, example: String, _ check: @escaping (String) -> String?
  ) -> [String] {
    var words: [String] = []
    for word in entries(
      fields, key, example: example, limit: Limits.customEntries,
      { decoder, node -> (String, Mark?)? in
        guard let text = decoder.reader.scalar(node, "an entry of '\(key)' in \(fields.what)") else { return nil }
        guard let problem = check(text) else { return (text, node.mark) }
        decoder.reader.report(node.mark, "'\(key)' in \(fields.what): '\(NodeReader.shown(text))' \(problem)")
        return nil
      })
    {
      if words.contains(word.0) {
        reader.report(word.1, "'\(key)' in \(fields.what) has '\(NodeReader.shown(word.0))' twice")
      } else {
        words.append(word.0)
      }
    }
    return words
  }

  private mutating func services(_ fields: NodeReader.Fields, _ key: String) -> [String] {
    let names = words(fields, key, example: "[nginx]", SystemNames.unitProblem).map { name in
      SystemNames.units.contains { name.hasSuffix(".\($0)") } ? name : "\(name).service"
    }
    return Set(names).sorted()
  }

  private mutating func commands(_ system: NodeReader.Fields, _ key: String) -> [String] {
    entries(system, key, example: "[\"modprobe zram\"]", limit: Limits.customEntries) { decoder, node in
      decoder.reader.longText(node, "an entry of '\(key)' in \(system.what)")
    }
  }

  private mutating func kernelSettings(_ system: NodeReader.Fields) -> [String: String] {
    texts(system, "sysctl", example: "{net.ipv4.ip_forward: 1}", SystemNames.settingProblem)
  }

  /// Texts by names of the recipe's own, after `check` of each name.
  mutating func texts(
    _ owner: NodeReader.Fields, _ key: String, example: String, _ check: (String) -> String?
  ) -> [String: String] {
    guard let node = owner.values[key]?.value else { return [:] }
    guard case .mapping(let mapping) = node else {
      reader.report(
        node.mark,
        "'\(key)' in \(owner.what) must have settings as its keys, as in \(example), not "
          + NodeReader.describe(node))
      return [:]
    }
    guard mapping.count <= Limits.customEntries else {
      reader.report(node.mark, "'\(key)' has \(mapping.count) entries; \(Limits.customEntries) are the most")
      return [:]
    }
    let names = mapping.compactMap { key, _ in key.scalar?.string }
    guard let fields = reader.fields(node, "'\(key)'", keys: names) else { return [:] }
    var settings: [String: String] = [:]
    for (name, field) in fields.values {
      if let problem = check(name) {
        reader.report(field.keyMark, "'\(NodeReader.shown(name))' \(problem)")
      }
      settings[name] = reader.scalar(field.value, "'\(name)' in '\(key)'")
    }
    return settings
  }
}

/// Users.
extension RecipeDecoder {
  private static let passwordAdvice =
    "write 'password-hash', which 'mkpasswd' (of the package whois) or 'openssl passwd -6' makes of a password"

  private mutating func users(_ system: NodeReader.Fields, packages: [String]) -> [Customization.User] {
    var names: Set<String> = []
    return entries(
      system, "users", example: "[{name: ada, ssh-keys: [ssh-ed25519 AAAA… ada]}]", limit: Limits.customEntries
    ) { decoder, node in
      guard let user = decoder.user(node, packages: packages) else { return nil }
      guard names.insert(user.name).inserted else {
        decoder.reader.report(node.mark, "two users are named '\(user.name)'")
        return nil
      }
      return user
    }
  }

  private mutating func user(_ node: Node, packages: [String]) -> Customization.User? {
    let advice = [
      "password": "a password in a recipe can be read by whoever has it; \(Self.passwordAdvice)",
      "passwd": "a password in a recipe can be read by whoever has it; \(Self.passwordAdvice)",
    ]
    guard let fields = reader.fields(node, .user, advice: advice) else { return nil }
    let name = reader.checked(fields, "name", required: true, SystemNames.userProblem)
    let sshKeys = words(fields, "ssh-keys", example: "[ssh-ed25519 AAAA… ada]") { PublicKey.problem($0) }
    var hash = reader.text(fields, "password-hash")
    if let text = hash, !SystemNames.isPasswordHash(text) {
      // What is no hash may be a password, and is not shown.
      reader.report(
        fields.mark(of: "password-hash"),
        "'password-hash' in a user is no hash that a system takes; \(Self.passwordAdvice)")
      hash = nil
    }
    let groups = words(fields, "groups", example: "[adm]", SystemNames.accountProblem)
    let shell = reader.checked(fields, "shell", SystemNames.pathProblem)
    let mayDoAll = reader.flag(fields, "sudo", default: false)
    if mayDoAll, !packages.contains("sudo") {
      reader.report(fields.mark(of: "sudo"), "'sudo' in a user takes the package of that name; add it to 'packages'")
    }
    return name.map {
      .init(name: $0, sshKeys: sshKeys, passwordHash: hash, groups: groups, shell: shell, mayDoAll: mayDoAll)
    }
  }
}

/// Files.
extension RecipeDecoder {
  private mutating func files(_ system: NodeReader.Fields) -> [Customization.PlacedFile] {
    var places: [String: Mark?] = [:]
    let files = entries(system, "files", example: "[{path: /etc/motd, text: Hello}]", limit: Limits.customFiles) {
      decoder, node -> Customization.PlacedFile? in
      guard let file = decoder.file(node) else { return nil }
      if places.updateValue(node.mark, forKey: file.path) != nil {
        decoder.reader.report(node.mark, "'files' in \(system.what) has \(file.path) twice")
        return nil
      }
      return file
    }
    for file in files {
      guard let above = files.first(where: { file.path.hasPrefix($0.path + "/") }) else { continue }
      reader.report(places[file.path] ?? nil, "\(above.path) is a file, so that \(file.path) cannot be in it")
    }
    return files.sorted { $0.path < $1.path }
  }

  private mutating func file(_ node: Node) -> Customization.PlacedFile? {
    let contents = ["text", "from", "template"]
    guard let fields = reader.fields(node, .placedFile) else { return nil }
    let path = reader.checked(fields, "path", required: true, SystemNames.targetProblem)
    let permissions = reader.checked(fields, "mode") { text in
      (3...4).contains(text.utf8.count) && text.utf8.allSatisfy { (48...55).contains($0) }
        ? nil : "must be permissions as chmod has them, such as 0644"
    }
    let owner = reader.checked(fields, "owner", SystemNames.ownerProblem)?.split(separator: ":").map(String.init)
    let given = contents.filter(fields.has)
    guard given.count == 1, let kind = given.first else {
      reader.report(fields.mark, "a file must have exactly one of the keys 'text', 'from' and 'template'")
      return nil
    }
    let content: Customization.PlacedFile.Content? =
      switch kind {
      case "text": fields.values["text"].flatMap { reader.longText($0.value, "'text' in a file") }.map { .text($0) }
      case "from": hostFile(fields, "from").map { .file($0.path) }
      default: template(fields).map { .text($0) }
      }
    guard let path, let content else { return nil }
    return .init(
      path: path, content: content, permissions: permissions.flatMap { UInt32($0, radix: 8) } ?? 0o644,
      owner: owner?.first ?? "root", group: owner.map { $0.count > 1 ? $0[1] : nil } ?? nil)
  }

  /// The key's value as a file in the folder of the recipe that says it, or below: a recipe from elsewhere must not take
  /// what it likes of this machine into an image. The path is as seen from the recipe's folder, and as it can be opened.
  mutating func hostFile(
    _ fields: NodeReader.Fields, _ key: String, isFolder: Bool = false
  ) -> (path: String, opened: String)? {
    let mark = fields.mark(of: key)
    guard let text = reader.checked(fields, key, Self.hostPathProblem) else { return nil }
    let folder = FilePath.join(directory, reader.lines.folder(of: mark).isEmpty ? "." : reader.lines.folder(of: mark))
    let opened = FilePath.join(folder, text)
    func refuse(_ reason: String) -> (path: String, opened: String)? {
      reader.report(mark, "'\(key)' in \(fields.what): '\(NodeReader.shown(text))' \(reason)")
      return nil
    }
    do throws(SystemError) {
      guard let status = try Files.status(opened, followingLinks: true) else { return refuse("is not there") }
      if isFolder {
        guard status.kind == .directory else { return refuse("is no folder") }
      } else if status.kind != .regular {
        return refuse(status.kind == .directory ? "is a folder; name its files" : "is no file but a device or the like")
      }
      let root = try Files.resolve(folder)
      guard try Files.resolve(opened).hasPrefix(root == "/" ? root : root + "/") else {
        return refuse("leads out of the recipe's folder; put a copy there")
      }
      guard isFolder || status.size <= Limits.customFileSize else {
        return refuse("is larger than \(Limits.customFileSize >> 20) MiB; give the guest a disk with it instead")
      }
    } catch {
      return refuse("cannot be read: \(error.errno)")
    }
    return (FilePath.join(reader.lines.folder(of: mark), text), opened)
  }

  private static func hostPathProblem(_ path: String) -> String? {
    if path.hasPrefix("/") { return "is an absolute path; a recipe's files are in its own folder" }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return parts.contains("..") || parts.contains("") ? "is no file's path in the recipe's folder" : nil
  }

  /// How many mistakes of one template are told.
  private static let templateProblems = 100

  /// A file's text with the recipe's variables in it.
  private mutating func template(_ fields: NodeReader.Fields) -> String? {
    guard let file = hostFile(fields, "template") else { return nil }
    let text: String
    do throws(RecipeError) {
      text = try YAMLText.load(file.opened, what: "template")
    } catch {
      guard case .unreadable(_, let reason) = error else { return nil }
      reader.report(fields.mark(of: "template"), "'template' in a file: \(file.path) cannot be read: \(reason)")
      return nil
    }
    guard text.utf8.count <= Limits.fileSize else {
      reader.report(fields.mark(of: "template"), "'template' in a file: \(file.path) is larger than 1 MiB")
      return nil
    }
    // In the order of their offsets.
    var problems: [(String, Int)] = []
    var more = 0
    let result = variables.replaced(inText: text) { problem, offset in
      if problems.count <= Self.templateProblems { problems.append((problem, offset)) } else { more += 1 }
    }
    if more > 0, let last = problems.popLast() {
      problems.append(("\(more + 1) more mistakes are in this file", last.1))
    }
    let bytes = Array(text.utf8)
    var (start, line, column) = (0, 1, 1)
    for (problem, offset) in problems {
      for byte in bytes[start..<offset] {
        if byte == 10 {
          line += 1
          column = 1
        } else if byte & 0xC0 != 0x80 {
          column += 1
        }
      }
      start = offset
      reader.report(Diagnostic(file: file.opened, line: line, column: column, message: problem))
    }
    return problems.isEmpty ? result : nil
  }
}

extension Shape.Key {
  /// What may be said of a Debian system, the control domain's or a guest's.
  static let system: [Shape.Key] = [
    .init("packages", .list(.pattern("[a-z0-9][a-z0-9+.-]+")), "Debian packages beside those that Roost needs."),
    .init("files", .list(.group(.placedFile)), "Files that are added or replaced."),
    .init("users", .list(.group(.user)), "Users that are added, and what is said of those of the packages."),
    .init("sysctl", .named(.text), "Settings of the kernel's, as in net.ipv4.ip_forward: 1."),
  ]

  /// What may be said of a guest's beside that.
  static let guest: [Shape.Key] = [
    .init("services", .group(.services), "Units of systemd's that are switched on and off."),
    .init("first-boot", .list(.text), "Shell commands for the first start, each done once."),
  ]
}

extension Shape {
  fileprivate static let services = Shape(
    "services", "the services",
    [
      Key("enable", .list(.text), "Units that start with the system; .service may be left out."),
      Key("disable", .list(.text), "Units that do not, whatever their packages say."),
    ])

  fileprivate static let user = Shape(
    "user", "a user", required: ["name"],
    [
      Key("name", .pattern("[a-z_][a-z0-9_-]{0,31}"), "The name; a user of that name is changed, or else made."),
      Key("ssh-keys", .list(.pattern("[a-z].* .*")), "Public keys, each a line of a .pub file."),
      Key(
        "password-hash", .pattern("\\*|\\$[a-z0-9]+\\$.+"),
        "What 'mkpasswd' or 'openssl passwd -6' makes; '*' for none."),
      Key("groups", .list(.pattern("[A-Za-z_][A-Za-z0-9_-]{0,31}")), "Groups beside the user's own."),
      Key("shell", .pattern("/.+"), "The program that the user logs into; /bin/bash if left out."),
      Key("sudo", .flag, "Whether sudo lets the user do everything without a password; needs that package."),
    ])

  fileprivate static let placedFile = Shape(
    "placed-file", "a file", required: ["path"],
    [
      Key("path", .pattern("/.+"), "Where it goes, as in /etc/motd."),
      Key("text", .text, "What is in it."),
      Key("from", .text, "The file that it is a copy of, in the recipe's folder."),
      Key("template", .text, "The same with the recipe's variables in it."),
      Key("mode", .digits("[0-7]{3,4}"), "Its permissions; 0644 if left out."),
      Key("owner", .text, "Its user, or user:group; root if left out."),
    ])
}
