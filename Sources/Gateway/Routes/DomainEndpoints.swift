internal import Control
internal import Hummingbird
internal import Manifest

/// Something that a domain can be told: a line here is all that a new operation needs.
struct DomainOperation: Sendable {
  /// The end of its path.
  let verb: String
  let operation: ControlOperation
  let role: Role
  let summary: String
  /// The schema of its body, where it has one.
  var body: String?
  /// Takes what the operation needs beside the domain's name out of the request.
  var fill: @Sendable (inout ControlRequest, Call) async throws -> Void = { _, _ in }

  static let all = [
    DomainOperation(
      verb: "start", operation: .start, role: .operator, summary: "Starts a domain that is not live."),
    DomainOperation(
      verb: "stop", operation: .stop, role: .operator,
      summary: "Presses a domain's power button. The answer comes at once; events tell when it is off."),
    DomainOperation(
      verb: "reboot", operation: .reboot, role: .operator,
      summary: "Presses a domain's power button, and starts it again when it is off."),
    DomainOperation(
      verb: "destroy", operation: .destroy, role: .operator,
      summary: "Stops a domain at once, as if its plug were pulled."),
    DomainOperation(
      verb: "pause", operation: .pause, role: .operator,
      summary: "Has a domain's processors stand still. The answer comes when they do."),
    DomainOperation(
      verb: "unpause", operation: .unpause, role: .operator, summary: "Has a domain's processors go on."),
    DomainOperation(
      verb: "vcpu-set", operation: .processorSet, role: .operator,
      summary: "Gives a running domain the time of some of its virtual CPUs. Its guest keeps all of them.",
      body: "NewProcessors",
      fill: { request, call in request.cpus = try await call.body(NewProcessors.self).cpus }),
  ]

  var endpoint: Endpoint {
    Endpoint(
      method: .post, path: "/v1/domains/{domain}/\(verb)", role: role, summary: summary, body: body,
      reply: .json("DomainStatus")
    ) { call in
      var request = ControlRequest(id: 0, op: operation, domain: call.name("domain"))
      try await fill(&request, call)
      return try await call.pass(request, as: DomainStatus.self)
    }
  }
}

extension Endpoint {
  static let domains: [Endpoint] =
    [
      Endpoint(
        method: .get, path: "/v1/domains", role: .viewer, summary: "All domains, in the recipe's order.",
        reply: .json("DomainList")
      ) { call in
        let overview = try await call.ask(ControlRequest(id: 0, op: .list), as: Overview.self)
        return JSONAnswer.response(DomainList(domains: overview.domains))
      },
      Endpoint(
        method: .get, path: "/v1/domains/{domain}", role: .viewer, summary: "One domain.", reply: .json("DomainStatus")
      ) { call in
        let name = call.name("domain")
        let overview = try await call.ask(ControlRequest(id: 0, op: .list), as: Overview.self)
        guard let domain = overview.domains.first(where: { $0.name == name }) else {
          throw ControlError(.unknownDomain, "there is no domain of this name; GET /v1/domains lists them")
        }
        return JSONAnswer.response(domain)
      },
      Endpoint(
        method: .get, path: "/v1/domains/{domain}/info", role: .viewer, summary: "All that is known of a domain.",
        reply: .json("DomainInfo")
      ) { call in
        try await call.pass(ControlRequest(id: 0, op: .info, domain: call.name("domain")), as: DomainInfo.self)
      },
      Endpoint(
        method: .post, path: "/v1/domains/{domain}/limit", role: .operator,
        summary: "Changes what a domain may take of the machine.", body: "ResourceLimits", reply: .json("DomainInfo")
      ) { call in
        let limits = try await call.body(ResourceLimits.self)
        return try await call.pass(
          ControlRequest(id: 0, op: .limit, domain: call.name("domain"), limits: limits), as: DomainInfo.self)
      },
      Endpoint(
        method: .post, path: "/v1/domains", role: .admin,
        summary: "Makes a domain. What it begins as is copied first, which may take minutes.", body: "NewDomain",
        reply: .json("DomainStatus")
      ) { call in
        let domain = try await call.body(NewDomain.self)
        return try await call.pass(
          ControlRequest(id: 0, op: .create, spec: domain.spec, start: domain.start), as: DomainStatus.self)
      },
      Endpoint(
        method: .delete, path: "/v1/domains/{domain}", role: .admin,
        summary: "Forgets a domain that was made on the fly, and removes its disk.", reply: .json("Nothing")
      ) { call in
        try await call.pass(ControlRequest(id: 0, op: .remove, domain: call.name("domain")), as: Nothing.self)
      },
      Endpoint(
        method: .get, path: "/v1/domains/{domain}/console/tail", role: .viewer,
        summary: "The last bytes that a domain's console has shown.",
        query: [.init(name: "bytes", summary: "How many; 4000 if not given.", range: 1...ControlProtocol.maximumTail)],
        reply: .json("ConsoleTail")
      ) { call in
        let bytes = try call.number("bytes", in: 1...ControlProtocol.maximumTail)
        return try await call.pass(
          ControlRequest(id: 0, op: .tail, domain: call.name("domain"), bytes: bytes), as: ConsoleTail.self)
      },
    ] + DomainOperation.all.map(\.endpoint)

  static let appliance: [Endpoint] = [
    Endpoint(
      method: .get, path: "/v1/appliance", role: .viewer, summary: "The appliance as a whole.",
      reply: .json("ApplianceStatus")
    ) { call in
      let overview = try await call.ask(ControlRequest(id: 0, op: .list), as: Overview.self)
      return JSONAnswer.response(overview.appliance)
    },
    Endpoint(
      method: .post, path: "/v1/appliance/poweroff", role: .admin,
      summary: "Powers the appliance off, its domains first.", reply: .json("Nothing")
    ) { call in try await call.pass(ControlRequest(id: 0, op: .poweroff), as: Nothing.self) },
    Endpoint(
      method: .post, path: "/v1/appliance/reboot", role: .admin, summary: "Restarts the appliance, its domains first.",
      reply: .json("Nothing")
    ) { call in try await call.pass(ControlRequest(id: 0, op: .rebootHost), as: Nothing.self) },
  ]
}
