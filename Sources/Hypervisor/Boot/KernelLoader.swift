/// A kernel that lies in memory.
struct LoadedKernel: Hashable {
  /// How it is started: never `.auto`.
  let method: BootMethod
  /// How the first CPU starts.
  let state: BootState
  /// The mode that it asked for.
  let framebufferRequest: FramebufferRequest?
}

/// Chooses a boot protocol and loads a kernel by it.
enum BootLoader {
  /// The protocol for a file, by what it looks like.
  ///
  /// What belongs to one system alone comes first: a FreeBSD or Plan 9 kernel may have PVH and Multiboot entries that
  /// are told less.
  static func method(for kernel: some ImageSource) throws(HypervisorError) -> BootMethod {
    if LinuxHeader.isPresent(in: kernel) { return .linux }
    if FreeBSDBoot.isPresent(in: kernel) { return .freebsd }
    if PVHBoot.isPresent(in: kernel) { return .pvh }
    if Plan9Boot.isPresent(in: kernel) { return .plan9 }
    if MultibootBoot.isPresent(in: kernel) { return .multiboot }
    if LinuxBoot.isPresent(in: kernel) { return .linux }
    throw HypervisorError(
      .image,
      "this is not a kernel that can be started: neither a Linux bzImage or vmlinux, nor a FreeBSD or Plan 9 kernel,"
        + " nor an ELF file with a PVH entry or a Multiboot header")
  }

  /// The mode that a kernel wants the display to be in, so that it can be set before `load`; nil when it asks for none.
  static func framebufferRequest(
    of kernel: some ImageSource, method: BootMethod
  ) throws(HypervisorError) -> FramebufferRequest? {
    let method = method == .auto ? try self.method(for: kernel) : method
    switch method {
    case .multiboot: return try MultibootHeader(kernel).framebuffer
    case .plan9 where Plan9Boot.kind(of: kernel) == .multiboot: return try MultibootHeader(kernel).framebuffer
    default: return nil
    }
  }

  /// Puts the kernel and what belongs to it into `memory`.
  ///
  /// - Parameters:
  ///   - modules: Linux: the initial RAM disk, one at most; FreeBSD: memory disks; PVH and Multiboot: modules.
  ///   - rsdp: address of ACPI's root pointer, which lies in `memory` already; 0 without.
  ///   - framebuffer: the mode that the display is in; nil without one.
  /// - Throws: `.configuration` for `.bios` and `.uefi`, which load no kernel.
  static func load(
    method: BootMethod, kernel: some ImageSource, modules: [BootModule<some ImageSource>], commandLine: String,
    rsdp: UInt64, framebuffer: Framebuffer?, into memory: GuestRAM
  ) throws(HypervisorError) -> LoadedKernel {
    let method = method == .auto ? try self.method(for: kernel) : method
    let state: BootState
    switch method {
    case .linux:
      guard modules.count <= 1 else {
        throw HypervisorError(.configuration, "Linux takes one initial RAM disk, and \(modules.count) are given")
      }
      state = try LinuxBoot.load(
        kernel, initrd: modules.first?.image, commandLine: commandLine, rsdp: rsdp, into: memory)
    case .pvh, .xenPVH:
      state = try PVHBoot.load(
        kernel, modules: modules, commandLine: commandLine, rsdp: rsdp,
        map: method == .pvh ? memory.map : memory.xenMap, into: memory)
    case .multiboot:
      state = try MultibootBoot.load(
        kernel, modules: modules, commandLine: commandLine, rsdp: rsdp, framebuffer: framebuffer, into: memory)
    case .freebsd:
      state = try FreeBSDBoot.load(
        kernel, disks: modules, commandLine: commandLine, rsdp: rsdp, framebuffer: framebuffer, into: memory)
    case .plan9:
      state = try Plan9Boot.load(
        kernel, modules: modules, commandLine: commandLine, rsdp: rsdp, framebuffer: framebuffer, into: memory)
    case .bios, .uefi, .auto:
      throw HypervisorError(.configuration, "firmware starts no kernel from a file; give it a disk to boot from")
    }
    return LoadedKernel(
      method: method, state: state, framebufferRequest: try framebufferRequest(of: kernel, method: method))
  }
}
