import Platform
import Testing

/// What is measured in the control domain of an appliance, with QEMU there as the peer: the scripts in `Bench`.
enum ApplianceBenchmarks {
  enum Part: String, CaseIterable {
    case starts, rates, network, memory, storage, domains, families
  }

  /// A figure of ours beside the same figure of a peer.
  private struct Pair {
    let name: String
    let unit: String
    let ours: String
    let theirs: String
    let peer: String
    var target = ""
  }

  private static let direct = "ratio at most 0.7"
  private static let firmware = "ratio at most 1"
  private static let atLeastOne = "ratio at least 1"

  private static func pairs(_ part: Part) -> [Pair] {
    switch part {
    case .starts:
      let methods = [
        ("linux", "microvm", direct), ("linux", "pc", ""), ("pvh", "microvm", direct), ("pvh", "pc", ""),
        ("bios", "pc", firmware), ("uefi", "pc", firmware),
      ]
      return methods.map { method, machine, target in
        Pair(
          name: "start to the guest's init, \(method)", unit: "ms", ours: "\(method)-roost",
          theirs: "\(method)-\(machine)", peer: "QEMU \(machine)", target: target)
      }
    case .rates:
      let rates = [
        ("port", "writes to a port without a device", "ratio at least 1.2"),
        ("doorbell", "virtio doorbells", "ratio at least 1.2"),
        ("read-4k", "random reads of 4 KiB", atLeastOne), ("write-4k", "random writes of 4 KiB", atLeastOne),
        ("read-1m", "sequential reads of 1 MiB", atLeastOne), ("write-1m", "sequential writes of 1 MiB", atLeastOne),
      ]
      return rates.map { name, what, target in
        Pair(
          name: what, unit: "a second", ours: "\(name)-roost", theirs: "\(name)-qemu", peer: "QEMU pc", target: target)
      }
    case .network:
      return [
        Pair(
          name: "TCP between two guests", unit: "Mbit/s", ours: "tcp-roost", theirs: "tcp-qemu",
          peer: "QEMU pc with vhost", target: atLeastOne),
        Pair(
          name: "ping between two guests", unit: "µs", ours: "ping-roost", theirs: "ping-qemu",
          peer: "QEMU pc with vhost", target: firmware),
      ]
    case .memory, .domains: return []
    case .storage:
      let rates = [
        ("read-4k", "random reads of 4 KiB"), ("write-4k", "random writes of 4 KiB"),
        ("read-1m", "sequential reads of 1 MiB"), ("write-1m", "sequential writes of 1 MiB"),
      ]
      let guest = rates.map { name, what in
        Pair(
          name: "a guest's \(what), thin volume", unit: "a second", ours: "\(name)-thin", theirs: "\(name)-raw",
          peer: "the device that it lies on")
      }
      return guest + [
        Pair(
          name: "first write into a block of an image", unit: "µs", ours: "origin-first", theirs: "origin-second",
          peer: "the second write"),
        Pair(name: "clone of 64 MiB", unit: "ms", ours: "clone", theirs: "clone-dd", peer: "dd"),
        Pair(
          name: "persist, copied and read back", unit: "MiB/s", ours: "persist", theirs: "persist-dd",
          peer: "dd with fsync"),
      ]
    case .families:
      return ["freebsd", "debian", "plan9"].map {
        Pair(
          name: "three families at once: \($0) ready", unit: "ms", ours: "\($0)-roost", theirs: "\($0)-qemu",
          peer: "QEMU pc", target: firmware)
      }
    }
  }

  /// The rows of `parts`; one appliance for the families, one for all others.
  static func measure(_ parts: [Part]) throws -> [Benchmarks.Row] {
    let single = parts.filter { $0 != .families }
    var rows: [Benchmarks.Row] = []
    if !single.isEmpty {
      try DamagedImage.run(["truncate", "-s", "64M", "build/bench-scratch.img"])
      try DamagedImage.run([
        try Environment.program("roost"), "build", "Tests/SystemTests/bench.yaml", "-o", "build/bench.iso", "--quiet",
      ])
      try DamagedImage.run(["Tests/SystemTests/Bench/prepare.sh", "build/bench.iso", "build/bench-cd.iso"])
      rows += try run(single, iso: "build/bench.iso", memory: 4096)
    }
    guard parts.contains(.families) else { return rows }
    guard let families = Families.present else {
      print("families: \(Families.reason)")
      return rows
    }
    let recipe = """
      name: families
      control-domain: {suite: trixie, packages: [qemu-system-x86]}
      storage: {ram: 256 MiB}
      domains:
      \(families.domains(autostart: false))
      """
    try Files.write(recipe, to: "build/bench-families.yaml")
    try DamagedImage.run([
      try Environment.program("roost"), "build", "build/bench-families.yaml", "-o", "build/bench-families.iso",
      "--quiet",
    ])
    let freebsd = try FreeBSDForQEMU(
      try Files.read("\(families.folder)/freebsd/kernel"),
      variables: [
        "kernelname=/boot/kernel/kernel", "console=comconsole", "hint.uart.0.at=isa", "hint.uart.0.port=0x3F8",
        "hint.uart.0.flags=0x10", "hint.uart.0.irq=4", "vfs.root.mountfrom=ufs:/dev/gpt/rootfs",
      ], memory: 256 << 20)
    try Files.write(freebsd.image, to: "build/bench-freebsd.elf")
    try DamagedImage.run([
      "Tests/SystemTests/Bench/prepare.sh", "build/bench-families.iso", "build/bench-cd.iso", families.folder,
      "build/bench-freebsd.elf",
    ])
    return rows + (try run([.families], iso: "build/bench-families.iso", memory: 2048))
  }

