internal import Control
internal import Manifest

/// What the interface's messages are, for the OpenAPI document. A test holds them against the types that are sent.
struct Schema: Sendable {
  /// What a field is.
  indirect enum Kind: Sendable {
    case text, integer, number, flag
    /// One of some words.
    case words([String])
    /// A message of another schema.
    case message(String)
    case list(Kind)

    var json: JSONValue {
      switch self {
      case .text: ["type": "string"]
      case .integer: ["type": "integer", "format": "int64"]
      case .number: ["type": "number"]
      case .flag: ["type": "boolean"]
      case .words(let words): ["type": "string", "enum": .list(words.map { .text($0) })]
      case .message(let name): ["$ref": .text("#/components/schemas/\(name)")]
      case .list(let kind): ["type": "array", "items": kind.json]
      }
    }
  }

  /// A field of a message.
  struct Field: Sendable {
    let name: String
    let kind: Kind
    let summary: String
    let isRequired: Bool

    static func required(_ name: String, _ kind: Kind, _ summary: String) -> Field {
      Field(name: name, kind: kind, summary: summary, isRequired: true)
    }

    static func optional(_ name: String, _ kind: Kind, _ summary: String) -> Field {
      Field(name: name, kind: kind, summary: summary, isRequired: false)
    }
  }

  let name: String
  let summary: String
  let fields: [Field]

  var json: JSONValue {
    var properties: [String: JSONValue] = [:]
    for field in fields {
      guard case .object(var property) = field.kind.json else { continue }
      property["description"] = .text(field.summary)
      properties[field.name] = .object(property)
    }
    let required = fields.filter(\.isRequired).map(\.name).sorted()
    var schema: [String: JSONValue] = [
      "type": "object", "description": .text(summary), "properties": .object(properties),
    ]
    if !required.isEmpty { schema["required"] = .list(required.map { .text($0) }) }
    return .object(schema)
  }
}

extension Schema {
  static let all: [Schema] = domains + storage + networks + requests + [error, errorDetail, nothing]

  private static let memoryDriver = Kind.words(["none", "idle", "driven"])

