internal import Devices
internal import Platform
internal import Synchronization

extension Machine {
  /// Makes the PCI functions in the order of their device numbers: disks, networks, console, entropy.
  func makeFunctions() throws(HypervisorError) {
    for disk in configuration.disks where disk.bus == .virtio { try makeDisk(disk) }
    try makeSCSI()
    for network in configuration.networks {
      switch network.model {
      case .virtio: try makeNetwork(network)
      case .e1000: try makeE1000(network)
      }
    }
    if let console = configuration.console { try makeVirtioConsole(console) }
    if configuration.hasEntropy { try makeEntropy() }
    if configuration.hasBalloon {
      let backend = RAMBalloon(memory: memory, reports: memoryService.reports)
      memoryService.balloon = try attach(VirtioBalloon<GuestRAM, RAMBalloon>(backend), named: "the memory balloon")
    }
    if !memory.growth.isEmpty {
      let blocks = RAMBlocks(memory, owner) { [vhosts] in vhosts.allSatisfy { $0.showMemory() } }
      let device = VirtioMem<GuestRAM, RAMBlocks>(
        blocks, region: GuestAddress(memory.growth.lowerBound),
        blockCount: memory.growth.count / Int(GuestRAM.blockBytes), blockBytes: GuestRAM.blockBytes)
      memoryService.growth = try attach(device, named: "the memory that comes and goes")
    }
  }

  /// The next free place on the bus.
  private func nextAddress() throws(HypervisorError) -> PCIAddress {
    let first = configuration.hasDisplay ? Board.firstDevice : Board.firstDevice - 1
    let number = Int(first) + functions.count
    guard number < 32 else {
      throw HypervisorError(.configuration, "more devices than one PCI bus has room for; give the domain fewer")
    }
    return PCIAddress(device: UInt8(number))
  }

  private func makeDisk(_ disk: MachineConfiguration.Disk) throws(HypervisorError) {
    let backend = try FileDisk(
      path: disk.path, isReadOnly: disk.isReadOnly, identifier: disk.identifier, memory: memory)
    let device = VirtioBlock<GuestRAM, FileDisk>(backend)
    var bell: QueueEvent?
    let function = try attach(device, named: "the disk \(disk.path)", onWired: { bell = $0.doorbells.first })
    disks.append(
      DiskService(
        disk: backend,
        bell: bell.map { DiskBell($0) { [unowned function] in function.serve(queue: 0, asksForNotice: $0) } },
        complete: { [unowned function] in function.complete($0) },
        resize: { [unowned function] in function.resize(capacity: $0) }))
    bootable.disks.append(.virtioBlock(functions[functions.count - 1].0))
  }

  /// Has a disk served. Where there are workers instead of a ring, the event loop answers its doorbell.
  func start(
    _ disk: FileDisk, bell: DiskBell? = nil, complete: @escaping DiskEngine.Completion
  ) throws(HypervisorError) {
    guard case .workers(_, let refused) = try disk.start(bell: bell, rings: rings, complete: complete) else { return }
    if let refused {
      configuration.log("the disk \(disk.path) is served by threads: there is no io_uring (\(refused))")
    }
    if let bell { try answer(bell.doorbell) { bell.serve(true) } }
  }

  /// Has the event loop answer an event of a queue.
  private func answer(_ event: QueueEvent, by serve: @escaping () -> Void) throws(HypervisorError) {
    try refusal(.system, "a queue cannot be awaited") { () throws(SystemError) in
      _ = try loop.add(event.event.file.rawValue, .readable) { _ in
        _ = try? event.event.take()
        serve()
      }
    }
  }

  private func makeNetwork(_ network: MachineConfiguration.Network) throws(HypervisorError) {
    typealias Device = VirtioNetwork<GuestRAM, TapPort>
    let port = try TapPort(network.tap, memory: memory)
    if network.usesKernel, let server = try VhostPort(port, memory: memory, log: configuration.log) {
      return try makeServedNetwork(network, server)
    }
    let pump = NetworkPump(loop, log: configuration.log)
    let function = try attach(
      Device(port, mac: network.mac), named: "the network interface on \(network.tap)",
      ringsAtStart: Device.receiveQueue
    ) { function, queue in
      if queue == Device.receiveQueue { pump.pump() } else { function.serve(queue: queue) }
    }
    try pump.start(port.file.rawValue, network.tap) { function.receiveFrames() }
    bootable.networks.append(.network(functions[functions.count - 1].0))
  }

  /// An interface whose queues the kernel serves.
  private func makeServedNetwork(
    _ network: MachineConfiguration.Network, _ server: VhostPort
  ) throws(HypervisorError) {
    let function = try attach(
      ServedNetwork<GuestRAM, VhostPort>(server, mac: network.mac), named: "the network interface on \(network.tap)",
      onWired: { server.wire($0) })
    for queue in server.used.indices {
      try answer(server.used[queue]) { [unowned function] in function.interrupt(queue: queue) }
      try answer(server.failed[queue]) { [unowned function] in function.serverRefused(queue: queue) }
    }
    vhosts.append(server)
    bootable.networks.append(.network(functions[functions.count - 1].0))
  }

