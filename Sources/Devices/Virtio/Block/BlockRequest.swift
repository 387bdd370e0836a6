/// The driver's requests (`struct virtio_blk_req`; virtio 1.2, 5.2.6).
struct BlockRequest: Sendable {
  /// Request types.
  enum Kind: Sendable, Equatable {
    case read, write, flush, identifier, discard, writeZeroes
    case unknown(UInt32)

    init(_ code: UInt32) {
      switch code {
      case 0: self = .read
      case 1: self = .write
      case 4: self = .flush
      case 8: self = .identifier
      case 11: self = .discard
      case 13: self = .writeZeroes
      default: self = .unknown(code)
      }
    }
  }

  /// Status bytes.
  enum Status {
    static let ok: UInt8 = 0
    static let ioError: UInt8 = 1
    static let unsupported: UInt8 = 2
  }

  static let headerCount = 16  // bytes
  static let sectorCount: UInt64 = 512  // bytes
  static let identifierCount = 20  // bytes

  var kind: Kind
  var sector: UInt64
  /// Data that the device reads (writes, discards), or that it writes (reads, identifier).
  var data: [GuestSegment]
  /// Where the status byte goes.
  var statusAddress: GuestAddress

  /// Parses a chain: a 16-byte header, data, and the status in the last writable byte; however it is cut into
  /// descriptors (2.7.4.1).
  init(_ chain: DescriptorChain, _ memory: some GuestMemory) throws(VirtioError) {
    guard let last = chain.writable.last,
      let status = last.address.advanced(by: UInt64(last.count - 1))
    else { throw .malformedRequest("a block request has no room for its status") }
    guard memory.contains(GuestSegment(address: status, count: 1)) else {
      throw .memory(GuestMemoryError(.write, address: status, count: 1))
    }
    var header = [UInt8](repeating: 0, count: Self.headerCount)
    var span = header.mutableSpan
    guard try DescriptorChain.copy(from: chain.readable, at: 0, into: &span, memory) == Self.headerCount else {
      throw .malformedRequest("a block request's header is shorter than 16 bytes")
    }
    statusAddress = status
    kind = Kind(UInt32(truncatingIfNeeded: Self.little(header, at: 0, count: 4)))
    sector = Self.little(header, at: 8, count: 8)
    switch kind {
    case .read, .identifier:
      data = DescriptorChain.slice(chain.writable, dropping: 0, limit: chain.writableCount - 1)
    case .write, .discard, .writeZeroes:
      data = DescriptorChain.slice(chain.readable, dropping: Self.headerCount)
    case .flush, .unknown:
      data = []
    }
    for segment in data where !memory.contains(segment) {
      throw .memory(GuestMemoryError(.read, address: segment.address, count: segment.count))
    }
  }

  /// `count` bytes at `offset`, least significant first; the caller knows that they are there.
  static func little(_ bytes: [UInt8], at offset: Int, count: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
    return value
  }
}

/// One range of a discard or write-zeroes request (`struct virtio_blk_discard_write_zeroes`).
struct BlockRange: Sendable {
  static let byteCount = 16

  var sector: UInt64
  var sectors: UInt32
  var flags: UInt32

  init(_ bytes: [UInt8]) {
    sector = BlockRequest.little(bytes, at: 0, count: 8)
    sectors = UInt32(truncatingIfNeeded: BlockRequest.little(bytes, at: 8, count: 4))
    flags = UInt32(truncatingIfNeeded: BlockRequest.little(bytes, at: 12, count: 4))
  }
}