  private static let domains: [Schema] = [
    Schema(
      name: "DomainStatus", summary: "A domain as the domain manager sees it.",
      fields: [
        .required("name", .text, "Its name in the recipe."),
        .required("os", .text, "The guest's system, for people."),
        .required("state", .words(DomainState.allCases.map(\.rawValue)), "Where it is in its life."),
        .optional("reason", .text, "Why it is in this state, where that is not obvious."),
        .required("cpus", .integer, "Virtual CPUs that it has at most."),
        .required("memoryBytes", .integer, "Memory that it starts with, in bytes."),
        .optional("memory", .message("DomainMemoryStatus"), "What it may have of memory, is to have, and has."),
        .required("autostart", .flag, "Whether it starts with the appliance."),
        .optional("pid", .integer, "Process id of its monitor, while it runs."),
        .optional("startedAt", .number, "Seconds since power-on when its monitor was started last."),
        .optional("readySeconds", .number, "Seconds from its start until it was ready."),
        .required("restarts", .integer, "Restarts by policy since it was last started by hand."),
        .optional("address", .text, "Its IPv4 address on the appliance's network."),
        .required("console", .text, "The socket of its console, inside the appliance."),
        .required("log", .text, "The file that its console is recorded in, inside the appliance."),
        .optional("screen", .text, "The socket of its screen, inside the appliance."),
        .optional("isPaused", .flag, "True while its processors stand still."),
        .optional("isCreated", .flag, "True when it was made on the fly, and can be removed."),
        .optional("usableCPUs", .integer, "How many of its CPUs it has the time of while it runs; nothing for all."),
      ]),
    Schema(
      name: "DomainMemoryStatus", summary: "What a domain may have of memory, is to have, and has.",
      fields: [
        .required("minimumBytes", .integer, "What it may be set to at least."),
        .required("maximumBytes", .integer, "What it may be set to at most, as an administrator has it."),
        .required("builtMaximumBytes", .integer, "What an administrator may let it grow to: what its recipe says."),
        .optional("wantedBytes", .integer, "What its guest is to come to; nothing while it does not run."),
        .optional("actualBytes", .integer, "What its guest has come to; nothing where that is not known yet."),
        .optional("balloon", memoryDriver, "The balloon, by which it has less than it started with."),
        .optional("growth", memoryDriver, "The memory that comes and goes, by which it has more."),
        .optional("balance", .text, "What the balancer did with it last, and why."),
      ]),
    Schema(
      name: "DomainInfo", summary: "All that is known of a domain.",
      fields: [
        .required("status", .message("DomainStatus"), "What it is and does."),
        .required("boot", .text, "How it boots, as a recipe has it."),
        .required("cpuModel", .text, "The model of its virtual CPUs."),
        .required("onReboot", .text, "What a restart of the guest leads to."),
        .required("onCrash", .text, "What a crash of the guest leads to."),
        .required("readyText", .text, "What its console shows when it is ready."),
        .optional("disk", .text, "The volume of its own disk."),
        .required("disks", .list(.text), "The disks that it has beside its own."),
        .required("acceptsDisks", .flag, "Whether disks may come and go while it runs."),
        .optional("mac", .text, "The hardware address of its first network card."),
        .optional("cards", .list(.message("NetworkCard")), "Its network cards; nothing for none."),
        .optional("limits", .message("ResourceLimits"), "What it may take of the machine; nothing for no limits."),
        .optional("after", .list(.text), "The domains that it starts after, and goes down before."),
        .optional("usage", .message("DomainUsage"), "What it took of the machine so far, while it runs."),
      ]),
    Schema(
      name: "ResourceLimits",
      summary: "What a domain may take of the machine. Where limits are changed, what is left out stays as it is, and "
        + "zero and the empty text take a limit away.",
      fields: [
        .optional("cpuWeight", .integer, "Its share of busy processors beside others', of which each has 100."),
        .optional("cpuCap", .integer, "The most of the processors' time, in percent of one of them."),
        .optional("cpus", .text, "The processors that it keeps to, such as `0-1,3`."),
        .optional(
          "diskRate", .integer, "The most that its disks read and the most that they write, in bytes a second."),
        .optional("diskOperations", .integer, "The most reads and the most writes of its disks a second."),
        .optional("networkRate", .integer, "The most that its network card sends and receives, in bits a second."),
      ]),
    Schema(
      name: "RemovedDomain", summary: "Data of the event `removed`.",
      fields: [.required("name", .text, "A domain of this name is no more.")]),
    Schema(
      name: "DomainBeingMade", summary: "Data of the event `making`.",
      fields: [
        .required("name", .text, "A domain of this name is being made."),
        .required("percent", .integer, "How much of its disk is written, 0 to 100."),
      ]),
    Schema(
      name: "DomainList", summary: "All domains.",
      fields: [.required("domains", .list(.message("DomainStatus")), "In the recipe's order.")]),
    Schema(
      name: "Overview", summary: "The appliance and its domains; data of the event `overview`.",
      fields: [
        .required("appliance", .message("ApplianceStatus"), "The appliance as a whole."),
        .required("domains", .list(.message("DomainStatus")), "In the recipe's order."),
      ]),
    Schema(
      name: "ConsoleTail", summary: "The end of a console.",
      fields: [
        .required("domain", .text, "The domain's name."),
        .required("text", .text, "The last bytes; what is not UTF-8 is replaced."),
      ]),
    Schema(
      name: "ApplianceStatus", summary: "The appliance as a whole.",
      fields: [
        .required("name", .text, "The recipe's name."),
        .optional("hostname", .text, "The control domain's host name."),
        .required("state", .words(["up", "shutting-down"]), "Where it is in its life."),
        .required("uptimeSeconds", .number, "Seconds since power-on when this was said."),
        .required("notices", .list(.text), "What a user should know."),
      ]),
    Schema(
      name: "UsageReport", summary: "What running domains took of the machine so far.",
      fields: [
        .required("uptimeSeconds", .number, "Seconds since power-on when this was counted."),
        .required("domains", .list(.message("DomainUsage")), "The domains that run."),
      ]),
    Schema(
      name: "DomainUsage", summary: "One domain's share.",
      fields: [
        .required("name", .text, "The domain's name."),
        .required("pid", .integer, "Process id of its monitor: another one counts from zero."),
        .required("cpuSeconds", .number, "Time of processors that its monitor had, in seconds."),
        .required("memoryBytes", .integer, "Memory that it has now, in bytes."),
        .optional("guestAvailableBytes", .integer, "Memory that its guest says it could do without, in bytes."),
        .optional("stealSeconds", .number, "Time that its virtual CPUs waited for a processor, in seconds."),
        .optional("exits", .message("VMExits"), "What its virtual CPUs came out of the guest for."),
        .optional("disks", .list(.message("DiskUsage")), "What its disks did, those on IDE left out."),
        .optional("network", .message("NetworkUsage"), "What went over its network card."),
      ]),
    Schema(
      name: "VMExits", summary: "How often virtual CPUs came out of their guest, by cause.",
      fields: [
        .required("io", .integer, "Accesses to ports that the monitor answered."),
        .required("mmio", .integer, "Accesses to memory that is no RAM, which the monitor answered."),
        .required("msr", .integer, "MSRs that KVM leaves to the monitor."),
        .required("signal", .integer, "The monitor called them out."),
        .required("other", .integer, "All else that the monitor saw."),
        .optional("all", .integer, "All exits, those that the kernel dealt with included."),
        .optional("halt", .integer, "The guest had nothing to do."),
        .optional("hypercall", .integer, "The guest called the hypervisor."),
        .optional("interrupt", .integer, "The machine's own interrupts."),
      ]),
    Schema(
      name: "DiskUsage", summary: "What a disk did for its guest.",
      fields: [
        .required("name", .text, "The disk's name."),
        .required("reads", .integer, "Requests to read."),
        .required("readBytes", .integer, "Bytes that they were about."),
        .required("writes", .integer, "Requests to write."),
        .required("writtenBytes", .integer, "Bytes that they were about."),
        .required("flushes", .integer, "Requests to have all on the medium."),
        .required("discards", .integer, "Requests to give space back, or to write zeros."),
        .required("failures", .integer, "Requests that failed, which are among the others."),
        .required("seconds", .number, "From each request to its end, all taken together."),
        .required("longestSeconds", .number, "The longest of these."),
        .required(
          "classes", .list(.integer),
          "How many requests took at most 0.1, 0.5, 1, 5, 10, 50, 100, 500 and 1000 milliseconds and longer than the class "
            + "before, and how many took longer."),
      ]),
    Schema(
      name: "NetworkUsage", summary: "What went over a network card, as its guest sees it.",
      fields: [
        .required("receivedFrames", .integer, "Frames that the guest got."),
        .required("receivedBytes", .integer, "Bytes in them."),
        .required("receivedDrops", .integer, "Frames for it that were dropped: it did not take them fast enough."),
        .required("sentFrames", .integer, "Frames that the guest sent."),
        .required("sentBytes", .integer, "Bytes in them."),
        .required("sentDrops", .integer, "Frames that it sent and that were dropped."),
      ]),
  ]

