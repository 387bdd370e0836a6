internal import Platform

/// More room for what guests write.
extension GuestStorage {
  /// Adds a disk or partition to the group and gives its room to the pool. Guests that wait for room go on. It may be
  /// run again after it was cut off anywhere.
  public func grow(by target: String, wipe: Bool, inspect: Inspection) throws(StorageError) {
    guard let device = BlockTree().node(at: target) else {
      throw StorageError(.plan, "\(target) is no disk or partition; `lsblk` shows those that there are")
    }
    try Target.refuseRemote(device)
    let lock = try moveLock()
    defer { _ = lock.rawValue }
    try join(device, wipe: wipe, isMoving: false, inspect: inspect)
    try withGroup { lvm, state throws(StorageError) in
      try enlargePool(lvm, state.volumeGroup, keepingSpare: state.home == .disk)
    }
  }

  /// Takes more of the machine's memory: `bytes` in all. The same again goes on where it was cut off.
  public func grow(memory bytes: Int) throws(StorageError) {
    let lock = try moveLock()
    defer { _ = lock.rawValue }
    try withGroup { lvm, state throws(StorageError) in
      var state = state
      guard state.home == .memory else {
        throw StorageError(.plan, "the guests' storage is on a disk; add another one: roost storage grow DEVICE")
      }
      guard bytes >= state.ramBytes else {
        throw StorageError(
          .plan, "the guests' storage has \(state.ramBytes >> 20) MiB already and does not get smaller")
      }
      // What the file has not filled yet is promised as well.
      let report = poolReport(state)
      let used = Int(Double(report.poolBytes) * report.dataPercent / 100)
      let available = try Self.memory("MemAvailable")
      guard bytes - used < available else {
        throw StorageError(
          .memory,
          "\((bytes - used) >> 20) MiB more would be promised, and the machine has \(available >> 20) MiB to spare; "
            + "stop a domain, or add a disk: roost storage grow DEVICE")
      }
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
      state.ramBytes = bytes
      try state.write(to: statePath)
      try enlargePool(lvm, state.volumeGroup, keepingSpare: false)
    }
  }
}
