internal import Control

/// What Prometheus reads: its text format, version 0.0.4.
struct MetricsText {
  private(set) var text = ""

  /// Begins a metric; its samples follow.
  mutating func metric(_ name: String, _ type: String, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
  }

  mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: Double) {
    let list = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
    let number = value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    text += "\(name)\(list.isEmpty ? "" : "{\(list)}") \(number)\n"
  }

  mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: Int) {
    sample(name, labels, Double(value))
  }

  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for character in text {
      switch character {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      default: escaped.append(character)
      }
    }
    return escaped
  }
}

extension MetricsText {
  mutating func add(_ overview: Overview) {
    metric("roost_appliance_uptime_seconds", "gauge", "Seconds since the appliance's power-on.")
    sample("roost_appliance_uptime_seconds", [], overview.appliance.uptimeSeconds)
    metric("roost_appliance_notices", "gauge", "Things that a user should know of the appliance.")
    sample("roost_appliance_notices", [], overview.appliance.notices.count)
    metric("roost_domain_state", "gauge", "1 for the state that a domain is in, 0 for all others.")
    for domain in overview.domains {
      for state in DomainState.allCases {
        sample(
          "roost_domain_state", [("domain", domain.name), ("state", state.rawValue)], domain.state == state ? 1 : 0)
      }
    }
    add("roost_domain_paused", "gauge", "1 while a domain's processors stand still.", overview.domains) {
      $0.isPaused == true ? 1 : 0
    }
    add("roost_domain_memory_bytes", "gauge", "Memory that a domain may have.", overview.domains) {
      Double($0.memoryBytes)
    }
    add("roost_domain_cpus", "gauge", "Virtual CPUs of a domain.", overview.domains) { Double($0.cpus) }
    add(
      "roost_domain_restarts", "gauge", "Restarts by policy since a domain was last started by hand.", overview.domains
    ) { Double($0.restarts) }
    add("roost_domain_ready_seconds", "gauge", "Seconds from a domain's start until it was ready.", overview.domains) {
      $0.readySeconds
    }
  }

  mutating func add(_ usage: UsageReport) {
    metric("roost_domain_cpu_seconds_total", "counter", "Time of processors that a domain's monitor had.")
    for domain in usage.domains {
      sample("roost_domain_cpu_seconds_total", [("domain", domain.name)], domain.cpuSeconds)
    }
    metric("roost_domain_resident_bytes", "gauge", "Memory that a domain has now, as far as its guest touched it.")
    for domain in usage.domains {
      sample("roost_domain_resident_bytes", [("domain", domain.name)], domain.memoryBytes)
    }
    addWork(usage.domains)
  }

  /// What domains' CPUs, disks and networks did: what is not counted of one has no sample.
  private mutating func addWork(_ domains: [UsageReport.Domain]) {
    metric(
      "roost_domain_steal_seconds_total", "counter", "Time that a domain's virtual CPUs waited for a processor.")
    for domain in domains {
      if let steal = domain.stealSeconds {
        sample("roost_domain_steal_seconds_total", [("domain", domain.name)], steal)
      }
    }
    metric(
      "roost_domain_vm_exits_total", "counter",
      "Exits of a domain's virtual CPUs by cause: io, mmio, msr, signal and other reached the monitor; halt, hypercall and "
        + "interrupt are what the kernel counts.")
    for domain in domains {
      for (cause, count) in domain.exits?.causes ?? [] {
        sample("roost_domain_vm_exits_total", [("domain", domain.name), ("cause", cause)], count)
      }
    }
    metric(
      "roost_domain_vm_exits_all_total", "counter", "All exits of a domain's virtual CPUs, as the kernel counts them.")
    for domain in domains {
      if let all = domain.exits?.all { sample("roost_domain_vm_exits_all_total", [("domain", domain.name)], all) }
    }
    addDisks(domains)
    addNetworks(domains)
  }

  private mutating func addDisks(_ domains: [UsageReport.Domain]) {
    let disks = domains.flatMap { domain in
      (domain.disks ?? []).map { (labels: [("domain", domain.name), ("disk", $0.name)], disk: $0) }
    }
    metric("roost_domain_disk_requests_total", "counter", "Requests of a guest to a disk, by kind.")
    for (labels, disk) in disks {
      for (kind, count) in [
        ("read", disk.reads), ("write", disk.writes), ("flush", disk.flushes), ("discard", disk.discards),
      ] { sample("roost_domain_disk_requests_total", labels + [("kind", kind)], count) }
    }
    metric("roost_domain_disk_bytes_total", "counter", "Bytes that a guest read from a disk and wrote to it.")
    for (labels, disk) in disks {
      sample("roost_domain_disk_bytes_total", labels + [("kind", "read")], disk.readBytes)
      sample("roost_domain_disk_bytes_total", labels + [("kind", "write")], disk.writtenBytes)
    }
    metric("roost_domain_disk_failures_total", "counter", "Requests of a guest to a disk that failed.")
    for (labels, disk) in disks { sample("roost_domain_disk_failures_total", labels, disk.failures) }
    let name = "roost_domain_disk_request_seconds"
    metric(name, "histogram", "Seconds from a guest's request to a disk until it was done.")
    for (labels, disk) in disks {
      var sum = 0
      let limits = UsageReport.DiskUsage.limits.map { "\($0)" } + ["+Inf"]
      for (limit, count) in zip(limits, disk.classes) {
        sum += count
        sample("\(name)_bucket", labels + [("le", limit)], sum)
      }
      sample("\(name)_sum", labels, disk.seconds)
      sample("\(name)_count", labels, sum)
    }
    metric("roost_domain_disk_request_longest_seconds", "gauge", "The longest that a request to a disk took.")
    for (labels, disk) in disks { sample("roost_domain_disk_request_longest_seconds", labels, disk.longestSeconds) }
  }