  private func makeE1000(_ network: MachineConfiguration.Network) throws(HypervisorError) {
    let address = try nextAddress()
    let tap = try FrameTap(network.tap)
    let room = try refusal(.system, "no event can be made") { () throws(SystemError) in try RoomEvent() }
    let function = E1000(
      memory: memory, frames: tap, mac: network.mac, interrupt: wires.input(PCIBus.wire(device: address.device)),
      onRoom: { room.signal() })
    functions.append((address, function))
    let pump = NetworkPump(loop, log: configuration.log)
    try pump.start(tap.file.rawValue, network.tap) { function.receiveFrames() }
    try refusal(.system, "the network cannot be awaited") { () throws(SystemError) in
      _ = try loop.add(room.event.file.rawValue, .readable) { _ in
        _ = try? room.event.take()
        pump.pump()
      }
    }
    bootable.networks.append(.network(address))
  }

  private func makeVirtioConsole(_ console: MachineConfiguration.Console) throws(HypervisorError) {
    let outbox = try Outbox()
    let function = try attach(VirtioConsole<GuestRAM, Outbox>(outbox), named: "the virtio console")
    try makeConsole(console, outbox: outbox) { function.receive($0) }
  }

  private func makeEntropy() throws(HypervisorError) {
    _ = try attach(VirtioEntropy<GuestRAM, KernelEntropy>(KernelEntropy()), named: "the entropy source")
  }

  /// Puts a device on the PCI bus, with its interrupts and doorbells, which the event loop serves.
  ///
  /// - Parameters:
  ///   - ringsAtStart: a queue whose doorbell rings when the driver is ready, for what waits for it by then.
  ///   - serve: what a queue's doorbell does where that is not to serve the queue.
  ///   - onWired: gets the doorbells of the queues and the interrupts, where it is not for the event loop to answer them.
  func attach<Device: VirtioDevice>(
    _ device: Device, named name: String, ringsAtStart: Int? = nil,
    serve: ((VirtioPCI<Device, FunctionInterrupts>, Int) -> Void)? = nil,
    onWired: ((FunctionWiring) -> Void)? = nil
  ) throws(HypervisorError) -> VirtioPCI<Device, FunctionInterrupts> where Device.Memory == GuestRAM {
    typealias Function = VirtioPCI<Device, FunctionInterrupts>
    let address = try nextAddress()
    let interrupts = try FunctionInterrupts(
      router, machine: owner, line: wires.input(PCIBus.wire(device: address.device)),
      vectors: device.queueSizes.count + 1)
    let log = configuration.log
    let bells = Bells()
    let function = Function(
      device, memory: memory, interrupts: interrupts,
      onFailure: { error in
        log(
          "\(name) stopped: the guest's driver broke the protocol (\(error)); it works again when the guest resets it")
      }, onStart: { if let ringsAtStart { bells.ring(ringsAtStart) } }, onBacklog: { bells.ring($0) })
    functions.append((address, function))
    let events = try doorbells.register(
      function, bar: Function.doorbellBar,
      offsets: (0..<function.queueCount).map { Function.doorbellOffset(queue: $0) },
      legacy: function.isTransitional ? (Function.legacyDoorbell.bar, Function.legacyDoorbell.offset) : nil)
    bells.events.withLock { $0 = events }
    if let onWired {
      onWired(FunctionWiring(doorbells: events, interrupts: interrupts))
      return function
    }
    for (queue, bell) in events.enumerated() {
      try answer(bell) { if let serve { serve(function, queue) } else { function.serve(queue: queue) } }
    }
    return function
  }
}

/// Rings a queue's doorbell again when a visit has left buffers behind.
private final class Bells: Sendable {
  let events = Mutex<[QueueEvent]>([])

  func ring(_ queue: Int) {
    events.withLock { events in
      if events.indices.contains(queue) { try? events[queue].event.signal() }
    }
  }
}

/// Says from any thread that a guest can receive again.
private final class RoomEvent: Sendable {
  let event: EventDescriptor

  init() throws(SystemError) {
    event = try EventDescriptor()
  }

  func signal() {
    try? event.signal()
  }
}

/// A disk on a virtio controller: who serves it, and where what it did goes.
struct DiskService {
  let disk: FileDisk
  /// The doorbell of the disk's own queue; a controller of several disks has one for all, which the event loop answers.
  var bell: DiskBell?
  let complete: DiskEngine.Completion
  /// Its number, on a SCSI controller.
  var target: Int?
  /// It was detached, and something of it is in flight.
  var isLeaving = false
  /// Tells the guest another size, in bytes.
  let resize: (UInt64) -> Void
}
