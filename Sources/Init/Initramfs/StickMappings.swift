internal import Identity
internal import Platform

/// Makes the mappings over a USB stick's partitions that let it be pulled out later (`StickKeeper`).
enum StickMappings {
  /// Modules that no device asks for.
  static let modules = ["dm-mod", "dm-multipath", "dm-round-robin"]

  /// What the partitions of a disk are for, by the mapping over each; empty where the disk may not be pulled out.
  ///
  /// - Parameter medium: the kernel's name of the partition with the medium.
  static func plan(for medium: String, in tree: BlockTree) -> [StickMapping: BlockNode] {
    // A stick without partitions has nothing but the medium, and the kernel gives a disk to one owner.
    guard let part = tree.nodes[medium], part.isUSB, part.isPartition else { return [:] }
    var plan = [StickMapping.medium: part]
    let storage = tree.parts(of: part.disk).first {
      $0.partitionName == StickPartition.storage.rawValue && $0.mapping == nil && !$0.isReadOnly
    }
    if let storage { plan[.storage] = storage }
    return plan
  }

  /// Makes them, and returns what is to be mounted for the medium: where something fails, the partition itself, as on a
  /// machine without device-mapper. Errors are errors until the machine has a keeper.
  static func make(over device: BlockDevice, _ modules: inout ModuleLoader) -> String {
    let plan = plan(for: device.name, in: BlockTree())
    guard let medium = plan[.medium] else { return device.path }
    modules.load(Self.modules)
    do throws(SystemError) {
      let mapper = try DeviceMapper()
      if !WriteCache.switchOff(disk: medium.disk) { Log.write("/dev/\(medium.disk) keeps its write cache") }
      for mapping in StickMapping.allCases {
        if let part = plan[mapping] { try mapping.use(part, isWaiting: false, mapper) }
      }
      return StickMapping.medium.path
    } catch {
      Log.write("\(device.path) cannot be pulled out while the machine runs: \(error)")
      remove()
      return device.path
    }
  }

  /// Takes down what an earlier way through left.
  static func remove() {
    guard Files.exists("/dev/mapper/control"), let mapper = try? DeviceMapper() else { return }
    for mapping in StickMapping.allCases {
      guard (try? mapper.info(of: mapping.rawValue)) != nil else { continue }
      do throws(SystemError) {
        try mapper.remove(mapping.rawValue)
        try Files.remove(mapping.path)
      } catch {
        // Something holds it still: it is made to lie over what is found then.
        Log.write("\(error)")
      }
    }
  }
}
