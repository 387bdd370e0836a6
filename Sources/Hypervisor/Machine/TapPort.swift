internal import Devices
internal import Platform

/// A tap device as the guest's network port. Frames carry the same virtio header on both sides, so they pass untouched
/// between guest memory and the kernel.
final class TapPort: NetworkBackend, Sendable {
  let file: FileDescriptor
  private let memory: GuestRAM

  init(_ name: String, memory: GuestRAM) throws(HypervisorError) {
    self.memory = memory
    file = try refusal(
      .device, "the tap \(name) cannot be used; it needs root or an owner, and the module tun"
    ) { () throws(SystemError) in try FileDescriptor.tap(name) }
    // A tap remembers what another program agreed to.
    try? file.setTapOffloads(0)
  }

  var offloads: NetworkOffloads { [.checksum, .tcp4, .tcp6] }

  func setOffloads(_ offloads: NetworkOffloads) {
    // A tap that cannot leave checksums open hands over whole ones, which is right too.
    try? file.setTapOffloads(UInt32(offloads.rawValue))
  }

  func setHeaderCount(_ count: Int) -> Bool {
    do { try file.setTapHeader(count: Int32(clamping: count)) } catch { return false }
    return true
  }

  func transmit(_ segments: [GuestSegment]) {
    guard let runs = runs(segments) else { return }
    // A full queue or a tap that is down drops the frame, as a wire would.
    _ = try? file.write(from: memory.mapping, runs[...], at: nil)
  }

  func receive(into segments: [GuestSegment], rest: inout [UInt8]) -> Int? {
    guard let runs = runs(segments) else { return nil }
    return try? file.read(into: memory.mapping, runs[...], rest: &rest)
  }

  private func runs(_ segments: [GuestSegment]) -> [MappedRun]? {
    var runs: [MappedRun] = []
    runs.reserveCapacity(segments.count)
    for segment in segments {
      guard let offset = memory.offset(of: segment.address.rawValue, count: segment.count) else { return nil }
      runs.append(MappedRun(offset: offset, count: segment.count))
    }
    return runs
  }
}

/// The kernel's random numbers, for the guest.
struct KernelEntropy: EntropySource {
  func fill(_ destination: inout MutableSpan<UInt8>) {
    KernelRandom.fill(&destination)
  }
}