  private static let storage: [Schema] = [
    Schema(
      name: "DiskStatus", summary: "A volume of the guests' storage.",
      fields: [
        .required("name", .text, "Its name, unique among all volumes."),
        .required("device", .text, "Its block device, inside the appliance."),
        .required("bytes", .integer, "Its size in bytes."),
        .optional("usedPercent", .number, "The share of it that takes room of its own."),
        .required("kind", .text, "What it is there for: `domain`, `own`, `disk`, `snapshot`, `clone` or `remote`."),
        .optional("origin", .text, "The disk that a snapshot or a clone was made of."),
        .optional("attachedTo", .text, "The domain that has it beside its own disk."),
        .required("isOpen", .flag, "Whether something had it open when this was said."),
        .optional("isAbsent", .flag, "True for a remote that is not connected."),
        .optional("isSecondary", .flag, "True for a replicated volume that this machine does not write to."),
      ]),
    Schema(
      name: "DiskList", summary: "All volumes of the guests' storage.",
      fields: [.required("disks", .list(.message("DiskStatus")), "All of them.")]),
    Schema(
      name: "DiskResult", summary: "What became of a disk.",
      fields: [
        .optional("disk", .message("DiskStatus"), "What it is now; nothing after it was destroyed."),
        .optional("note", .text, "What a user should know beside that."),
      ]),
    Schema(
      name: "RemoteStatus", summary: "A device that comes over the network.",
      fields: [
        .required("name", .text, "What it is called."),
        .required("address", .text, "Where it is, as `nbd://server:10809/export`."),
        .required("use", .text, "What it is there for: `disk` or `room`."),
        .required("isInRecipe", .flag, "Whether the recipe asks for it."),
        .optional("attachedTo", .text, "The domain that has it."),
        .optional("device", .text, "Its block device; nothing while it is not connected."),
        .optional("bytes", .integer, "Its size in bytes, as long as it is connected."),
        .optional("isPrimary", .flag, "Of a replicated volume: whether this machine may write to it."),
        .optional("problem", .text, "Why it is not connected, or what else is wrong with it."),
      ]),
    Schema(
      name: "RemoteList", summary: "What comes over the network.",
      fields: [.required("remotes", .list(.message("RemoteStatus")), "All of it.")]),
    Schema(
      name: "PoolStatus", summary: "How full the guests' storage is.",
      fields: [
        .required("poolBytes", .integer, "Its size in bytes."),
        .required("dataPercent", .number, "What is written of it."),
        .required("metadataPercent", .number, "Its own bookkeeping, of the room for it."),
        .required("isFull", .flag, "True while guests wait with their writes."),
        .required("home", .text, "Where it is: `memory` or `disk`."),
        .optional("degraded", .text, "What keeps it from being whole."),
      ]),
    Schema(
      name: "StorageStatus", summary: "The guests' storage.",
      fields: [
        .required("state", .words(["waiting", "ready", "failed"]), "Whether the guests' volumes are there."),
        .optional("error", .text, "What failed, and what to do about it."),
        .required("warnings", .list(.text), "What a user should know though it went well."),
        .optional("pool", .message("PoolStatus"), "How full it is, where that is known."),
        .optional("remotes", .list(.message("RemoteStatus")), "What comes over the network."),
      ]),
  ]

