/// A device over the network as people are told of it, by whichever program.
public protocol RemoteDescription {
  /// What it is called.
  var name: String { get }
  /// Where it is, as `nbd://server:10809/export`.
  var address: String { get }
  /// What it is there for: `disk` or `room`.
  var purpose: String { get }
  /// The domain that has it.
  var attachedTo: String? { get }
  /// Its block device; nil while it is not connected.
  var device: String? { get }
  /// Its size in bytes, as long as it is connected.
  var bytes: Int? { get }
  /// Of a replicated volume: whether this machine may write to it.
  var isPrimary: Bool? { get }
}

extension RemoteDescription {
  /// All of it in one line, but for what is wrong with it.
  public var line: String {
    let size = bytes.map { ", \($0 >> 20) MiB" } ?? ""
    let place = device.map { "\($0)\(size)" } ?? "not connected"
    let role = isPrimary.map { $0 ? ", primary" : ", secondary" } ?? ""
    let domain = attachedTo.map { ", attached to \($0)" } ?? ""
    return "\(name): \(address), \(purpose), \(place)\(role)\(domain)"
  }
}
