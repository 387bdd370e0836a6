internal import CBlkid
internal import Platform

/// What is on a device or file, as libblkid sees it: what `--wipe` would take away. The content is hostile; the library
/// only tells its name.
enum DeviceContents {
  private static let sectorBytes = 512
  private static let partitionLimit: Int32 = 64

  /// A line for each thing found; none where the library knows nothing.
  static func describe(_ path: String) throws(BuildError) -> [String] {
    let file = try attempt("cannot look into \(path)") { () throws(SystemError) in
      try FileDescriptor(opening: path)
    }
    // SAFETY: the probe is made and freed here; `file` outlives it.
    guard let probe = unsafe blkid_new_probe() else {
      throw BuildError(.system, "there is no memory to look into \(path)")
    }
    defer { unsafe blkid_free_probe(probe) }
    guard unsafe blkid_probe_set_device(probe, file.rawValue, 0, 0) == 0 else {
      throw BuildError(.system, "\(path) cannot be read to see what it holds")
    }
    var lines: [String] = []
    func add(_ line: String) {
      if !lines.contains(line) { lines.append(line) }
    }
    // SAFETY: the probe is live.
    unsafe enable(probe)
    // 0: something was found, and there may be more; 1: nothing more.
    var rounds = 0
    while unsafe blkid_do_probe(probe) == 0, rounds < 16 {
      rounds += 1
      if let type = unsafe value("TYPE", probe) { add(content(type, label: unsafe value("LABEL", probe))) }
      if let type = unsafe value("PTTYPE", probe) { add("\(type) partition table") }
    }
    for partition in unsafe partitions(probe) {
      let what = part(of: file, partition.start, partition.size)
      add("partition \(partition.number), \(partition.size >> 20) MiB: \(what ?? "nothing known")")
    }
    return lines
  }

  private static func enable(_ probe: blkid_probe) {
    // SAFETY: the probe is live, as callers vouch.
    unsafe blkid_probe_enable_superblocks(probe, 1)
    unsafe blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL)
    unsafe blkid_probe_enable_partitions(probe, 1)
  }

  private struct Partition {
    let number: Int
    let start: Int
    let size: Int
  }

  private static func partitions(_ probe: blkid_probe) -> [Partition] {
    // SAFETY: the list and its entries belong to the probe, which is live, as callers vouch.
    guard let list = unsafe blkid_probe_get_partitions(probe) else { return [] }
    let count = min(unsafe blkid_partlist_numof_partitions(list), partitionLimit)
    guard count > 0 else { return [] }
    return (0..<count).compactMap { index in
      guard let partition = unsafe blkid_partlist_get_partition(list, index) else { return nil }
      let number = unsafe Int(blkid_partition_get_partno(partition))
      let (start, startOverflows) = unsafe Int(clamping: blkid_partition_get_start(partition))
        .multipliedReportingOverflow(by: sectorBytes)
      let (size, sizeOverflows) = unsafe Int(clamping: blkid_partition_get_size(partition))
        .multipliedReportingOverflow(by: sectorBytes)
      return startOverflows || sizeOverflows ? nil : Partition(number: number, start: start, size: size)
    }
  }

  private static func part(of file: borrowing FileDescriptor, _ start: Int, _ size: Int) -> String? {
    // SAFETY: as above.
    guard let probe = unsafe blkid_new_probe() else { return nil }
    defer { unsafe blkid_free_probe(probe) }
    guard unsafe blkid_probe_set_device(probe, file.rawValue, blkid_loff_t(start), blkid_loff_t(size)) == 0 else {
      return nil
    }
    unsafe blkid_probe_enable_superblocks(probe, 1)
    unsafe blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL)
    guard unsafe blkid_do_probe(probe) == 0, let type = unsafe value("TYPE", probe) else { return nil }
    return content(type, label: unsafe value("LABEL", probe))
  }

  private static func content(_ type: String, label: String?) -> String {
    guard let label, !label.isEmpty else { return type }
    return "\(type) '\(label.filter { !$0.isNewline })'"
  }

  private static func value(_ name: String, _ probe: blkid_probe) -> String? {
    var text: UnsafePointer<CChar>?
    // SAFETY: the library owns the text, which is copied while the probe lives.
    guard unsafe blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text = unsafe text else { return nil }
    return unsafe String(cString: text)
  }
}
