internal import Platform

/// A boot that was found possible: image, host and options fit.
public struct BootPlan: Hashable, Sendable {
  /// What was asked for.
  public let options: BootOptions
  /// How the machine's processors will run.
  public let accelerator: Accelerator
  /// The machine's processors.
  public let cpus: Int
  let qemu: String
  let firmware: BootHost.Firmware?

  /// Checks the image and the host. Throws what is in the way, with the remedy.
  public init(_ options: BootOptions, host: BootHost) throws(ControlError) {
    try Self.checkImage(options.iso)
    guard let qemu = host.qemu else {
      throw ControlError(
        .cannotBoot, "there is no qemu-system-x86_64: install it with 'sudo apt-get install qemu-system-x86'")
    }
    if options.firmware == .uefi, host.firmware == nil {
      throw ControlError(
        .cannotBoot,
        "there is no UEFI firmware (OVMF): install it with 'sudo apt-get install ovmf', or boot with --bios")
    }
    if options.secureBoot, host.secureFirmware == nil {
      throw ControlError(
        .cannotBoot, "there is no UEFI firmware with Secure Boot (OVMF): install it with 'sudo apt-get install ovmf'")
    }
    var firmware = options.secureBoot ? host.secureFirmware : host.firmware
    if let variables = options.variables {
      guard Files.exists(variables) else {
        throw ControlError(.cannotBoot, "there is no file \(variables) with UEFI's variables: correct --uefi-variables")
      }
      firmware?.variables = variables
    }
    let accelerator = Accelerator(host)
    let cpus = options.cpus ?? accelerator.cpus(on: host)
    guard (1...64).contains(cpus) else {
      throw ControlError(.cannotBoot, "a machine with \(cpus) CPUs cannot be made: give --cpus 1 to 64")
    }
    let least = 1 << 30
    guard options.memory >= least else {
      throw ControlError(
        .cannotBoot,
        "\(Self.mebibytes(options.memory)) are too little for an appliance: give --memory 1GiB at least;"
          + " the quickstart wants 4GiB")
    }
    // What QEMU itself takes, for translated code most of all.
    let overhead = 256 << 20
    guard options.memory + overhead <= host.availableMemory else {
      let largest = max(0, host.availableMemory - overhead) >> 20
      let remedy =
        largest >= least >> 20
        ? "end other programs, or give --memory \(largest)MiB or less"
        : "end other programs: even the smallest appliance needs --memory 1GiB"
      throw ControlError(
        .cannotBoot,
        "this machine has \(Self.mebibytes(host.availableMemory)) of memory and swap left and the appliance is to have"
          + " \(Self.mebibytes(options.memory)): \(remedy)")
    }
    self.options = options
    self.accelerator = accelerator
    self.cpus = cpus
    self.qemu = qemu
    self.firmware = options.firmware == .uefi ? firmware : nil
  }

  /// What is about to happen, a line each.
  public var summary: [String] {
    let secure = options.secureBoot ? " with Secure Boot" : ""
    let medium = options.usb ? "a USB stick" : "a CD"
    return [
      "booting \(options.iso) as \(medium) by \(options.firmware.rawValue)\(secure),"
        + " \(cpus) CPU\(cpus == 1 ? "" : "s"), \(Self.mebibytes(options.memory))",
      accelerator.summary,
    ] + (options.usb ? ["what is written to the stick is forgotten when the machine ends"] : [])
  }

  /// Refuses what is certainly no bootable image: ECMA-119 (ISO 9660) section 8.1, volume descriptors from sector 16.
  private static func checkImage(_ path: String) throws(ControlError) {
    let magic: [UInt8]
    let length: Int
    do throws(SystemError) {
      guard let status = try Files.status(path, followingLinks: true) else {
        throw SystemError("open", path: path, errno: .noSuchFile)
      }
      if status.kind == .directory { throw SystemError("open", path: path, errno: .isDirectory) }
      let file = try FileDescriptor(opening: path)
      length = try file.length()
      magic = try file.read(upTo: 5, at: 16 * 2048 + 1)
    } catch {
      let remedy =
        error.errno == .noSuchFile
        ? "build it with 'roost build RECIPE -o \(path)'" : "see that it is a file you may read"
      throw ControlError(.cannotBoot, "cannot read the image \(path): \(error.errno): \(remedy)")
    }
    guard magic == Array("CD001".utf8) else {
      throw ControlError(
        .cannotBoot,
        "\(path) is not an ISO image (\(length) bytes, no ISO 9660 volume descriptor):"
          + " build one with 'roost build RECIPE -o OUT.iso'")
    }
    // The primary volume descriptor follows from the magic; its volume may not be longer than the file.
    let sectors = try? FileDescriptor(opening: path).read(upTo: 4, at: 16 * 2048 + 80)
    let wanted = (sectors ?? []).reversed().reduce(0) { $0 << 8 | Int($1) } * 2048
    guard length >= wanted else {
      throw ControlError(
        .cannotBoot, "\(path) is cut short: \(length) bytes of \(wanted): copy or build it again")
    }
  }

  static func mebibytes(_ bytes: Int) -> String {
    bytes % (1 << 30) == 0 && bytes > 0 ? "\(bytes >> 30) GiB" : "\(bytes >> 20) MiB"
  }
}

extension ControlError.Code {
  /// The image or the host is not fit to boot, or QEMU failed.
  public static let cannotBoot = ControlError.Code(rawValue: "cannot-boot")
}
