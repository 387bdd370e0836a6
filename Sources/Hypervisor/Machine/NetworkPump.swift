internal import Platform

/// Moves frames from a tap to the guest, and waits for the tap only while the guest has room for them.
/// Belongs to the event loop.
final class NetworkPump {
  private let loop: EventLoop
  private let log: (String) -> Void
  private var descriptor: Int32 = -1
  private var receive: () -> Bool = { false }
  private var token: UInt64?
  private var isWaiting = true

  init(_ loop: EventLoop, log: @escaping (String) -> Void) {
    self.loop = loop
    self.log = log
  }

  /// Pumps from the tap `name` at `descriptor`; `receive` moves what waits and says whether the guest has room.
  func start(_ descriptor: Int32, _ name: String, receive: @escaping () -> Bool) throws(HypervisorError) {
    self.descriptor = descriptor
    self.receive = receive
    token = try refusal(.device, "the tap \(name) cannot be awaited") { () throws(SystemError) in
      try loop.add(descriptor, .readable) { [self] readiness in
        // So says a tap that somebody removed, and it says nothing else any more.
        if readiness.contains(.error) { forget(name) } else { pump() }
      }
    }
  }

  func pump() {
    guard let token else { return }
    let hasRoom = receive()
    guard hasRoom != isWaiting else { return }
    isWaiting = hasRoom
    loop.change(token, descriptor, hasRoom ? .readable : [])
  }

  private func forget(_ name: String) {
    guard let token else { return }
    self.token = nil
    loop.remove(token, descriptor)
    log("the tap \(name) is gone: the guest hears nothing on it until the domain is started again")
  }
}
