internal import Binary
internal import Platform

/// Images in the machine's memory: the medium's copy, or one that was fetched.
enum MediumInMemory {
  /// Where the memory's file system is mounted.
  static let directory = "/run/roost/memory"
  /// The image's file.
  static let file = "\(directory)/medium.iso"
  /// What the appliance needs beside the image to start at all.
  private static let reserve = 384 << 20  // bytes

  /// Copies the ISO 9660 volume at `path` into memory.
  static func copy(_ path: String, from place: MediumPlace) throws(InitError) -> MediumPlace {
    let length = try length(of: path, place)
    try prepare(for: length, what: "the medium's copy")
    do throws(SystemError) {
      let source = try FileDescriptor(opening: path)
      let target = try FileDescriptor(opening: file, [.writeOnly, .create, .truncate])
      var done = 0
      var told = 0
      while done < length {
        let bytes = try source.read(upTo: min(1 << 20, length - done), at: done)
        guard !bytes.isEmpty else { throw SystemError("copy to memory", path: path, errno: .inputOutput) }
        try target.writeAll(bytes)
        done += bytes.count
        let percent = done / (length / 100 + 1)
        if percent >= told + 10 {
          told = percent
          Consoles.write("\rRoost: copying the medium to memory, \(percent) % ")
        }
      }
      Consoles.write("\r")
    } catch {
      throw InitError(
        .mediumUnreadable, "the boot medium on \(place.description) cannot be copied to memory.", details: ["\(error)"],
        remedies: ["Choose the first entry of the boot menu, which reads the medium as it is needed."])
    }
    Consoles.say("the medium is in memory (\(length >> 20) MiB): it can be taken out")
    return .file(file, "the machine's memory")
  }

  /// Mounts memory for so many bytes, or for all that there is to have.
  static func prepare(for bytes: Int?, what: String) throws(InitError) {
    let available = availableMemory((try? Files.readText("/proc/meminfo")) ?? "")
    let most = available - reserve
    if most < bytes ?? 1 {
      throw InitError(
        .tooLittleMemory, "the machine has too little memory for \(what).",
        details: [
          "\(available >> 20) MiB are free, \(reserve >> 20) MiB are kept for the appliance"
            + (bytes.map { ", and \(($0 + (1 << 20) - 1) >> 20) MiB are needed" } ?? "")
        ],
        remedies: ["Choose the first entry of the boot menu, which reads the medium as it is needed."])
    }
    let size = bytes.map { $0 + (1 << 20) } ?? most
    do throws(SystemError) {
      try Files.makeDirectories(directory)
      try Mount.mount(
        "tmpfs", at: directory, type: "tmpfs", [.noSetUserID, .noDevices, .noExecution],
        options: "size=\(size),mode=700")
    } catch {
      throw InitError(
        .tooLittleMemory, "memory for \(what) cannot be had.", details: ["\(error)"],
        remedies: ["Restart, and choose the first entry of the boot menu."])
    }
  }

  /// Bytes that /proc/meminfo calls available.
  static func availableMemory(_ text: String) -> Int {
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    let kibibytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return kibibytes.multipliedReportingOverflow(by: 1024).partialValue
  }

  /// Bytes of the volume, as its primary descriptor says (ECMA-119, section 8.4.8): a drive may report more.
  private static func length(of path: String, _ place: MediumPlace) throws(InitError) -> Int {
    let descriptor = try? FileDescriptor(opening: path).read(upTo: 2048, at: 16 * 2048)
    guard let descriptor, descriptor.count == 2048, descriptor[1..<6].elementsEqual("CD001".utf8),
      let blocks = try? ByteReader(descriptor).little(UInt32.self, at: 80)
    else {
      throw InitError(
        .mediumUnreadable, "the boot medium on \(place.description) cannot be read.",
        remedies: ["Write the image to the disc or stick anew, and compare it with its published checksum first."])
    }
    return Int(blocks) * 2048
  }
}
