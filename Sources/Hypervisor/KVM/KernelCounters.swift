internal import Binary
internal import CKVM
internal import Platform

/// What KVM counts of a CPU by itself, halts and hypercalls among them, which never reach this program
/// (Documentation/virt/kvm/api.rst, 4.133 "KVM_GET_STATS_FD"). Any thread may read.
final class KernelCounters: Sendable {
  /// The counters that are told, by KVM's names and ours.
  static let wanted: [(kernel: String, ours: String)] = [
    ("exits", "all"), ("halt_exits", "halt"), ("hypercalls", "hypercall"), ("irq_exits", "interrupt"),
  ]

  private let file: FileDescriptor
  /// Where in the file each of `wanted` is; nil for those that this KVM does not have.
  private let places: [Int?]

  /// The counters behind a descriptor that KVM gave; nil where they are not understood.
  init?(_ file: consuming FileDescriptor) {
    guard let head = try? file.read(upTo: 64 << 10, at: 0), let places = Self.places(in: head) else { return nil }
    self.file = file
    self.places = places
  }

  /// Adds what the counters say to `sums`, one for each of `wanted`.
  func add(to sums: inout [UInt64]) {
    for (index, place) in places.enumerated() {
      guard let place, let bytes = try? file.read(upTo: 8, at: place),
        let value = try? ByteReader(bytes).little(UInt64.self, at: 0)
      else { continue }
      sums[index] &+= value
    }
  }

  /// Finds the counters in the file's header and descriptors; nil where it is no such file.
  static func places(in bytes: [UInt8]) -> [Int?]? {
    let reader = ByteReader(bytes)
    do throws(TruncatedInput) {
      // struct kvm_stats_header: flags, name_size, num_desc, id_offset, desc_offset, data_offset.
      let nameSize = Int(try reader.little(UInt32.self, at: 4))
      let count = Int(try reader.little(UInt32.self, at: 8))
      let first = Int(try reader.little(UInt32.self, at: 16))
      let data = Int(try reader.little(UInt32.self, at: 20))
      guard nameSize <= 256, count <= 1024 else { return nil }
      var places: [Int?] = wanted.map { _ in nil }
      for index in 0..<count {
        // struct kvm_stats_desc: flags, exponent, size, offset, bucket_size, and the name.
        let start = first + index * (16 + nameSize)
        let flags = try reader.little(UInt32.self, at: start)
        let offset = Int(try reader.little(UInt32.self, at: start + 8))
        let name = try reader.slice(at: start + 16, length: nameSize).prefix { $0 != 0 }
        // Bits 0 to 3 are the type; a cumulative one of no unit is a count.
        guard flags == 0, let place = wanted.firstIndex(where: { $0.kernel.utf8.elementsEqual(name) }) else { continue }
        places[place] = data + offset
      }
      return places
    } catch {
      return nil
    }
  }
}

extension VirtualCPU {
  /// What KVM counts of this CPU; nil where it does not (before Linux 5.14).
  func makeCounters() -> KernelCounters? {
    guard let number = try? request(UInt(CKVM_GET_STATS_FD.rawValue), "KVM_GET_STATS_FD") else { return nil }
    return KernelCounters(FileDescriptor(adopting: number))
  }
}
