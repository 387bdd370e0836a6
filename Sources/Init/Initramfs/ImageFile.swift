internal import Platform

/// The medium as a file on another file system, as on a stick with many images.
enum ImageFile {
  /// Where the file system with the image is mounted.
  static let carrier = "/run/roost/carrier"

  /// What such sticks are formatted with, by libblkid's names. The options keep the kernel from writing: no journal is
  /// replayed. Nor does an error stop it, whatever the file system says of errors.
  static let fileSystems: [String: (type: String, options: String)] = [
    "vfat": ("vfat", "utf8=1"), "exfat": ("exfat", ""), "ntfs": ("ntfs3", ""),
    "ext2": ("ext4", "noload,errors=continue"), "ext3": ("ext4", "noload,errors=continue"),
    "ext4": ("ext4", "noload,errors=continue"),
  ]

  /// Their drivers.
  static let modules = ["vfat", "exfat", "ntfs3", "ext4"]

  /// Looks for the image of the volume `uuid` on the file systems among `seen`, and leaves the one that has it mounted.
  ///
  /// - Parameter name: the file's path on its file system; nil to look at all images near the file systems' roots.
  static func find(
    _ name: String?, volume uuid: String?, among seen: [(device: BlockDevice, volume: Volume)]
  ) -> MediumPlace? {
    for (device, volume) in seen {
      guard case .known(let type, _, _) = volume, let system = fileSystems[type] else { continue }
      do throws(SystemError) {
        try Files.makeDirectories(carrier)
        try Mount.mount(
          device.path, at: carrier, type: system.type, [.readOnly, .noSetUserID, .noDevices, .noExecution],
          options: system.options)
      } catch {
        Log.write("\(error)")
        continue
      }
      for path in name.map({ [plain($0)] }) ?? images(below: carrier) {
        guard isFile(path, in: carrier), case .known("iso9660", let found, _) = Volume.probe("\(carrier)/\(path)"),
          uuid == nil || found == uuid
        else {
          continue
        }
        return .file("\(carrier)/\(path)", "\(path) on \(device.path)")
      }
      try? Mount.unmount(carrier)
    }
    return nil
  }

  /// Whether `path` leads to a file in `directory`. Nothing else is opened: a pipe would keep the machine waiting, and a link
  /// may lead to this system's own files.
  static func isFile(_ path: String, in directory: String) -> Bool {
    let place = "\(directory)/\(path)"
    do throws(SystemError) {
      guard try Files.status(place, followingLinks: true)?.kind == .regular else { return false }
      let root = try Files.resolve(directory)
      return try Files.resolve(place).hasPrefix("\(root)/")
    } catch {
      return false
    }
  }

  /// A path as GRUB has it, without the device in parentheses that it may begin with.
  static func plain(_ path: String) -> String {
    let bare = path.hasPrefix("(") ? path.drop { $0 != ")" }.dropFirst() : path[...]
    return bare.split(separator: "/").joined(separator: "/")
  }

  /// Image files in a folder, and in folders down to two below it; not more than are looked at in a moment.
  static func images(below directory: String, limit: Int = 1000) -> [String] {
    var found: [String] = []
    var level = [""]
    var looked = 0
    for depth in 0..<3 {
      var next: [String] = []
      for folder in level {
        for name in ((try? Files.list("\(directory)/\(folder)")) ?? []).sorted() {
          looked += 1
          guard looked <= limit else { return found }
          let path = folder.isEmpty ? name : "\(folder)/\(name)"
          // Nobody's links are followed: they may lead anywhere.
          switch (try? Files.status("\(directory)/\(path)"))??.kind {
          case .regular where name.lowercased().hasSuffix(".iso"): found.append(path)
          case .directory where depth < 2: next.append(path)
          default: break
          }
        }
      }
      level = next
    }
    return found
  }
}

/// Where the boot medium was found.
enum MediumPlace: Hashable {
  case device(BlockDevice)
  /// A file with its image, and in words where it is.
  case file(String, String)

  /// In words.
  var description: String {
    switch self {
    case .device(let device): device.path
    case .file(_, let words): words
    }
  }
}