  private static let networks: [Schema] = [
    Schema(
      name: "NetworkList", summary: "The appliance's networks.",
      fields: [.required("networks", .list(.message("NetworkStatus")), "The one that all appliances have comes first.")]
    ),
    Schema(
      name: "NetworkStatus", summary: "A network that domains share.",
      fields: [
        .required("name", .text, "Its name."),
        .required("mode", modes, "How it reaches the outside."),
        .optional("address", .text, "The appliance's address on it, such as `10.80.1.1/24`."),
        .optional("router", .text, "Whose address is the way out of an isolated network."),
        .required("bridge", .text, "Its bridge, inside the appliance."),
        .optional("isCreated", .flag, "True when it was made while the appliance runs, and can be removed."),
        .required("cards", .list(.message("CardStatus")), "What is connected to it."),
      ]),
    Schema(
      name: "CardStatus", summary: "A domain's network card on its network.",
      fields: [
        .required("domain", .text, "Whose it is."),
        .required("index", .integer, "Its number among that domain's cards, from 0."),
        .required("mac", .text, "Its hardware address."),
        .required("interface", .text, "Its interface, inside the appliance."),
        .required("isFiltered", .flag, "Whether packets are dropped whose sender is another than this card."),
      ] + cardFields),
    Schema(
      name: "CardSpec", summary: "A network card that a domain is to have.",
      fields: [
        .optional("network", .text, "The network; the one that all appliances have, if not given."),
        .optional(
          "filter", .flag, "Whether packets are dropped whose sender is another than this card; yes if not given."),
      ] + cardFields),
    Schema(
      name: "NetworkCard", summary: "A network card that a domain has.",
      fields: [
        .required("mac", .text, "Its hardware address."),
        .optional("model", .words(NetworkModel.allCases.map(\.rawValue)), "What card it is; virtio, if not given."),
        .optional("network", .text, "The network; the one that all appliances have, if not given."),
        .optional(
          "filter", .flag, "Whether packets are dropped whose sender is another than this card; yes if not given."),
      ] + cardFields),
    Schema(
      name: "LinkConditions",
      summary:
        "What a cable does to what goes over it, in each direction. Where that is changed, what is left out stays "
        + "as it is, and zero is as of a perfect cable.",
      fields: [
        .optional("delay", .integer, "How long everything takes longer, in microseconds."),
        .optional("jitter", .integer, "By how much that varies, in microseconds."),
        .optional("loss", .number, "How many packets get lost, in percent."),
        .optional("rate", .integer, "The most that goes over it, in bits a second."),
        .optional("isDown", .flag, "Whether it is pulled."),
      ]),
    Schema(
      name: "NewNetwork", summary: "A network that is to be made.",
      fields: [
        .required("name", .text, "Its name, a DNS label."),
        .required("mode", modes, "How it reaches the outside."),
        .optional("address", .text, "The appliance's address on it, such as `10.80.1.1/24`; it gives addresses there."),
        .optional("router", .text, "Whose address is to be the way out of an isolated network."),
        .optional("card", .text, "The machine's card that is bridged; the first, if not given."),
      ]),
  ]

  private static let modes = Kind.words(NetworkMode.allCases.map(\.rawValue))
  private static let cardFields: [Field] = [
    .optional("address", .text, "The IPv4 address that it is given."),
    .optional("vlan", .integer, "The VLAN that all its packets belong to."),
    .optional("vlans", .list(.integer), "VLANs whose packets it sends and gets with their tags."),
    .optional("link", .message("LinkConditions"), "What its cable does; nothing for a perfect one."),
  ]

