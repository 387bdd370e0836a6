/// How a domain comes to run its system: a kernel entered directly, or firmware that looks for one.
public enum BootMethod: String, Sendable, Hashable, Codable, CaseIterable {
  /// Linux boot protocol, bzImage, 64-bit entry.
  case linux
  /// PVH: a 32-bit entry that an ELF note names.
  case pvh
  /// PVH, for a kernel that was made for Xen's hypercalls, as GRUB's is.
  case xenPVH = "xen-pvh"
  /// Multiboot, version 1 or 2, by the kernel's header.
  case multiboot
  /// What FreeBSD's loader hands to its kernel: 64-bit mode, metadata and environment.
  case freebsd
  /// Plan 9: an a.out or ELF kernel with its configuration text in low memory.
  case plan9
  /// A BIOS starts what is on the domain's disk, CD or floppy disk.
  case bios
  /// UEFI firmware does.
  case uefi

  /// True where firmware runs first, and no kernel is handed to the machine.
  public var isFirmware: Bool { self == .bios || self == .uefi }
}

/// What a domain's disk is attached to.
public enum DiskBus: String, Sendable, Hashable, Codable, CaseIterable {
  /// A virtio block device.
  case virtio
  /// A disk of the PIIX's IDE controller.
  case ide
  /// A disk of a virtio SCSI controller.
  case scsi
}

/// What a domain's network card is.
public enum NetworkModel: String, Sendable, Hashable, Codable, CaseIterable {
  /// A virtio network device.
  case virtio
  /// Intel's 82540EM, which every system since 2002 drives.
  case e1000
}

/// What a domain shows beside its serial line.
public enum Display: String, Sendable, Hashable, Codable, CaseIterable {
  /// Nothing.
  case nothing = "none"
  /// A VGA adapter.
  case vga
}

/// What processor a domain sees.
public enum CPUModel: String, Sendable, Hashable, Codable, CaseIterable {
  /// All that this machine's has and the monitor can virtualise.
  case host
  /// The same small set of features on every machine.
  case baseline
}
