internal import Platform

/// This machine's block devices and what uses them: what keeps a disk from being overwritten.
struct SystemView: Sendable {
  let tree: BlockTree
  private let mounts: [Mount]
  private let swaps: [String]
  private let root: String

  /// Mount points whose disk is the running system's.
  private static let system = ["/", "/usr", "/boot", "/boot/efi", "/var", "/home", mediumPath]
  /// Where the appliance has the medium that it was started from.
  static let mediumPath = "/run/roost/medium"

  /// Looks at the machine below `root`, which has `sys`, `proc` and `dev`.
  init(root: String = "") {
    self.root = root
    tree = BlockTree(sys: "\(root)/sys")
    mounts = Mount.parse((try? Files.readText("\(root)/proc/self/mountinfo")) ?? "")
    let lines = ((try? Files.readText("\(root)/proc/swaps")) ?? "").split(separator: "\n").dropFirst()
    swaps = lines.compactMap { line in line.split(whereSeparator: \.isWhitespace).first.map(String.init) }
  }

  /// The disk that the running appliance's medium is, or nil where this is no appliance.
  var runningMedium: BlockNode? {
    guard let mount = mounts.last(where: { $0.target == Self.mediumPath }), let node = node(of: mount) else {
      return nil
    }
    return tree.nodes[node.disk]
  }

  /// What keeps the disk of this name from being overwritten, in words that follow its name; nil when nothing does.
  func objection(toDisk name: String) -> String? {
    for mount in mounts where Self.system.contains(mount.target) {
      guard let node = node(of: mount), bases(of: node.name).contains(name) else { continue }
      return "is the disk that this system runs from: \(node.path) is mounted at \(mount.target)"
    }
    for mount in mounts {
      guard let node = node(of: mount), bases(of: node.name).contains(name) else { continue }
      return "is in use: \(node.path) is mounted at \(mount.target); 'umount \(mount.target)' ends that"
    }
    for swap in swaps {
      guard let node = node(ofPath: swap), bases(of: node.name).contains(name) else { continue }
      return "is in use: \(node.path) is swap space; 'swapoff \(node.path)' ends that"
    }
    for part in tree.parts(of: name) {
      if let holder = part.holders.first {
        return "is in use: \(part.path) is a part of /dev/\(holder) (LVM, encryption or RAID)"
      }
      for loop in tree.nodes.values {
        guard let file = loop.backingFile, node(ofPath: file)?.name == part.name else { continue }
        return "is in use: \(loop.path) shows \(part.path)"
      }
    }
    return nil
  }

  /// What keeps the file at an absolute path, links resolved, from being overwritten.
  func objection(toFile path: String) -> String? {
    if let loop = loop(of: path) { return "is in use: \(loop.path) shows it; 'losetup -d \(loop.path)' ends that" }
    return swaps.contains(path) ? "is in use: it is swap space" : nil
  }

  /// The loop device that shows a file.
  func loop(of path: String) -> BlockNode? {
    tree.nodes.values.first { $0.backingFile == path }
  }

  /// Disks that may be meant where none was named: those that can be taken out or are behind USB.
  var candidates: [BlockNode] {
    let passedOver = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd"]
    return tree.nodes.values.filter { node in
      !node.isPartition && node.size > 0 && (node.isUSB || node.isRemovable)
        && !passedOver.contains { node.name.hasPrefix($0) }
    }.sorted { ($0.name.count, $0.name) < ($1.name.count, $1.name) }
  }

  private func node(of mount: Mount) -> BlockNode? {
    // File systems with devices of their own (btrfs) have a number that no block device has.
    tree.node(number: mount.device) ?? node(ofPath: mount.source)
  }

  /// The device that a device file names.
  private func node(ofPath path: String) -> BlockNode? {
    guard path.hasPrefix("/dev/") else { return nil }
    let resolved = (try? Files.resolve(root + path)) ?? path
    return resolved.split(separator: "/").last.flatMap { tree.nodes[String($0)] }
  }

  /// The device, and everything that it lies on.
  private func bases(of name: String) -> Set<String> {
    var found: Set<String> = []
    var open = [name]
    while let name = open.popLast() {
      guard found.insert(name).inserted, let node = tree.nodes[name] else { continue }
      open += [node.disk] + node.slaves
      if let file = node.backingFile {
        if let device = self.node(ofPath: file) {
          open.append(device.name)
        } else if let mount = covering(file), let device = self.node(of: mount) {
          open.append(device.name)
        }
      }
    }
    return found
  }

  /// The mount that a file is in.
  private func covering(_ path: String) -> Mount? {
    mounts.filter { mount in
      mount.target == "/" || path == mount.target || path.hasPrefix("\(mount.target)/")
    }.max { $0.target.count < $1.target.count }
  }
}
