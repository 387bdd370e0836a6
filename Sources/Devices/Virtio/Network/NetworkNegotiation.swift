internal import Binary

/// What a network interface offers, and what a driver agreed to (virtio 1.2, 5.1.3 and 5.1.4): the same whoever serves its
/// queues.
struct NetworkNegotiation {
  /// Feature bits (5.1.3).
  enum Feature {
    static var checksum: UInt64 { 1 << 0 }
    static var guestChecksum: UInt64 { 1 << 1 }
    static var mac: UInt64 { 1 << 5 }
    static var guestTCP4: UInt64 { 1 << 7 }
    static var guestTCP6: UInt64 { 1 << 8 }
    static var hostTCP4: UInt64 { 1 << 11 }
    static var hostTCP6: UInt64 { 1 << 12 }
    static var mergeableBuffers: UInt64 { 1 << 15 }
    static var status: UInt64 { 1 << 16 }
  }

  /// Length of `struct virtio_net_hdr` in bytes (5.1.6): `num_buffers` at its end is not there in a legacy driver's without
  /// VIRTIO_NET_F_MRG_RXBUF (5.1.6.1).
  let headerCount: Int
  /// Whether a received frame may go on in the buffers that follow.
  let mergesBuffers: Bool
  /// What a received frame may have left open.
  let offloads: NetworkOffloads

  /// What follows from the features that the driver accepted.
  init(features: UInt64) {
    mergesBuffers = features & Feature.mergeableBuffers != 0
    headerCount = features & VirtioFeature.version1 != 0 || mergesBuffers ? 12 : 10
    var offloads: NetworkOffloads = []
    // Segmentation needs checksums that are left open (5.1.3.1).
    if features & Feature.guestChecksum != 0 {
      offloads.insert(.checksum)
      if features & Feature.guestTCP4 != 0 { offloads.insert(.tcp4) }
      if features & Feature.guestTCP6 != 0 { offloads.insert(.tcp6) }
    }
    self.offloads = offloads
  }

  /// The features that are offered on a port with `offloads`.
  static func features(_ offloads: NetworkOffloads) -> UInt64 {
    var features = Feature.mac | Feature.status
    guard offloads.contains(.checksum) else { return features }
    features |= Feature.checksum | Feature.guestChecksum
    if offloads.contains(.tcp4) { features |= Feature.hostTCP4 | Feature.guestTCP4 | Feature.mergeableBuffers }
    if offloads.contains(.tcp6) { features |= Feature.hostTCP6 | Feature.guestTCP6 | Feature.mergeableBuffers }
    return features
  }

  /// `struct virtio_net_config` (5.1.4): mac, status with the cable in, max_virtqueue_pairs, mtu.
  static func configuration(mac: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(capacity: 12)
    writer.raw(mac.prefix(6))
    writer.zeros(6 - min(6, mac.count))
    writer.little(UInt16(1))
    writer.little(UInt16(1))
    writer.little(UInt16(1500))
    return writer.bytes
  }
}
