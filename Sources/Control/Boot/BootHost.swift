internal import Platform

/// What the machine that is to emulate an appliance can do.
public struct BootHost: Hashable, Sendable {
  /// Whether this process may use `/dev/kvm`.
  public enum KVMAccess: Hashable, Sendable {
    case usable
    case absent
    /// It is there, and opening it failed; the kernel's answer.
    case denied(String)
  }

  /// The processor's virtualisation.
  public enum Virtualisation: String, Hashable, Sendable {
    case amd = "AMD-V"
    case intel = "VT-x"

    /// The kernel module that drives it.
    public var module: String { self == .amd ? "kvm_amd" : "kvm_intel" }
  }

  /// UEFI for a virtual machine: code, and the template of its variables.
  public struct Firmware: Hashable, Sendable {
    /// File of the code; never written to.
    public var code: String
    /// File that fresh variables are copied from.
    public var variables: String

    /// Firmware in two files.
    public init(code: String, variables: String) {
      self.code = code
      self.variables = variables
    }
  }

  /// Access to `/dev/kvm`.
  public var kvm: KVMAccess
  /// What `/proc/cpuinfo` says; nil for a processor, or a virtual machine, without.
  public var virtualisation: Virtualisation?
  /// True when KVM hands the processor's virtualisation on to its guests.
  public var nested: Bool
  /// Processors that are online.
  public var processors: Int
  /// Memory and swap that can be had now, in bytes.
  public var availableMemory: Int
  /// UEFI, if it is installed.
  public var firmware: Firmware?
  /// UEFI that has Secure Boot on and takes Microsoft's signatures, if it is installed.
  public var secureFirmware: Firmware?
  /// QEMU's program, if it is installed.
  public var qemu: String?

  /// A machine as told; `probe` looks at the real one.
  public init(
    kvm: KVMAccess, virtualisation: Virtualisation?, nested: Bool, processors: Int, availableMemory: Int,
    firmware: Firmware?, secureFirmware: Firmware? = nil, qemu: String?
  ) {
    self.kvm = kvm
    self.virtualisation = virtualisation
    self.nested = nested
    self.processors = processors
    self.availableMemory = availableMemory
    self.firmware = firmware
    self.secureFirmware = secureFirmware
    self.qemu = qemu
  }

