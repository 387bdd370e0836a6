import Platform
import Testing

/// QEMU with the image, its serial line on a leash.
enum Appliance {
  /// How a machine differs from the one that `roost boot` makes.
  struct Options {
    var iso: String?
    /// The processor offers AMD-V to the control domain.
    var virtualisation = true
    var memory = 4096  // MiB
    /// A stick that the machine starts from by USB. It is written to.
    var stick: String?
    /// The socket at which the emulator takes requests (`EmulatorControl`); nil: it takes none.
    var control: String?
    /// The machine has a display.
    var display = false
    /// The port of this machine that leads to the control domain's SSH; nil: it has no network card.
    var sshPort: Int?
    /// The same for its HTTP interface at port 8443.
    var httpPort: Int?
    /// A file that the machine has as a disk and may write to.
    var target: String?
    /// An image that the machine has as a disk, read-only.
    var disk: String?
    /// A network card behind QEMU's own NAT, where no port asks for one.
    var network = false
    /// UEFI in the BIOS's place.
    var firmware: String?
    /// Boots these instead of the medium's boot loader.
    var kernel: (kernel: String, initrd: String, commandLine: String)?
  }

  /// Starts a machine whose serial line is read and typed on.
  static func start(_ options: Options, log name: String) throws -> Machine {
    var words = [
      "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35",
      "-accel", "tcg,thread=multi", "-cpu", options.virtualisation ? "qemu64,+svm,+npt" : "qemu64,-svm",
      "-smp", "3", "-m", "\(options.memory)", "-serial", "stdio", "-device", "virtio-rng-pci", "-no-reboot",
    ]
    if let iso = options.iso {
      words += ["-drive", "if=none,id=medium,format=raw,media=cdrom,readonly=on,file=\(iso)"]
      words += ["-device", "ide-cd,drive=medium"]
    }
    if let stick = options.stick {
      // What is behind the stick outlives it: a node goes on without its device.
      words += ["-blockdev", "driver=file,node-name=stick-file,filename=\(stick)"]
      words += ["-blockdev", "driver=raw,node-name=stick,file=stick-file", "-device", "qemu-xhci,id=usb"]
      words += ["-device", "usb-storage,id=stick-device,drive=stick,removable=on,serial=roost-1,bootindex=0"]
    }
    if let control = options.control { words += ["-qmp", "unix:\(control),server=on,wait=off"] }
    if options.display { words += ["-device", "VGA"] }
    let forwards = [(options.sshPort, 22), (options.httpPort, 8443)].compactMap { port, inside in
      port.map { ",hostfwd=tcp:127.0.0.1:\($0)-:\(inside)" }
    }
    if let firmware = options.firmware { words += ["-bios", firmware] }
    if !forwards.isEmpty || options.network {
      words += ["-netdev", "user,id=net\(forwards.joined())", "-device", "virtio-net-pci,netdev=net"]
    }
    if let target = options.target {
      words += ["-drive", "if=none,id=target,format=raw,file=\(target)", "-device", "virtio-blk-pci,drive=target"]
    }
    if let disk = options.disk {
      words += [
        "-drive", "if=none,id=disk,format=raw,readonly=on,file=\(disk)", "-device", "virtio-blk-pci,drive=disk",
      ]
    }
    if let direct = options.kernel {
      words += ["-kernel", direct.kernel, "-initrd", direct.initrd, "-append", direct.commandLine]
    }
    return try Machine(words, log: name)
  }
}

/// A copy of the image that is gone after the test.
struct DamagedImage: ~Copyable {
  let path: String

  /// Copies `iso` and changes one byte in the middle of a file, which is the control domain's root unless told.
  init(of iso: String, file name: String = "/roost/root.squashfs") throws {
    path = "build/damaged.iso"
    try Self.run(["cp", "--reflink=auto", iso, path])
    let (start, length) = try Self.extent(of: name, in: iso)
    let file = try FileDescriptor(opening: path, .readWrite)
    let offset = start + length / 2
    let byte = try file.read(upTo: 1, at: offset)
    try file.writeAll(byte.map { ~$0 }, at: offset)
  }

  deinit {
    try? Files.remove(path)
  }

  /// Where a file lies in an image, in bytes.
  private static func extent(of name: String, in iso: String) throws -> (start: Int, length: Int) {
    let lines = try output(["xorriso", "-indev", iso, "-find", name, "-exec", "report_lba", "--"])
    for line in lines.split(separator: "\n") where line.hasPrefix("File data lba:") {
      let fields = line.dropFirst("File data lba:".count).split(separator: ",").map { field in
        field.filter { $0.isNumber || $0 == "/" || $0 == "'" }
      }
      let block = try #require(Int(fields[1]))
      let length = try #require(Int(fields[3]))
      return (block * 2048, length)
    }
    throw Machine.Failure(what: "\(name) is not in \(iso)", tail: lines)
  }

  static func run(_ arguments: [String]) throws {
    let status = try ChildProcess.start(ChildRequest(arguments)).wait()
    try #require(status.isSuccess, "\(arguments.joined(separator: " ")): \(status)")
  }

  static func output(_ arguments: [String]) throws -> String {
    let pipe = try Pipe()
    var request = ChildRequest(arguments)
    let null = try FileDescriptor(opening: "/dev/null", .readWrite)
    request.descriptors = [null.rawValue, pipe.writer.rawValue, null.rawValue]
    let child = try ChildProcess.start(request)
    var text: [UInt8] = []
    try pipe.reader.setNonBlocking(true)
    var status: Platform.ExitStatus?
    while true {
      do throws(SystemError) {
        let chunk = try pipe.reader.read(upTo: 1 << 16)
        text += chunk
        if !chunk.isEmpty { continue }
      } catch {
        guard error.errno == .wouldBlock else { throw error }
      }
      if status != nil { break }
      status = try child.poll()
      MonotonicClock.sleep(milliseconds: 5)
    }
    try #require(status?.isSuccess == true, "\(arguments.joined(separator: " ")): \(String(describing: status))")
    return String(decoding: text, as: UTF8.self)
  }
}
