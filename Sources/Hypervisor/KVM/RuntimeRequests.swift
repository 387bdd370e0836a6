internal import CKVM

/// Requests that a machine makes of KVM while its guest runs; all else is done before.
enum RuntimeRequests {
  /// The numbers, the frequent ones first.
  static let numbers: [UInt32] = [
    CKVM_RUN, CKVM_IRQ_LINE, CKVM_SIGNAL_MSI, CKVM_SET_GSI_ROUTING, CKVM_IOEVENTFD, CKVM_SET_USER_MEMORY_REGION,
    CKVM_GET_MP_STATE, CKVM_GET_REGS, CKVM_SET_REGS, CKVM_GET_SREGS, CKVM_SET_SREGS, CKVM_SET_MSRS, CKVM_KVMCLOCK_CTRL,
  ].map { UInt32(truncatingIfNeeded: $0.rawValue) }
}
