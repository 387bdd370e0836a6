internal import Devices
internal import Platform

/// Gives back to the host what a guest's balloon or its reports of free pages say it does not need.
struct RAMBalloon: BalloonBackend {
  let memory: GuestRAM

  func discard(_ segment: GuestSegment) {
    guard let offset = memory.offset(of: segment.address.rawValue, count: segment.count) else { return }
    // A host that does not take it keeps it: the guest is not worse off.
    try? memory.mapping.discard(at: offset, count: segment.count)
  }
}
