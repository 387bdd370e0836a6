internal import Platform
internal import Storage

/// The process in which a move is copied.
enum CopyProcess {
  /// Its status where the copy is none.
  static let abandoned: Int32 = 3

  /// Runs it, and tells how far it is. It ends with this process, when nobody reads what it says.
  static func run(
    _ source: String?, _ target: String, _ percent: (Double) -> Void
  ) throws(StorageError) {
    let status: ExitStatus
    let said: String
    do throws(SystemError) {
      let output = try Pipe()
      let complaints = try Pipe()
      var request = ChildRequest(StorageCommands.itself + ["copy", target] + (source.map { [$0] } ?? []))
      request.descriptors = [-1, output.writer.rawValue, complaints.writer.rawValue]
      let child = try ChildProcess.start(request)
      try follow(output, percent)
      // What it complains of fits into a pipe, so that it does not wait for its reader.
      said = String(decoding: try readToEnd(complaints), as: UTF8.self)
      status = try child.wait()
    } catch {
      throw StorageError(.system, "what guests wrote cannot be copied to \(target)", cause: error)
    }
    if status.isSuccess { return }
    let prefix = "roost-storage: "
    let reason = said.split(separator: "\n").joined(separator: "\n")
    throw StorageError(
      status == .exited(abandoned) ? .device : .lvm,
      reason.hasPrefix(prefix) ? String(reason.dropFirst(prefix.count)) : "\(reason)\nit ended: \(status)")
  }

  /// Reads a line for each share that is done, to the end.
  private static func follow(_ pipe: consuming Pipe, _ percent: (Double) -> Void) throws(SystemError) {
    let reader = try pipe.reader.duplicate()
    _ = consume pipe
    var last: Double?
    while true {
      let bytes = try reader.read(upTo: 4096)
      if bytes.isEmpty { return }
      let newest = String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { Double($0) }.last
      if let newest, newest != last {
        percent(newest)
        last = newest
      }
    }
  }
}
