internal import Platform

/// Whether this machine can run domains.
enum HardwareVirtualisation {
  /// The kernel's device.
  static let device = "/dev/kvm"

  /// What to tell when it cannot.
  static let missing = """
    this machine offers no hardware virtualisation (there is no /dev/kvm): enable SVM (AMD) or VT-x (Intel) in the \
    firmware setup; under QEMU use -cpu host with nested KVM, or -accel tcg -cpu qemu64,+svm,+npt
    """

  /// Nil when domains can run; otherwise why not.
  static func objection(device: String = device) -> String? {
    Files.exists(device) ? nil : missing
  }
}