  /// Boots `iso`, runs the scripts of `parts` in its control domain, and reads their figures.
  private static func run(_ parts: [Part], iso: String, memory: Int) throws -> [Benchmarks.Row] {
    var options = Appliance.Options(iso: iso, memory: memory, disk: "build/bench-cd.iso")
    let target = "build/bench-target.img"
    defer { try? Files.remove(target) }
    if parts.contains(.storage) {
      try DamagedImage.run(["truncate", "-s", "1G", target])
      options.target = target
    }
    let machine = try Appliance.start(options, log: "bench-\(parts.map(\.rawValue).joined(separator: "-"))")
    try machine.wait(for: parts == [.families] ? "plan9" : "hatchling is ready.", seconds: 400)
    try machine.type("x")
    try machine.wait(for: "#", seconds: 60)
    try machine.type("for d in a b; do mount -t iso9660 -o ro /dev/vd$d /mnt && break; done; echo mount''ed\r")
    try machine.wait(for: "mounted", seconds: 60)
    for part in parts {
      try machine.type("sh /mnt/\(part.rawValue).sh\r")
      try machine.wait(for: "BENCH-END", seconds: 3000)
    }

    var values: [String: [Double]] = [:]
    for line in machine.text.split(whereSeparator: \.isNewline) {
      let words = line.split(separator: " ")
      if words.first == "BENCH-FAILED" { Issue.record("\(line)") }
      if words.first == "BENCH-LEFT-OUT" { print("left out: \(words.dropFirst().joined(separator: " "))") }
      if words.count == 3, words[0] == "BENCH", let value = Double(words[2]) {
        values[String(words[1]), default: []].append(value)
      }
    }
    let medians = values.compactMapValues { list in list.sorted()[list.count / 2] }
    return parts.flatMap { rows($0, medians) }
  }

  /// Figures without a peer: their key, name, unit and target.
  private static func figures(_ part: Part) -> [(key: String, name: String, unit: String, target: String)] {
    switch part {
    case .memory:
      // Alone, a process is charged for the program's own text as well, which the page cache can take back.
      [
        ("display-none", "private memory of a roost-vmm, one of several", "KiB", "at most 4096 KiB"),
        ("display-vga", "the same with a display", "KiB", "4096 KiB and what the display needs"),
        ("alone", "private memory of the only roost-vmm", "KiB", ""), ("alone-dirty", "of it written to", "KiB", ""),
      ]
    case .domains:
      [
        ("create", "a domain made, and its monitor started", "ms", ""),
        ("create-ready", "a domain made and at its prompt", "ms", ""),
        ("remove", "a running domain ended, and all of it gone", "ms", ""),
        ("fifty-made", "50 hatchlings made", "ms", ""), ("fifty-ready", "50 hatchlings at their prompts", "ms", ""),
        ("fifty-memory", "memory that 50 hatchlings take in total", "KiB", ""),
        ("fifty-each", "private memory of each one's monitor", "KiB", "at most 4096 KiB"),
        ("fifty-removed", "50 running hatchlings gone", "ms", ""),
        ("weights", "two busy domains with weights 1 to 3: share of the second", "of the first's", "2.85 to 3.15"),
      ]
    default: []
    }
  }

  private static func rows(_ part: Part, _ medians: [String: Double]) -> [Benchmarks.Row] {
    let figures = figures(part).compactMap { key, name, unit, target in
      medians[key].map { Benchmarks.Row(name: name, unit: unit, value: $0, target: target) }
    }
    return figures
      + pairs(part).compactMap { pair in
        guard let ours = medians[pair.ours] else {
          Issue.record("\(pair.ours) was not measured")
          return nil
        }
        let theirs = medians[pair.theirs]
        if theirs == nil { print("\(pair.name): \(pair.peer) was not measured") }
        return Benchmarks.Row(
          name: pair.name, unit: pair.unit, value: ours, peer: theirs == nil ? nil : pair.peer, peerValue: theirs,
          target: pair.target)
      }
  }
}
