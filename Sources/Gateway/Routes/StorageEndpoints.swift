internal import Control
internal import Hummingbird
internal import Manifest

extension Endpoint {
  static let storage: [Endpoint] = [
    Endpoint(
      method: .get, path: "/v1/storage", role: .viewer,
      summary: "Whether the guests' storage is there, and how full it is.", reply: .json("StorageStatus")
    ) { call in try await call.pass(ControlRequest(id: 0, op: .storage), as: StorageStatus.self) }
  ]

  static let disks: [Endpoint] = [
    Endpoint(
      method: .get, path: "/v1/disks", role: .viewer, summary: "All volumes of the guests' storage.",
      reply: .json("DiskList")
    ) { call in try await call.pass(ControlRequest(id: 0, op: .diskList), as: DiskList.self) },
    Endpoint(
      method: .post, path: "/v1/disks", role: .operator, summary: "Makes an empty disk.", body: "NewDisk",
      reply: .json("DiskResult")
    ) { call in
      let disk = try await call.body(NewDisk.self)
      return try await call.pass(
        ControlRequest(id: 0, op: .diskCreate, bytes: disk.bytes, disk: disk.name), as: DiskResult.self)
    },
    Endpoint(
      method: .delete, path: "/v1/disks/{disk}", role: .admin, summary: "Removes a disk and what is on it.",
      reply: .json("DiskResult")
    ) { call in try await call.change(.diskDestroy) },
    Endpoint(
      method: .post, path: "/v1/disks/{disk}/resize", role: .operator, summary: "Makes a disk larger.",
      body: "NewSize", reply: .json("DiskResult")
    ) { call in
      let size = try await call.body(NewSize.self)
      return try await call.change(.diskResize) { $0.bytes = size.bytes }
    },
    Endpoint(
      method: .post, path: "/v1/disks/{disk}/snapshot", role: .operator,
      summary: "Keeps what a disk is now under a name of its own.", body: "SnapshotName", reply: .json("DiskResult")
    ) { call in
      let name = try await call.body(SnapshotName.self)
      return try await call.change(.diskSnapshot) { $0.snapshot = name.snapshot }
    },
    Endpoint(
      method: .post, path: "/v1/disks/{disk}/rollback", role: .admin,
      summary: "Makes a disk what one of its snapshots is; what was written since is lost.", body: "SnapshotName",
      reply: .json("DiskResult")
    ) { call in
      let name = try await call.body(SnapshotName.self)
      return try await call.change(.diskRollback) { $0.snapshot = name.snapshot }
    },
    Endpoint(
      method: .post, path: "/v1/disks/{disk}/clone", role: .operator,
      summary: "Makes a copy of a disk that goes its own way.", body: "CloneName", reply: .json("DiskResult")
    ) { call in
      let name = try await call.body(CloneName.self)
      return try await call.change(.diskClone) { $0.clone = name.clone }
    },
    Endpoint(
      method: .post, path: "/v1/disks/{disk}/attach", role: .operator,
      summary: "Gives a disk to a domain, beside its own.", body: "DomainName", reply: .json("DiskResult")
    ) { call in
      let name = try await call.body(DomainName.self)
      return try await call.change(.diskAttach) { $0.domain = name.domain }
    },
    Endpoint(
      method: .post, path: "/v1/disks/{disk}/detach", role: .operator,
      summary: "Takes a disk from the domain that has it.", reply: .json("DiskResult")
    ) { call in try await call.change(.diskDetach) },
  ]

  static let remotes: [Endpoint] = [
    Endpoint(
      method: .get, path: "/v1/remotes", role: .viewer, summary: "What comes over the network.",
      reply: .json("RemoteList")
    ) { call in
      let storage = try await call.ask(ControlRequest(id: 0, op: .storage), as: StorageStatus.self)
      return JSONAnswer.response(RemoteList(remotes: storage.remotes ?? []))
    },
    Endpoint(
      method: .post, path: "/v1/remotes", role: .admin, summary: "Connects a device over the network.",
      body: "NewRemote", reply: .json("RemoteStatus")
    ) { call in
      let remote = try await call.body(NewRemote.self)
      return try await call.pass(
        ControlRequest(
          id: 0, op: .remoteConnect, disk: remote.name, address: remote.address, use: remote.use ?? "disk",
          force: remote.wipe == true ? true : nil), as: RemoteStatus.self)
    },
    Endpoint(
      method: .delete, path: "/v1/remotes/{disk}", role: .admin,
      summary: "Lets a device go that was connected by hand.", reply: .json("DiskResult")
    ) { call in try await call.change(.remoteDisconnect) },
    Endpoint(
      method: .post, path: "/v1/remotes/{disk}/promote", role: .admin,
      summary: "Has this machine write to a replicated volume.", body: "Promotion", reply: .json("RemoteStatus")
    ) { call in
      let promotion = try await call.body(Promotion.self)
      return try await call.pass(
        ControlRequest(id: 0, op: .remotePromote, disk: call.name("disk"), force: promotion.force ? true : nil),
        as: RemoteStatus.self)
    },
    Endpoint(
      method: .post, path: "/v1/remotes/{disk}/demote", role: .admin,
      summary: "Has the other machine write to a replicated volume.", reply: .json("RemoteStatus")
    ) { call in
      try await call.pass(ControlRequest(id: 0, op: .remoteDemote, disk: call.name("disk")), as: RemoteStatus.self)
    },
  ]
}

extension Call {
  /// Asks for a change of the path's disk.
  fileprivate func change(
    _ operation: ControlOperation, _ fill: (inout ControlRequest) -> Void = { _ in }
  ) async throws -> Response {
    var request = ControlRequest(id: 0, op: operation, disk: name("disk"))
    fill(&request)
    return try await pass(request, as: DiskResult.self)
  }
}
