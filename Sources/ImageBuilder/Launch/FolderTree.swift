internal import Binary
internal import Platform

/// A folder of the user's as the tree of a guest: sorted, without times, and with one owner. Links are taken as links; what is
/// no file, folder or link is refused.
struct FolderTree {
  private(set) var entries: [TreeEntry] = []
  /// Of names, permissions, links and contents.
  let digest: SHA256.Digest

  /// Reads all of it. `name` is what messages call the folder.
  init(_ path: String, called name: String, user: UInt32 = 0, group: UInt32 = 0) throws(BuildError) {
    var hash = SHA256()
    var folders = [""]
    while let folder = folders.popLast() {
      let names = try attempt("cannot read \(name)") { () throws(SystemError) in
        try Files.list(folder.isEmpty ? path : "\(path)/\(folder)")
      }
      for entry in names {
        let place = folder.isEmpty ? entry : "\(folder)/\(entry)"
        guard entries.count < ArchiveLimits.standard.entries, place.utf8.count <= ArchiveLimits.path else {
          throw BuildError(
            .badFile, "\(name) has more than \(ArchiveLimits.standard.entries) files and folders, or paths too long")
        }
        let (made, words) = try Self.entry(path, place, called: name)
        var text = ""
        for word in [place, "\(made.permissions)"] + words { text += "\(word.utf8.count):\(word)\n" }
        hash.update(Array(text.utf8))
        var owned = made
        (owned.owner, owned.group) = (user, group)
        entries.append(owned)
        if case .directory = made.content { folders.append(place) }
      }
    }
    digest = hash.finalize()
    entries.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  private static func entry(
    _ path: String, _ place: String, called name: String
  ) throws(BuildError) -> (TreeEntry, [String]) {
    let file = "\(path)/\(place)"
    let status = try attempt("cannot read \(name)") { () throws(SystemError) in try Files.status(file) }
    switch status?.kind {
    case .directory?:
      return (.directory(place, permissions: status?.permissions ?? 0o755), ["folder"])
    case .symbolicLink?:
      let target = try attempt("cannot read \(name)") { () throws(SystemError) in try Files.readLink(file) }
      return (.link(place, to: target), ["link", target])
    case .regular?:
      let digest = try attempt("cannot read \(name)") { () throws(SystemError) in try FileDigest.chunked(file) }
      return (.file(place, from: file, permissions: status?.permissions ?? 0o644), ["file", "\(digest)"])
    default:
      throw BuildError(
        .badFile, "\(name): \(EscapedText.make(place)) is no file, folder or link",
        hint: "take it out: devices are there when the guest runs, and sockets and pipes are made by who uses them")
    }
  }
}
