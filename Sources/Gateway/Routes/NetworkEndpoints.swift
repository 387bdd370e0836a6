internal import Control
internal import Hummingbird
internal import Manifest

extension Endpoint {
  static let networks: [Endpoint] = [
    Endpoint(
      method: .get, path: "/v1/networks", role: .viewer,
      summary: "The networks, and which cards are connected to them.", reply: .json("NetworkList")
    ) { call in try await call.pass(ControlRequest(id: 0, op: .networkList), as: NetworkList.self) },
    Endpoint(
      method: .post, path: "/v1/networks", role: .admin, summary: "Makes a network.", body: "NewNetwork",
      reply: .json("NetworkList")
    ) { call in
      let network = try await call.body(ApplianceManifest.VirtualNetwork.self)
      return try await call.pass(ControlRequest(id: 0, op: .networkCreate, network: network), as: NetworkList.self)
    },
    Endpoint(
      method: .delete, path: "/v1/networks/{network}", role: .admin,
      summary: "Removes a network that was made while the appliance runs, to which nothing is connected.",
      reply: .json("NetworkList")
    ) { call in
      try await call.pass(
        ControlRequest(id: 0, op: .networkRemove, network: .init(name: call.name("network"), mode: .isolated)),
        as: NetworkList.self)
    },
    Endpoint(
      method: .post, path: "/v1/domains/{domain}/cards/{card}/link", role: .operator,
      summary: "Has the cable of one of a domain's cards, counted from 0, delay, lose or slow what goes over it.",
      body: "LinkConditions", reply: .json("NetworkList")
    ) { call in
      guard let card = Int(call.name("card")) else {
        throw Failure(.badRequest, ControlError(.malformedRequest, "a domain's cards are counted from 0"))
      }
      let link = try await call.body(LinkConditions.self)
      return try await call.pass(
        ControlRequest(id: 0, op: .networkLink, domain: call.name("domain"), card: card, link: link),
        as: NetworkList.self)
    },
  ]
}
