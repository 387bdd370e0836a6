public import Manifest

extension ControlClient {
  /// The appliance's networks, and which cards are connected to them.
  public func networks() throws(ControlError) -> NetworkList {
    try call(ControlRequest(id: 0, op: .networkList))
  }

  /// Makes a network; all that there are then.
  @discardableResult
  public func createNetwork(_ network: ApplianceManifest.VirtualNetwork) throws(ControlError) -> NetworkList {
    try call(ControlRequest(id: 0, op: .networkCreate, network: network), within: 60)
  }

  /// Removes a network that was made while the appliance runs; all that there are then.
  @discardableResult
  public func removeNetwork(_ name: String) throws(ControlError) -> NetworkList {
    try call(ControlRequest(id: 0, op: .networkRemove, network: .init(name: name, mode: .isolated)))
  }

  /// Has the cable of one of a domain's cards do what `change` says; all networks then.
  @discardableResult
  public func setLink(
    of domain: String, card: Int = 0, _ change: LinkConditions
  ) throws(ControlError) -> NetworkList {
    try call(ControlRequest(id: 0, op: .networkLink, domain: domain, card: card, link: change), within: 60)
  }
}