  /// Where distributions keep the firmware: Debian 12 and 13, Debian's and others' older names, Fedora, Arch.
  static let firmwareCandidates = [
    Firmware(code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    Firmware(code: "/usr/share/OVMF/OVMF_CODE.fd", variables: "/usr/share/OVMF/OVMF_VARS.fd"),
    Firmware(code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", variables: "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    Firmware(code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", variables: "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
  ]

  /// The same with Secure Boot on.
  static let secureFirmwareCandidates = [
    Firmware(code: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    Firmware(code: "/usr/share/OVMF/OVMF_CODE.secboot.fd", variables: "/usr/share/OVMF/OVMF_VARS.ms.fd"),
    Firmware(code: "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", variables: "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
  ]

  /// Looks at this machine. `root` is put before every path; tests give a directory of their own.
  public static func probe(root: String = "") -> BootHost {
    let processorText = (try? Files.readText("\(root)/proc/cpuinfo")) ?? ""
    var flags: Set<Substring> = []
    var processors = 0
    for line in processorText.split(separator: "\n") {
      if line.hasPrefix("processor") { processors += 1 }
      if flags.isEmpty, line.hasPrefix("flags") { flags = Set(line.split(separator: " ")) }
    }
    let virtualisation: Virtualisation? = flags.contains("svm") ? .amd : flags.contains("vmx") ? .intel : nil
    let parameter = virtualisation.flatMap {
      try? Files.readText("\(root)/sys/module/\($0.module)/parameters/nested")
    }
    func isInstalled(_ firmware: Firmware) -> Bool {
      Files.exists(root + firmware.code) && Files.exists(root + firmware.variables)
    }
    return BootHost(
      kvm: kvmAccess("\(root)/dev/kvm"), virtualisation: virtualisation,
      nested: parameter.map { ["1", "Y", "y"].contains($0.prefix(1)) } ?? false, processors: max(1, processors),
      availableMemory: availableMemory((try? Files.readText("\(root)/proc/meminfo")) ?? ""),
      firmware: firmwareCandidates.first(where: isInstalled),
      secureFirmware: secureFirmwareCandidates.first(where: isInstalled),
      qemu: ProgramSearch(root: root).find("qemu-system-x86_64"))
  }

  private static func kvmAccess(_ path: String) -> KVMAccess {
    do throws(SystemError) {
      _ = try FileDescriptor(opening: path, .readWrite)
      return .usable
    } catch {
      switch error.errno {
      case .noSuchFile, .noSuchDevice, .notDirectory: return .absent
      default: return .denied("\(error.errno)")
      }
    }
  }

  /// Bytes that a new process may use, by the text of /proc/meminfo (proc(5)).
  static func availableMemory(_ text: String) -> Int {
    var bytes = 0
    for line in text.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == ":" })
      if words.count >= 2, words[0] == "MemAvailable" || words[0] == "SwapFree", let count = Int(words[1]) {
        bytes += count << 10
      }
    }
    return bytes
  }
}

/// Finds programs, also where an ordinary user's PATH does not look.
struct ProgramSearch {
  /// Put before every directory.
  var root = ""
  var directories: [String]

  init(root: String = "") {
    self.root = root
    let standard = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    guard root.isEmpty, let path = ProcessEnvironment.value("PATH") else {
      directories = standard
      return
    }
    let own = path.split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
    directories = own + standard.filter { !own.contains($0) }
  }

  /// The program's path; nil when it is not installed.
  func find(_ name: String) -> String? {
    for directory in directories {
      let path = "\(root)\(directory)/\(name)"
      if let status = try? Files.status(path, followingLinks: true), status.kind == .regular,
        status.permissions & 0o111 != 0
      {
        return path
      }
    }
    return nil
  }
}

/// How QEMU runs the appliance's processors.
public enum Accelerator: Hashable, Sendable {
  /// The host's KVM, which hands virtualisation on: the appliance's own KVM works in hardware.
  case nestedKVM(BootHost.Virtualisation)
  /// Software emulation of processors with AMD-V.
  case emulation(why: String, remedy: String?)

  /// The best that `host` can do.
  public init(_ host: BootHost) {
    guard let virtualisation = host.virtualisation else {
      self = .emulation(why: "this machine's processors offer neither AMD-V nor VT-x", remedy: nil)
      return
    }
    switch host.kvm {
    case .absent:
      self = .emulation(
        why: "there is no /dev/kvm",
        remedy: "load it with 'sudo modprobe \(virtualisation.module)', or switch virtualisation on in the firmware")
    case .denied(let answer):
      self = .emulation(
        why: "/dev/kvm cannot be opened (\(answer))",
        remedy: "join its group with 'sudo adduser $USER kvm' and log in anew")
    case .usable where !host.nested:
      let module = virtualisation.module
      self = .emulation(
        why: "this machine's KVM does not hand \(virtualisation.rawValue) on to guests",
        remedy: "switch it on with 'sudo modprobe -r \(module); sudo modprobe \(module) nested=1'")
    case .usable:
      self = .nestedKVM(virtualisation)
    }
  }

  /// How many processors the machine gets unless the user says.
  ///
  /// Emulated ones are threads of the host, of which more than four speed nothing up, and processor 0 is not for
  /// guests then (docs/architecture.md, "Known limits of emulators"): one more.
  func cpus(on host: BootHost) -> Int {
    switch self {
    case .nestedKVM: 2
    case .emulation: max(2, min(host.processors, 4)) + 1
    }
  }

  /// One line: which it is, and what to expect.
  public var summary: String {
    switch self {
    case .nestedKVM(let virtualisation):
      return "KVM with nested \(virtualisation.rawValue): expect all domains up within a minute"
    case .emulation(let why, let remedy):
      let hint = remedy.map { " (\($0))" } ?? ""
      return "software emulation, because \(why)\(hint): expect minutes, not seconds"
    }
  }
}