  private mutating func addNetworks(_ domains: [UsageReport.Domain]) {
    for (name, help, received, sent) in [
      ("frames", "Frames", \UsageReport.NetworkUsage.receivedFrames, \UsageReport.NetworkUsage.sentFrames),
      ("bytes", "Bytes", \.receivedBytes, \.sentBytes), ("drops", "Dropped frames", \.receivedDrops, \.sentDrops),
    ] {
      let name = "roost_domain_network_\(name)_total"
      metric(name, "counter", "\(help) that a guest received and sent.")
      for domain in domains {
        guard let network = domain.network else { continue }
        sample(name, [("domain", domain.name), ("direction", "receive")], network[keyPath: received])
        sample(name, [("domain", domain.name), ("direction", "send")], network[keyPath: sent])
      }
    }
  }

  mutating func add(_ storage: StorageStatus) {
    metric("roost_storage_ready", "gauge", "1 when the guests' volumes are there.")
    sample("roost_storage_ready", [], storage.state == .ready ? 1 : 0)
    guard let pool = storage.pool else { return }
    metric("roost_pool_bytes", "gauge", "Size of the guests' pool.")
    sample("roost_pool_bytes", [], pool.poolBytes)
    metric("roost_pool_used_ratio", "gauge", "The share of the pool that is written.")
    sample("roost_pool_used_ratio", [], pool.dataPercent / 100)
    metric("roost_pool_metadata_used_ratio", "gauge", "The share of the room for the pool's bookkeeping that is used.")
    sample("roost_pool_metadata_used_ratio", [], pool.metadataPercent / 100)
    metric("roost_pool_full", "gauge", "1 while guests wait with their writes.")
    sample("roost_pool_full", [], pool.isFull ? 1 : 0)
  }

  mutating func add(_ meters: Meters, connections: ConnectionCount, hub: EventHub) {
    let (requests, times) = meters.readings
    metric("roost_gateway_requests_total", "counter", "Requests that were answered.")
    for (kind, count) in requests {
      sample(
        "roost_gateway_requests_total",
        [("method", kind.method), ("route", kind.route), ("status", "\(kind.status)")], count)
    }
    let name = "roost_gateway_request_seconds"
    metric(name, "histogram", "Seconds from a request's head until its answer was ready.")
    for (route, histogram) in times {
      for (limit, count) in zip(Meters.Histogram.limits.map { "\($0)" } + ["+Inf"], histogram.counts) {
        sample("\(name)_bucket", [("route", route), ("le", limit)], count)
      }
      sample("\(name)_sum", [("route", route)], histogram.seconds)
      sample("\(name)_count", [("route", route)], histogram.counts.last ?? 0)
    }
    metric("roost_gateway_connections", "gauge", "Connections that are there.")
    sample("roost_gateway_connections", [], connections.total)
    metric("roost_gateway_refused_total", "counter", "Connections that were refused, as there were too many.")
    sample("roost_gateway_refused_total", [], connections.refused)
    metric("roost_gateway_streams", "gauge", "Clients that wait for events.")
    sample("roost_gateway_streams", [], hub.count)
    metric("roost_gateway_slow_streams_total", "counter", "Streams that ended because their clients were slow.")
    sample("roost_gateway_slow_streams_total", [], hub.slowClients)
  }

  private mutating func add(
    _ name: String, _ type: String, _ help: String, _ domains: [DomainStatus], _ value: (DomainStatus) -> Double?
  ) {
    metric(name, type, help)
    for domain in domains {
      if let value = value(domain) { sample(name, [("domain", domain.name)], value) }
    }
  }
}

extension UsageReport.Exits {
  /// The causes that are counted, each with its count.
  fileprivate var causes: [(String, Int)] {
    let kernel = [("halt", halt), ("hypercall", hypercall), ("interrupt", interrupt)]
    return [("io", io), ("mmio", mmio), ("msr", msr), ("signal", signal), ("other", other)]
      + kernel.compactMap { cause, count in count.map { (cause, $0) } }
  }
}
