internal import CLVM

/// What the kernel says of the two copies that a move keeps while it is under way (drivers/md/dm-raid1.c,
/// `mirror_status`). It forgets errors when the mirror is set up anew, as LVM does in the course of a move.
enum MirrorHealth: Hashable, Sendable {
  /// Both take and give what they should.
  case well
  /// What is moved cannot be read everywhere.
  case sourceFails
  /// The disk that it is moved to does not take it.
  case targetFails

  /// Reads the kernel's line; nil for one that is not understood.
  init?(parameters: String) {
    // <copies> <device>... <synchronous>/<all regions> 1 <a letter for each copy> <log>
    let words = parameters.split(separator: " ")
    guard let count = words.first.flatMap({ Int($0) }), count > 1, count < 9, words.count > count + 3 else {
      return nil
    }
    let letters = Array(words[count + 3])
    guard letters.count == count, letters.allSatisfy({ $0.isUppercase }) else { return nil }
    // A: alive; all others are kinds of errors.
    self = letters[0] != "A" ? .sourceFails : letters.allSatisfy { $0 == "A" } ? .well : .targetFails
  }

  /// Of the move under way in a group.
  static func ofMove(in group: String) -> MirrorHealth {
    let name = PoolStatus.deviceName(group: group, volume: "pvmove0")
    let found = DeviceStatus.lines(of: name).filter { $0.type == "mirror" }.compactMap {
      MirrorHealth(parameters: $0.parameters)
    }
    return found.first { $0 != .well } ?? .well
  }
}

/// What device-mapper says of a device (dmsetup(8), `status`).
enum DeviceStatus {
  /// Type and parameters of each of its targets; none where there is no such device.
  static func lines(of name: String) -> [(type: String, parameters: String)] {
    // SAFETY: the task is made and destroyed here, and what it points at is copied before.
    guard let task = unsafe dm_task_create(Int32(DM_DEVICE_STATUS)) else { return [] }
    defer { unsafe dm_task_destroy(task) }
    // A flush would wait for writes that wait for room.
    guard unsafe dm_task_set_name(task, name) == 1, unsafe dm_task_no_flush(task) == 1,
      unsafe dm_task_run(task) == 1
    else { return [] }
    var lines: [(type: String, parameters: String)] = []
    var next: UnsafeMutableRawPointer?
    repeat {
      var start: UInt64 = 0
      var length: UInt64 = 0
      var type: UnsafeMutablePointer<CChar>?
      var parameters: UnsafeMutablePointer<CChar>?
      unsafe next = dm_get_next_target(task, next, &start, &length, &type, &parameters)
      if let type = unsafe type, let parameters = unsafe parameters {
        lines.append((unsafe String(cString: type), unsafe String(cString: parameters)))
      }
    } while unsafe next != nil
    return lines
  }
}
