internal import Manifest

/// How much memory domains may have on this machine.
enum MachineMemory {
  /// The number of a line such as `MemAvailable:  1234 kB` in /proc/meminfo or `RssShmem: 1234 kB` in
  /// /proc/PID/status, in bytes; nil when it is not there.
  static func bytes(of field: String, in text: String) -> Int? {
    for line in text.split(separator: "\n") where line.hasPrefix("\(field):") {
      let words = line.dropFirst(field.count + 1).split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard let number = words.first.flatMap({ Int($0) }), words.count == 1 || words[1] == "kB" else { return nil }
      let (bytes, overflow) = number.multipliedReportingOverflow(by: 1024)
      return overflow ? nil : bytes
    }
    return nil
  }

  /// Why a domain cannot have `wanted` bytes; nil when it can. `free` is what the kernel could give now beside what
  /// running domains were given but did not touch yet, which may be more than there is.
  static func objection(wanted: Int, free: Int) -> String? {
    let free = max(0, free)
    guard wanted > free else { return nil }
    return """
      it asks for \(mebibytes(wanted)) MiB of memory, and the machine has \(mebibytes(free)) MiB left for it: give the \
      machine more, stop another domain, or lower `memory` in the recipe
      """
  }

  private static func mebibytes(_ bytes: Int) -> Int { bytes >> 20 }
}