  private static let requests: [Schema] = [
    Schema(
      name: "NewDomain", summary: "A domain that is to be made.",
      fields: [
        .required("spec", .message("DomainSpec"), "What it is to be."),
        .optional("start", .flag, "Whether it is started at once; yes if not given."),
      ]),
    Schema(
      name: "DomainSpec",
      summary: "What a domain is to be; what is left out comes from the domain that it is to be like, or is what a "
        + "recipe would have. Paths are those inside the appliance.",
      fields: [
        .required("name", .text, "Its name, which no other domain or disk has."),
        .optional("like", .text, "A domain whose machine and kernel it takes."),
        .optional("os", .text, "Its operating system as people call it."),
        .optional("cpus", .integer, "Virtual CPUs that it starts with."),
        .optional("cpusMaximum", .integer, "Virtual CPUs that it may have while it runs."),
        .optional("cpuModel", .words(CPUModel.allCases.map(\.rawValue)), "What processor it sees."),
        .optional("memoryBytes", .integer, "Memory in bytes."),
        .optional("diskBytes", .integer, "Size of its disk in bytes."),
        .optional("image", .text, "A file that its disk begins as."),
        .optional("clone", .text, "A disk that its disk begins as."),
        .optional("diskBus", .words(DiskBus.allCases.map(\.rawValue)), "What its disk is attached to."),
        .optional("boot", .words(BootMethod.allCases.map(\.rawValue)), "How it boots."),
        .optional("kernel", .text, "A kernel to be entered."),
        .optional("initrd", .text, "That kernel's initial RAM disk."),
        .optional("commandLine", .text, "What the kernel is told."),
        .optional("cdrom", .text, "The image in its CD drive."),
        .optional("floppy", .text, "The image in its floppy drive."),
        .optional("cards", .list(.message("CardSpec")), "Its network cards; empty for none."),
        .optional("nic", .words(NetworkModel.allCases.map(\.rawValue)), "What cards these are."),
        .optional("display", .words(Display.allCases.map(\.rawValue)), "What it shows beside its serial line."),
        .optional("hotplug", .flag, "Whether disks may come and go while it runs."),
        .optional("autostart", .flag, "Whether it starts with the appliance."),
        .optional("after", .list(.text), "The domains that it starts after, and goes down before."),
        .optional("readyText", .text, "Text that its console shows when it is up."),
        .optional("readySeconds", .integer, "How long that may take, in seconds."),
        .optional("onReboot", .words(LifecycleAction.allCases.map(\.rawValue)), "What a restart leads to."),
        .optional("onCrash", .words(LifecycleAction.allCases.map(\.rawValue)), "What a crash leads to."),
      ]),
    Schema(
      name: "NewProcessors", summary: "How many of its virtual CPUs a domain is to have the time of.",
      fields: [.required("cpus", .integer, "From 1 to as many as it has.")]),
    Schema(
      name: "NewDisk", summary: "A disk that is to be made.",
      fields: [
        .required("name", .text, "What it is to be called."),
        .required("bytes", .integer, "Its size in bytes, a multiple of 4 MiB."),
      ]),
    Schema(
      name: "NewSize", summary: "A disk's new size.",
      fields: [.required("bytes", .integer, "In bytes, a multiple of 4 MiB.")]),
    Schema(
      name: "SnapshotName", summary: "Names a snapshot.",
      fields: [.required("snapshot", .text, "What it is called, or is to be.")]),
    Schema(
      name: "CloneName", summary: "Names a copy.", fields: [.required("clone", .text, "What it is to be called.")]),
    Schema(name: "DomainName", summary: "Names a domain.", fields: [.required("domain", .text, "Its name.")]),
    Schema(
      name: "NewRemote", summary: "A device over the network that is to be connected.",
      fields: [
        .required("name", .text, "What it is to be called."),
        .required("address", .text, "Where it is, as `nbd://server/export`."),
        .optional("use", .text, "What it is there for: `disk`, if not given, or `room`."),
        .optional("wipe", .flag, "Whether what it holds may be lost."),
      ]),
    Schema(
      name: "Promotion", summary: "How this machine is to become the one that writes.",
      fields: [.required("force", .flag, "Whether its copy is the right one though it may not look so.")]),
  ]

  private static let error = Schema(
    name: "Error", summary: "Why a request was refused.",
    fields: [.required("error", .message("ErrorDetail"), "What is wrong.")])
  private static let errorDetail = Schema(
    name: "ErrorDetail", summary: "What is wrong.",
    fields: [
      .required("code", .text, "A stable kind, for programs."),
      .required("message", .text, "What failed, where, and what to do about it."),
    ])
  private static let nothing = Schema(name: "Nothing", summary: "It is being done.", fields: [])
}
