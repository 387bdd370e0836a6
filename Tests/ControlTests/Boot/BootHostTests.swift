@testable import Control
import Platform
import Testing

/// A directory that is removed with the test.
final class Scratch {
  let path: String

  init() throws {
    path = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-test-")
  }

  deinit {
    try? Files.removeTree(path)
  }

  func write(_ text: String, to name: String, permissions: UInt32 = 0o644) throws {
    let file = "\(path)/\(name)"
    if let slash = file.lastIndex(of: "/") { try Files.makeDirectories(String(file[..<slash])) }
    try Files.write(text, to: file, permissions: permissions)
  }
}

@Suite("What the host can do") struct BootHostTests {
  @Test func nestedKVMNeedsTheDeviceTheProcessorAndTheParameter() throws {
    let scratch = try Scratch()
    try scratch.write(
      "processor\t: 0\nflags\t\t: fpu svm npt\nprocessor\t: 1\nflags\t\t: fpu svm\n", to: "proc/cpuinfo")
    try scratch.write("MemTotal: 9 kB\nMemAvailable:    8388608 kB\nSwapFree: 1024 kB\n", to: "proc/meminfo")
    let without = Accelerator(.probe(root: scratch.path)).summary
    #expect(without.contains("there is no /dev/kvm (load it with 'sudo modprobe"))
    try scratch.write("", to: "dev/kvm")
    #expect(Accelerator(.probe(root: scratch.path)).summary.contains("sudo modprobe kvm_amd nested=1"))
    try scratch.write("0\n", to: "sys/module/kvm_amd/parameters/nested")
    #expect(Accelerator(.probe(root: scratch.path)).summary.contains("does not hand AMD-V on"))
    try scratch.write("1\n", to: "sys/module/kvm_amd/parameters/nested")
    let host = BootHost.probe(root: scratch.path)
    #expect(Accelerator(host) == .nestedKVM(.amd))
    #expect(host.processors == 2)
    #expect(host.availableMemory == (8 << 30) + (1 << 20))
    #expect(host.firmware == nil)
    #expect(host.qemu == nil)
  }

  @Test func intelSaysY() throws {
    let scratch = try Scratch()
    try scratch.write("flags : vmx\n", to: "proc/cpuinfo")
    try scratch.write("", to: "dev/kvm")
    try scratch.write("Y\n", to: "sys/module/kvm_intel/parameters/nested")
    #expect(Accelerator(.probe(root: scratch.path)) == .nestedKVM(.intel))
  }

  @Test func aDeniedDeviceNamesItsGroup() {
    var host = BootHost.capable
    host.kvm = .denied("Permission denied")
    #expect(Accelerator(host).summary.contains("sudo adduser $USER kvm"))
  }

  @Test func kvmWithoutHardwareIsNotUsed() {
    var host = BootHost.capable
    host.virtualisation = nil
    guard case .emulation(let why, nil) = Accelerator(host) else {
      Issue.record("KVM was taken")
      return
    }
    #expect(why.contains("neither AMD-V nor VT-x"))
  }

  @Test func firmwareIsFoundUnderDebiansNames() throws {
    let scratch = try Scratch()
    try scratch.write("", to: "usr/share/OVMF/OVMF_CODE.fd")
    #expect(BootHost.probe(root: scratch.path).firmware == nil)
    try scratch.write("", to: "usr/share/OVMF/OVMF_VARS.fd")
    #expect(BootHost.probe(root: scratch.path).firmware?.code.hasSuffix("OVMF_CODE.fd") == true)
    try scratch.write("", to: "usr/share/OVMF/OVMF_CODE_4M.fd")
    try scratch.write("", to: "usr/share/OVMF/OVMF_VARS_4M.fd")
    #expect(BootHost.probe(root: scratch.path).firmware?.code.hasSuffix("OVMF_CODE_4M.fd") == true)
    #expect(BootHost.probe(root: scratch.path).secureFirmware == nil)
    try scratch.write("", to: "usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
    try scratch.write("", to: "usr/share/OVMF/OVMF_VARS_4M.ms.fd")
    #expect(BootHost.probe(root: scratch.path).secureFirmware?.variables.hasSuffix("OVMF_VARS_4M.ms.fd") == true)
  }

  @Test func programsMustBeExecutable() throws {
    let scratch = try Scratch()
    try scratch.write("", to: "usr/bin/qemu-system-x86_64")
    #expect(BootHost.probe(root: scratch.path).qemu == nil)
    try scratch.write("", to: "usr/sbin/qemu-system-x86_64", permissions: 0o755)
    #expect(BootHost.probe(root: scratch.path).qemu == "\(scratch.path)/usr/sbin/qemu-system-x86_64")
  }
}

extension BootHost {
  /// A host that can do everything.
  static var capable: BootHost {
    BootHost(
      kvm: .usable, virtualisation: .amd, nested: true, processors: 8, availableMemory: 16 << 30,
      firmware: .init(code: "/fw/code.fd", variables: "/fw/vars.fd"),
      secureFirmware: .init(code: "/fw/secure.fd", variables: "/fw/microsoft.fd"), qemu: "/usr/bin/qemu-system-x86_64")
  }
}
