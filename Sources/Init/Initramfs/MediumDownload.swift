internal import Binary
internal import Platform

/// The medium's image fetched by HTTP, for machines that start over the network.
enum MediumDownload {
  /// What busybox's DHCP client runs (the initramfs has it): gives a card the address that the server said.
  static let script = "/etc/udhcpc.script"
  /// How often a download that breaks off is taken up again.
  private static let attempts = 5

  /// Fetches the image at `address` into memory, and checks it.
  static func fetch(
    _ address: String, _ parameters: BootParameters, _ modules: inout ModuleLoader
  ) throws(InitError) -> MediumPlace {
    let card = try connect(parameters.wait, &modules)
    defer { disconnect(card) }
    try MediumInMemory.prepare(for: nil, what: "the image from \(address)")
    Consoles.say("fetching the image from \(address)")
    let start = MonotonicClock.now()
    try download(address)
    Consoles.write("\r")
    let size = (try? Files.status(MediumInMemory.file))??.size ?? 0
    Consoles.say("fetched \(size >> 20) MiB in \((MonotonicClock.now() - start) / 1_000_000_000) s")
    try check(address, parameters)
    return .file(MediumInMemory.file, address)
  }

  /// Network cards, the one that the machine was started by first.
  ///
  /// - Parameters:
  ///   - sys: where sysfs is mounted.
  ///   - started: the address of the card that PXE used, as `BOOTIF` has it (`01-52-54-00-12-34-56`).
  static func cards(sys: String = "/sys", started: String? = nil) -> [String] {
    let names = ((try? Files.list("\(sys)/class/net")) ?? []).filter { name in
      // ARPHRD_ETHER, and with a device behind it.
      (try? Files.readText("\(sys)/class/net/\(name)/type")) == "1\n" && Files.exists("\(sys)/class/net/\(name)/device")
    }
    let wanted = started.map { $0.lowercased().split(separator: "-").dropFirst().joined(separator: ":") }
    func isFirst(_ name: String) -> Bool {
      (try? Files.readText("\(sys)/class/net/\(name)/address")).map { $0 == "\(wanted ?? "")\n" } ?? false
    }
    return names.sorted { (isFirst($0) ? 0 : 1, $0) < (isFirst($1) ? 0 : 1, $1) }
  }

  /// Gets an address by DHCP on the first card that is given one; returns the card.
  private static func connect(_ wait: Int, _ modules: inout ModuleLoader) throws(InitError) -> String {
    Consoles.say("looking for a network")
    let line = KernelCommandLine((try? Files.readText("/proc/cmdline")) ?? "")
    let end = MonotonicClock.now() + UInt64(max(wait, 1)) * 1_000_000_000
    var seen: [String] = []
    repeat {
      modules.load(Modalias.collect())
      seen = cards(started: line["BOOTIF"])
      for card in seen { _ = run(["ip", "link", "set", card, "up"]) }
      for card in seen
      where run(["udhcpc", "-i", card, "-n", "-q", "-f", "-t", "4", "-T", "2", "-s", script]).isSuccess {
        return card
      }
      MonotonicClock.sleep(milliseconds: 500)
    } while MonotonicClock.now() < end
    throw InitError(
      .downloadFailed, "there is no network to fetch the image over.",
      details: [
        seen.isEmpty ? "No network card was seen." : "No DHCP server answered on \(seen.joined(separator: ", "))."
      ],
      remedies: [
        "Check the cable and the DHCP server, then leave the shell to try again.",
        "If the machine has a card and none is listed, this initramfs lacks its driver: start from a disc or stick.",
      ])
  }

  private static func disconnect(_ card: String) {
    // The control domain makes its own connections.
    _ = run(["ip", "address", "flush", "dev", card])
    _ = run(["ip", "link", "set", card, "down"])
  }

  private static func download(_ address: String) throws(InitError) {
    var before = -1
    var complaint = ""
    for _ in 0..<attempts {
      let status = fetchOnce(address)
      let size = (try? Files.status(MediumInMemory.file))??.size ?? 0
      if status.isSuccess, size > 0 { return }
      complaint = (try? Files.readText("\(MediumInMemory.directory)/errors")) ?? ""
      // One that does not get on will not.
      if size <= before { break }
      before = size
      MonotonicClock.sleep(milliseconds: 2000)
    }
    throw InitError(
      .downloadFailed, "the image cannot be fetched.",
      details: ["From: \(address)"] + complaint.split(separator: "\n").suffix(3).map(String.init),
      remedies: [
        "Check the address, and that its server answers, then leave the shell to try again.",
        "The whole image has to fit into the machine's memory.",
      ])
  }

  private static func fetchOnce(_ address: String) -> ExitStatus {
    do throws(SystemError) {
      let null = try FileDescriptor(opening: "/dev/null", .readWrite)
      let errors = try FileDescriptor(
        opening: "\(MediumInMemory.directory)/errors", [.writeOnly, .create, .truncate])
      var request = ChildRequest(
        ["/bin/busybox", "wget", "-q", "-c", "-T", "30", "-O", MediumInMemory.file, address])
      request.descriptors = [null.rawValue, null.rawValue, errors.rawValue]
      let child = try ChildProcess.start(request)
      var told = MonotonicClock.now()
      while true {
        if let status = try child.poll() { return status }
        MonotonicClock.sleep(milliseconds: 50)
        guard MonotonicClock.now() - told > 5_000_000_000 else { continue }
        told = MonotonicClock.now()
        let size = (try? Files.status(MediumInMemory.file))??.size ?? 0
        Consoles.write("\rRoost: fetching the image, \(size >> 20) MiB ")
      }
    } catch {
      Log.write("\(error)")
      return .exited(1)
    }
  }

  /// Compares what was fetched with what the command line says of it.
  private static func check(_ address: String, _ parameters: BootParameters) throws(InitError) {
    func wrong(_ details: [String]) -> InitError {
      InitError(
        .mediumCorrupt, "what was fetched is not the image that was asked for.",
        details: ["From: \(address)"] + details,
        remedies: [
          "Put the image there that the kernel and the initramfs belong to, and its own digest in roost.image=."
        ])
    }
    if let expected = parameters.downloadDigest {
      let found: ContentDigest
      do throws(SystemError) {
        found = try FileDigest.compute(like: expected, MediumInMemory.file) { _ in }
      } catch {
        throw wrong(["\(error)"])
      }
      guard found == expected else { throw wrong(["Its digest is  \(found)", "but has to be  \(expected)"]) }
    } else {
      Log.write("roost.image= tells no digest: of the image, only the control domain's root is checked")
    }
    guard case .known("iso9660", let uuid, _) = Volume.probe(MediumInMemory.file) else {
      throw wrong(["It is no ISO 9660 image."])
    }
    if let wanted = parameters.medium, uuid != wanted {
      throw wrong(["It is the volume \(uuid ?? "without an identifier"), not \(wanted)."])
    }
  }

  private static func run(_ arguments: [String]) -> ExitStatus {
    do throws(SystemError) {
      let null = try FileDescriptor(opening: "/dev/null", .readWrite)
      var request = ChildRequest(["/bin/busybox"] + arguments)
      request.descriptors = [null.rawValue, null.rawValue, null.rawValue]
      return try ChildProcess.start(request).wait()
    } catch {
      Log.write("\(error)")
      return .exited(1)
    }
  }
}
