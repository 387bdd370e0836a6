internal import Manifest

extension Shape {
  static let domain = Shape(
    "domain", "a domain", required: ["name"],
    [
      Key("name", .label, "What it is called: a host's name."),
      Key("os", .text, "Its operating system, for lists of domains."),
      Key("cpus", .either([.number(Limits.cpus), .group(processors)]), "Its processors; 1 if left out."),
      Key("cpu", .words(of: CPUModel.self), "The processor that it sees."),
      Key("memory", .either([.size, .group(memory)]), "Its memory, as in 512 MiB."),
      Key("disk", .size, "The size of its disk, as in 2 GiB."),
      Key("disk-bus", .words(of: DiskBus.self), "What its disk is attached to."),
      Key("cdrom", .file, "The image of a CD in its drive."),
      Key("floppy", .file, "The image of a floppy disk in its drive."),
      Key(
        "network", .either([.flag, .label, .group(card), .list(.either([.label, .group(card)]))]),
        "Its network cards: true for one, or the networks' names."),
      Key("nic", .words(of: NetworkModel.self), "What its network cards are."),
      Key("display", .words(of: Display.self), "Its display."),
      Key("vnc", .either([.word(["off"]), .group(vnc)]), "How its display is shown by VNC."),
      Key("hotplug", .flag, "Whether disks may come and go while it runs."),
      Key("limits", .group(limits), "What it may take of the machine."),
      Key("boot", .words(of: BootMethod.self, and: "auto"), "How its kernel is entered, or its firmware."),
      Key("source", .group(domainSource), "Where its system comes from."),
      Key("command-line", .text, "What its kernel is told."),
      Key("autostart", .either([.flag, .group(autostart)]), "Whether it starts with the appliance, and after whom."),
      Key("ready", .group(ready), "How one knows that it is up."),
      Key("on-reboot", .words(of: LifecycleAction.self), "What happens when it resets itself."),
      Key("on-crash", .words(of: LifecycleAction.self), "What happens when it crashes."),
    ])

  static let processors = Shape(
    "processors", "a domain's 'cpus'",
    [
      Key("start", .number(Limits.cpus), "How many it starts with."),
      Key("max", .number(Limits.cpus), "How many it may have while it runs."),
    ])

  static let memory = Shape(
    "memory", "a domain's 'memory'",
    [
      Key("start", .size, "What it starts with."), Key("min", .size, "What it may shrink to."),
      Key("max", .size, "What it may grow to."),
    ])

  static let limits = Shape(
    "limits", "a domain's 'limits'",
    [
      Key("cpu-weight", .number(ResourceLimits.weights), "Its share of the processors where they are scarce."),
      Key("cpu-cap", .number(ResourceLimits.caps), "The most that it gets, in percent of one processor."),
      Key("cpus", .digits("[0-9,-]+"), "The processors that it keeps to, as in 0-1,3."),
      Key("disk-rate", .size, "Bytes a second to and from its disks."),
      Key("disk-operations", .number(ResourceLimits.diskOperationRates), "Requests a second to its disks."),
      Key("network-rate", .rate, "Bits a second to and from each of its network cards."),
    ])

  static let vnc = Shape(
    "vnc", "a domain's 'vnc'", [Key("password", .text, "What viewers are asked for, at most 8 characters.")])

  static let ready = Shape(
    "ready", "a domain's 'ready'",
    [
      Key("console", .text, "Text that its console shows then."),
      Key("timeout", .pattern("[0-9]+ ?(s|min)"), "How long that may take; 300 s if left out."),
    ])

  static let autostart = Shape(
    "autostart", "a domain's 'autostart'", [Key("after", .list(.label), "The domains that are ready first.")])
}
