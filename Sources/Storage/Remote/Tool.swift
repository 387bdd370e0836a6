internal import Manifest
internal import Platform

/// Programs of Debian's that connect devices and read images.
enum Tool {
  /// What a program came to.
  struct Outcome {
    /// How it ended.
    let status: ExitStatus
    /// What it said, errors included.
    let text: String
  }

  /// Where a program is; throws what to do about it where it is not.
  static func find(_ name: String, package: String) throws(StorageError) -> String {
    let places = name.hasPrefix("/") ? [name] : ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"].map { $0 + name }
    if let found = places.first(where: Files.exists) { return found }
    throw StorageError(
      .remote, "there is no \(name) here; Debian's \(package) must be in the control domain: build the image again")
  }

  /// Runs a program; it may take `patience` seconds, after which it is ended. Who inherits its output is not waited for:
  /// some leave a daemon behind. `heard` is told what it says, as it comes.
  static func run(
    _ arguments: [String], patience: Int = 20, heard: (String) -> Void = { _ in }
  ) throws(StorageError) -> Outcome {
    let words = arguments.joined(separator: " ")
    return try storage("run \(words)") { () throws(SystemError) in
      let output = try Pipe()
      let silence = try FileDescriptor(opening: "/dev/null")
      try output.reader.setNonBlocking(true)
      var request = ChildRequest(arguments)
      request.descriptors = [silence.rawValue, output.writer.rawValue, output.writer.rawValue]
      request.newProcessGroup = true
      let child = try ChildProcess.start(request)
      var bytes: [UInt8] = []
      func take() {
        while let more = try? output.reader.read(upTo: 1 << 16), !more.isEmpty {
          if bytes.count < 1 << 20 { bytes += more }
          heard(String(decoding: more, as: UTF8.self))
        }
      }
      let end = MonotonicClock.now() + UInt64(patience) * 1_000_000_000
      while true {
        let status = try child.poll()
        take()
        if let status { return Outcome(status: status, text: String(decoding: bytes, as: UTF8.self)) }
        if MonotonicClock.now() > end {
          try? child.signalGroup(Signal.kill)
          _ = try? child.wait()
          throw SystemError("run", path: arguments.first, errno: .timedOut)
        }
        MonotonicClock.sleep(milliseconds: 10)
      }
    }
  }

  /// As `run`; a program that fails throws with what it said. Returns what it said otherwise.
  @discardableResult
  static func succeed(_ arguments: [String], patience: Int = 20, doing: String) throws(StorageError) -> String {
    let outcome = try run(arguments, patience: patience)
    guard outcome.status.isSuccess else {
      let said = outcome.text.split(whereSeparator: \.isNewline).map(String.init)
      throw StorageError(
        .remote, "cannot \(doing): \((said.suffix(3) + ["\(outcome.status)"]).joined(separator: "; "))")
    }
    return outcome.text
  }

  /// Loads a module of the kernel's, if it is not there.
  static func load(_ module: String, _ parameters: [String] = []) throws(StorageError) {
    guard !Files.exists("/sys/module/\(module)") else { return }
    let modprobe = try find("modprobe", package: "kmod")
    let outcome = try run([modprobe, module] + parameters)
    guard outcome.status.isSuccess else {
      throw StorageError(
        .remote,
        "the kernel has no module \(module), or does not take it: "
          + outcome.text.split(whereSeparator: \.isNewline).joined(separator: "; "))
    }
  }

  /// The IPv4 address of a host, by the C library's ways of finding it.
  static func address(of host: String) throws(StorageError) -> IPv4Address {
    if let address = IPv4Address(host) { return address }
    let outcome = try run([try find("getent", package: "libc-bin"), "ahostsv4", host])
    let words = outcome.text.split { $0.isWhitespace }
    guard outcome.status.isSuccess, let word = words.first, let address = IPv4Address(String(word)) else {
      throw StorageError(.remote, "the name \(host) has no address: is it spelt right, and does a name server know it?")
    }
    return address
  }

  /// Waits until `find` finds something; nil after `seconds`.
  static func wait<T>(seconds: Int, for find: () -> T?) -> T? {
    let end = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
    while true {
      if let found = find() { return found }
      if MonotonicClock.now() > end { return nil }
      MonotonicClock.sleep(milliseconds: 50)
    }
  }

  /// The text of a file of the kernel's without the line's end; nil where it has none.
  static func text(_ path: String) -> String? {
    guard let text = try? Files.readText(path) else { return nil }
    return text.split(whereSeparator: \.isNewline).first.map(String.init)
  }
}

/// Who uses a block device.
enum DeviceUse {
  /// Whether somebody has it open: as a part of another device, mounted, or a process, as monitors do.
  static func isOpen(_ device: String) -> Bool {
    do throws(SystemError) {
      _ = try FileDescriptor(opening: device, [.readOnly, .exclusive])
    } catch {
      if error.errno == .busy { return true }
    }
    let own = "\(ProcessEnvironment.processID)"
    for process in (try? Files.list("/proc")) ?? [] where process != own && process.allSatisfy(\.isNumber) {
      let directory = "/proc/\(process)/fd"
      for number in (try? Files.list(directory)) ?? [] where (try? Files.readLink("\(directory)/\(number)")) == device {
        return true
      }
    }
    return false
  }
}
