internal import Platform

/// More room for what guests write.
extension GuestStorage {
  /// Adds a disk or partition to the group and gives its room to the pool. Guests that wait for room go on.
  public func grow(_ state: StorageState, by target: String, wipe: Bool) throws(StorageError) -> StorageState {
    guard let device = StorageDevice.at(target) else {
      throw StorageError(.plan, "\(target) is no disk or partition; `lsblk` shows those that there are")
    }
    guard !state.devices.contains(device.path) else {
      throw StorageError(.plan, "\(device.path) is part of the guests' storage already")
    }
    var result = state
    return try withGroup(state, adding: [device.path]) { lvm throws(StorageError) in
      _ = try Target.take(device.path, least: Self.dataOffset + (8 << 20), wipe: wipe)
      try lvm.run(["pvcreate", "--yes", device.path])
      try lvm.run(["vgextend", state.volumeGroup, device.path])
      result.devices.append(device.path)
      try result.write(to: "\(directory)/storage.json")
      try enlargePool(lvm, state.volumeGroup, keepingSpare: state.home == .disk)
      return result
    }
  }

  /// Takes more of the machine's memory: `bytes` in all.
  public func grow(_ state: StorageState, memory bytes: Int) throws(StorageError) -> StorageState {
    guard state.home == .memory else {
      throw StorageError(.plan, "the guests' storage is on a disk; add another one: roost storage grow DEVICE")
    }
    let available = try Self.availableMemory()
    guard bytes > state.ramBytes else {
      throw StorageError(.plan, "the guests' storage has \(state.ramBytes >> 20) MiB already and does not get smaller")
    }
    guard bytes - state.ramBytes < available else {
      throw StorageError(
        .memory,
        "\((bytes - state.ramBytes) >> 20) MiB more are wanted and the machine has \(available >> 20) MiB to spare; "
          + "stop a domain, or add a disk: roost storage grow DEVICE")
    }
    var result = state
    return try withGroup(state) { lvm throws(StorageError) in
      let size = Self.dataOffset + bytes
      let (file, directory) = (ramFile, ramDirectory)
      let loop = try attach(file, readOnly: false)
      try storage("take more memory") { () throws(SystemError) in
        try Mount.mount(
          "tmpfs", at: directory, type: "tmpfs", [.remount, .noDevices, .noSetUserID, .noExecution],
          options: "mode=0700,size=\(size + (1 << 20))")
        try FileDescriptor(opening: file, .readWrite).truncate(to: size)
        try loop.updateSize()
      }
      try lvm.run(["pvresize", loop.path])
      result.ramBytes = bytes
      try result.write(to: "\(self.directory)/storage.json")
      try enlargePool(lvm, state.volumeGroup, keepingSpare: false)
      return result
    }
  }

  private static func availableMemory() throws(StorageError) -> Int {
    let text = try storage("find the free memory") { () throws(SystemError) in try Files.readText("/proc/meminfo") }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 3, words[0] == "MemAvailable:", let kibibytes = Int(words[1]) { return kibibytes << 10 }
    }
    throw StorageError(.system, "/proc/meminfo does not tell what memory is free")
  }
}
