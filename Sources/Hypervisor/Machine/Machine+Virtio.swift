internal import Devices
internal import Platform

extension Machine {
  /// Makes the virtio functions in the order of their PCI device numbers, from 2 on: disks, networks, console, entropy.
  func makeVirtioDevices() throws(HypervisorError) {
    let count =
      configuration.disks.count + configuration.networks.count + (configuration.console == nil ? 0 : 1)
      + (configuration.hasEntropy ? 1 : 0)
    guard count <= 30 else {
      throw HypervisorError(.configuration, "\(count) devices do not fit on one PCI bus, which has room for 30")
    }
    for disk in configuration.disks { try makeDisk(disk) }
    for network in configuration.networks { try makeNetwork(network) }
    if let console = configuration.console { try makeVirtioConsole(console) }
    if configuration.hasEntropy { try makeEntropy() }
  }

  private func makeDisk(_ disk: MachineConfiguration.Disk) throws(HypervisorError) {
    let backend = try FileDisk(
      path: disk.path, isReadOnly: disk.isReadOnly, identifier: disk.identifier, memory: memory)
    let device = VirtioBlock<GuestRAM, FileDisk>(backend)
    let function = try attach(device, named: "the disk \(disk.path)")
    try serveQueues(of: function)
    disks.append((backend, { [unowned function] in function.complete($0, with: $1) }))
  }

  private func makeNetwork(_ network: MachineConfiguration.Network) throws(HypervisorError) {
    let port = try TapPort(network.tap, memory: memory)
    let function = try attach(
      VirtioNetwork<GuestRAM, TapPort>(port, mac: network.mac), named: "the network interface on \(network.tap)")
    let pump = NetworkPump(loop, port) { function.receiveFrames() }
    try refusal(.device, "the tap \(network.tap) cannot be awaited") { () throws(SystemError) in try pump.register() }
    try serveQueues(of: function) { queue in
      if queue == VirtioNetwork<GuestRAM, TapPort>.receiveQueue {
        pump.pump()
      } else {
        function.serve(queue: queue)
      }
    }
  }

  private func makeVirtioConsole(_ console: MachineConfiguration.Console) throws(HypervisorError) {
    let outbox = try Outbox()
    let function = try attach(VirtioConsole<GuestRAM, Outbox>(outbox), named: "the virtio console")
    try serveQueues(of: function)
    try makeConsole(console, outbox: outbox) { function.receive($0) }
  }

  private func makeEntropy() throws(HypervisorError) {
    let function = try attach(VirtioEntropy<GuestRAM, KernelEntropy>(KernelEntropy()), named: "the entropy source")
    try serveQueues(of: function)
  }

  /// Puts a device on the PCI bus, with its interrupts.
  private func attach<Device: VirtioDevice>(
    _ device: Device, named name: String
  ) throws(HypervisorError) -> VirtioPCI<Device, FunctionInterrupts> where Device.Memory == GuestRAM {
    let number = UInt8(2 + functions.count)
    let interrupts = try FunctionInterrupts(
      router, machine: owner, line: wire(device: number), vectors: device.queueSizes.count + 1)
    let log = configuration.log
    let function = VirtioPCI(device, memory: memory, interrupts: interrupts) { error in
      log("\(name) stopped: the guest's driver broke the protocol (\(error)); it works again when the guest resets it")
    }
    functions.append((PCIAddress(device: number), function))
    return function
  }

  /// Serves every queue's doorbell on the event loop.
  private func serveQueues<Device: VirtioDevice>(
    of function: VirtioPCI<Device, FunctionInterrupts>, _ serve: ((Int) -> Void)? = nil
  ) throws(HypervisorError) {
    typealias Function = VirtioPCI<Device, FunctionInterrupts>
    let events = try doorbells.register(
      function, bar: Function.doorbellBar,
      offsets: (0..<function.queueCount).map { Function.doorbellOffset(queue: $0) })
    for (queue, bell) in events.enumerated() {
      try refusal(.system, "a queue cannot be awaited") { () throws(SystemError) in
        _ = try loop.add(bell.event.file.rawValue, .readable) { _ in
          _ = try? bell.event.take()
          if let serve { serve(queue) } else { function.serve(queue: queue) }
        }
      }
    }
  }
}

/// Moves frames from a tap to the guest, and waits for the tap only while the guest has room for them.
/// Belongs to the event loop.
private final class NetworkPump {
  private let loop: EventLoop
  private let port: TapPort
  private let receive: () -> Bool
  private var token: UInt64 = 0
  private var isWaiting = true

  init(_ loop: EventLoop, _ port: TapPort, receive: @escaping () -> Bool) {
    self.loop = loop
    self.port = port
    self.receive = receive
  }

  func register() throws(SystemError) {
    token = try loop.add(port.file.rawValue, .readable) { [self] _ in pump() }
  }

  func pump() {
    let hasRoom = receive()
    guard hasRoom != isWaiting else { return }
    isWaiting = hasRoom
    loop.change(token, port.file.rawValue, hasRoom ? .readable : [])
  }
}
