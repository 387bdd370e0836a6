internal import Platform
internal import Recipe

/// What switching services on and off does to a guest's tree: the links in `/etc` that systemctl makes and removes, found
/// out once for the units that are there, whatever else the guest has.
struct ServiceLinks: Sendable {
  /// The domain's name.
  let domain: String
  /// The step that made the root.
  let root: String
  /// What has the lines that switch.
  let system: GuestSystem
  /// The recipe's files, of which units may be.
  let changes: SystemChanges

  /// Names and targets of links, each ended by a zero byte: those before, an empty name, and those after.
  static let file = "links"

  /// Nil where the recipe switches no services.
  init?(domain: String, root: String, system: GuestSystem, changes: SystemChanges) {
    guard !system.serviceScript.isEmpty else { return nil }
    self.domain = domain
    self.root = root
    self.system = system
    self.changes = changes
  }

  var name: String { "\(domain): services" }
  var input: Step.Input { .init(step: name, file: Self.file) }

  /// Endings of units' names (systemd.unit(5)).
  private static let kinds = [
    "automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer",
  ].map { ".\($0)" }

  /// Whether systemctl may look at a file: the recipe's elsewhere make no difference. Links of packages may lead to a unit,
  /// and to the folder of what is added to one, wherever it is.
  private static func isUnit(_ path: String) -> Bool {
    path.contains("systemd") || path.contains("init.d") || path.contains("/rc")
      || TreePath.parts(path).contains { part in kinds.contains { part.hasSuffix($0) || part.hasSuffix("\($0).d") } }
  }

  private var units: [TreeEntry] { system.entries.filter { Self.isUnit($0.path) } }
  private var ownUnits: SystemChanges { changes.files { Self.isUnit($0.path) } }

  func step(epoch: Int, versions: [String: String]) -> Step {
    Step(
      name: name, kind: "service-links", version: 3,
      settings: ["\(epoch)", system.serviceScript, GuestSystem.describe(units)] + ownUnits.settings,
      inputs: [.init(step: root, file: DebianRoot.archive)], outputs: [Self.file]
    ) { context throws(BuildError) in try make(context) }
  }

  private func make(_ context: borrowing StepContext) throws(BuildError) {
    let archive = try context.input(root, DebianRoot.archive)
    let index = try TreeIndex(archive, cancellation: context.cancellation, keeping: SystemChanges.keeps)
    let own = try ownUnits.contents(index, spool: "\(context.scratch)/files")
    let replaced = Set(own.map(\.path))
    let tar = "\(context.scratch)/tree.tar"
    let (wanted, shared) = Self.wanted(index)
    try Tree.merge(
      archive, omitting: { path in !Self.matters(path) && !wanted.contains(path) }, keeping: shared,
      adding: (units + GuestSystem.hostKeys(index)).filter { !replaced.contains($0.path) } + own, epoch: context.epoch,
      to: tar, cancellation: context.cancellation)
    let script = """
      set -eu
      mkdir "$1"
      tar -x --numeric-owner -p -f "$2" -C "$1"
      find "$1/etc" -type l -printf 'etc/%P\\0%l\\0' >"$3"
      printf '\\0' >>"$3"
      \(system.serviceScript)find "$1/etc" -type l -printf 'etc/%P\\0%l\\0' >>"$3"
      rm -rf "$1"
      """
    try context.run(
      Tool.withOwners(
        ["sh", "-c", script, "sh", "\(context.scratch)/tree", tar, "\(context.output)/\(Self.file)", archive]),
      doing: "cannot switch the services of \(domain)")
  }

  /// What systemctl looks at, and the links at the top.
  private static func matters(_ path: String) -> Bool {
    !path.contains("/") || path.hasPrefix("etc/") || path.hasPrefix("usr/lib/systemd/")
      || path.hasPrefix("usr/local/lib/systemd/") || path.hasPrefix("lib/systemd/")
  }

  /// Where systemctl looks for units, and for what packages would have it switch.
  private static let folders = ["etc", "usr/local/lib", "usr/lib", "lib"].flatMap { folder in
    ["system", "system.attached", "system-preset"].map { "\(folder)/systemd/\($0)" }
  }

  /// What is in these folders, and whatever links from there lead to, with the links on the way; `shared` are files of which
  /// something that is unpacked is another name.
  private static func wanted(_ index: TreeIndex) -> (all: Set<String>, shared: Set<String>) {
    var (all, shared): (Set<String>, Set<String>) = ([], [])
    var waiting = folders + index.entries.values.filter { $0.kind.isHardLink && matters($0.path) }.map(\.path)
    while let path = waiting.popLast() {
      let place = index.place(of: path, followingLast: true) { all.insert($0) }
      guard let place, all.insert(place).inserted else { continue }
      switch index.entries[place]?.kind {
      // An archive need not have a folder itself.
      case .directory?, nil: waiting += index.entries.keys.filter { $0.hasPrefix("\(place)/") }
      case .hardLink(let first)?:
        shared.insert(first)
        waiting.append(first)
      case .file?, .symbolicLink?, .other?: break
      }
    }
    return (all, shared)
  }

  /// Makes the same changes to a file system.
  func apply(_ path: String, to edit: inout Ext4Edit) throws(BuildError) {
    let bytes = try attempt("cannot read a result") { () throws(SystemError) in try Files.read(path) }
    var lists: [[String: String]] = [[:]]
    var words = bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().map {
      String(decoding: $0, as: UTF8.self)
    }[...]
    while let name = words.popFirst() {
      if name.isEmpty {
        lists.append([:])
      } else {
        lists[lists.count - 1][name] = words.popFirst() ?? ""
      }
    }
    guard lists.count == 2 else { throw BuildError(.content, "\(path) is no list of links") }
    for name in lists[0].keys.sorted() where lists[1][name] == nil { try edit.remove(name) }
    for (name, target) in lists[1].sorted(by: { $0.key < $1.key }) where lists[0][name] != target {
      try edit.add(.link(name, to: target))
    }
  }
}
