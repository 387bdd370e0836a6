@testable import Control
import Platform
import Testing

@Suite("What a machine lacks") struct DoctorTests {
  /// Every program and file that the doctor asks for, with the package that has it.
  static let programs = [
    "mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools", "sqfstar": "squashfs-tools", "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs", "dumpe2fs": "e2fsprogs", "tar": "tar", "zstd": "zstd", "strip": "binutils",
    "grub-mkimage": "grub-common", "mformat": "mtools", "mcopy": "mtools", "mmd": "mtools",
    "qemu-system-x86_64": "qemu-system-x86",
  ]
  static let files = [
    "usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "usr/lib/grub/i386-pc/moddep.lst": "grub-pc-bin", "usr/lib/grub/x86_64-efi/moddep.lst": "grub-efi-amd64-bin",
    "usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf", "usr/share/OVMF/OVMF_VARS_4M.fd": "ovmf",
  ]

  /// A machine that has everything but `without`.
  private func machine(without: String? = nil) throws -> Scratch {
    let scratch = try Scratch()
    for program in Self.programs.keys where program != without {
      try scratch.write("", to: "usr/bin/\(program)", permissions: 0o755)
    }
    for file in Self.files.keys where file != without { try scratch.write("", to: file) }
    return scratch
  }

  @Test func aCompleteMachineIsHealthy() throws {
    let scratch = try machine()
    let doctor = Doctor(root: scratch.path, directory: "/nonexistent", isSuperuser: true)
    #expect(doctor.isHealthy, "\(doctor.findings.filter { $0.verdict == .missing })")
    #expect(doctor.missingPackages == [])
    #expect(doctor.installCommand(isSuperuser: true) == nil)
  }

  @Test(arguments: programs.merging(files) { first, _ in first })
  func eachMissingThingNamesItsPackage(thing: String, package: String) throws {
    let scratch = try machine(without: thing)
    let doctor = Doctor(root: scratch.path, directory: "/nonexistent", isSuperuser: true)
    #expect(doctor.missingPackages == [package])
    #expect(!doctor.isHealthy)
    #expect(doctor.findings.contains { $0.verdict == .missing && $0.description.hasSuffix("[\(package)]") })
  }

  @Test func anEmptyMachineGetsOneCommand() throws {
    let scratch = try Scratch()
    let doctor = Doctor(root: scratch.path, directory: "/nonexistent", isSuperuser: true)
    let packages = Set(Self.programs.values).union(Self.files.values).sorted()
    #expect(doctor.missingPackages == packages)
    let words = packages.joined(separator: " ")
    #expect(doctor.installCommand(isSuperuser: false) == "sudo apt-get install --no-install-recommends \(words)")
    #expect(doctor.installCommand(isSuperuser: true) == "apt-get install --no-install-recommends \(words)")
  }

  @Test func anOrdinaryUserNeedsUserNamespaces() throws {
    let scratch = try machine()
    try scratch.write("0\n", to: "proc/sys/kernel/unprivileged_userns_clone")
    try scratch.write("1000\n", to: "proc/sys/user/max_user_namespaces")
    let refused = Doctor(root: scratch.path, directory: "/nonexistent", isSuperuser: false)
    #expect(refused.missingPackages == ["uidmap", "util-linux"])
    #expect(refused.findings.contains { $0.detail.contains("sysctl kernel.unprivileged_userns_clone=1") })
    try scratch.write("1\n", to: "proc/sys/kernel/unprivileged_userns_clone")
    let allowed = Doctor(root: scratch.path, directory: "/nonexistent", isSuperuser: false)
    #expect(allowed.findings.contains { $0.subject == "user namespaces" && $0.verdict == .ok })
  }
}
