internal import Devices
internal import Platform

/// A display adapter's memory: this process's, which the guest reaches directly through the linear framebuffer.
final class VideoMemory: DisplayMemory, Sendable {
  /// 16 MiB: 2560 by 1600 pixels of 32 bits.
  static let standardCount = 16 << 20

  let memory: SharedMemory

  init(count: Int = VideoMemory.standardCount) throws(HypervisorError) {
    memory = try SharedMemory(zeros: count, "the screen")
  }

  var count: Int { memory.mapping.count }

  func load(at offset: Int) -> UInt8 { memory.mapping.load(at: offset) }

  func store(_ byte: UInt8, at offset: Int) { memory.mapping.store(byte, at: offset) }

  func loadPlanes(at offset: Int) -> UInt32 { UInt32(littleEndian: memory.mapping.load(at: offset)) }

  func storePlanes(_ value: UInt32, at offset: Int) { memory.mapping.store(value.littleEndian, at: offset) }

  func read(at offset: Int, into row: inout MutableSpan<UInt8>) { memory.mapping.read(at: offset, into: &row) }

  func fill(_ range: Range<Int>, with byte: UInt8) {
    memory.mapping.fill(at: range.lowerBound, count: range.count, with: byte)
  }
}
