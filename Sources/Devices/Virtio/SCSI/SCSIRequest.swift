/// A logical unit's address (virtio 1.2, 5.6.6.1): 1, the target, then the unit in two bytes of SAM's flat form.
struct SCSIUnitAddress: Sendable {
  /// The target; nil for an address of another form.
  let target: Int?
  /// The logical unit number.
  let unit: Int

  /// Reads the eight bytes at `offset`; the caller knows that they are there.
  init(_ bytes: [UInt8], at offset: Int) {
    target = bytes[offset] == 1 ? Int(bytes[offset + 1]) : nil
    unit = Int(bytes[offset + 2] & 0x3F) << 8 | Int(bytes[offset + 3])
  }
}

/// The driver's requests (`struct virtio_scsi_req_cmd`; virtio 1.2, 5.6.6.1), cut into what is read, what is written,
/// and the response between.
struct SCSIRequest: Sendable {
  /// Response codes.
  enum Response {
    static let ok: UInt8 = 0
    static let overrun: UInt8 = 1
    static let aborted: UInt8 = 2
    static let badTarget: UInt8 = 3
    static let reset: UInt8 = 4
    static let failure: UInt8 = 9
    static let functionSucceeded: UInt8 = 10
    static let functionRejected: UInt8 = 11
    static let incorrectUnit: UInt8 = 12
  }

  /// SCSI status (SAM-3, 5.3).
  enum Status {
    static let good: UInt8 = 0x00
    static let checkCondition: UInt8 = 0x02
  }

  /// Bytes before the command: address, id, attributes.
  static let prefixCount = 19
  /// Bytes of the response before the sense data.
  static let responseCount = 12
  /// Largest command and sense data that a driver may ask for, in bytes.
  static let sizeLimit = 256

  /// Which unit.
  var address: SCSIUnitAddress
  /// What the driver calls it, for task management.
  var tag: UInt64
  /// The command.
  var command: SCSICommand
  /// Data for the device.
  var dataOut: [GuestSegment]
  /// Where data for the guest goes.
  var dataIn: [GuestSegment]
  /// Where the response goes: 12 bytes and the sense data.
  var response: [GuestSegment]
  var dataOutCount: Int
  var dataInCount: Int

  /// Parses a chain, however it is cut into descriptors. `scratch` is at least `prefixCount + sizeLimit` long.
  init(
    _ chain: DescriptorChain, commandCount: Int, senseCount: Int, scratch: inout [UInt8], _ memory: some GuestMemory
  ) throws(VirtioError) {
    let header = Self.prefixCount + commandCount
    let answer = Self.responseCount + senseCount
    guard chain.readableCount >= header else {
      throw .malformedRequest("a SCSI request is shorter than its header and command")
    }
    guard chain.writableCount >= answer else {
      throw .malformedRequest("a SCSI request has no room for its response")
    }
    for segment in chain.readable where !memory.contains(segment) {
      throw .memory(GuestMemoryError(.read, address: segment.address, count: segment.count))
    }
    for segment in chain.writable where !memory.contains(segment) {
      throw .memory(GuestMemoryError(.write, address: segment.address, count: segment.count))
    }
    var span = scratch.mutableSpan
    var part = span._mutatingExtracting(0..<header)
    _ = try DescriptorChain.copy(from: chain.readable, at: 0, into: &part, memory)
    address = SCSIUnitAddress(scratch, at: 0)
    tag = BlockRequest.little(scratch, at: 8, count: 8)
    command = SCSICommand(scratch.span.extracting(Self.prefixCount..<header))
    dataOut = DescriptorChain.slice(chain.readable, dropping: header)
    response = DescriptorChain.slice(chain.writable, dropping: 0, limit: answer)
    dataIn = DescriptorChain.slice(chain.writable, dropping: answer)
    dataOutCount = chain.readableCount - header
    dataInCount = chain.writableCount - answer
  }
}
