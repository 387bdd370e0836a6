internal import Platform

/// What a client of the control socket asks of a machine: a line of words of printable ASCII, one blank between them.
enum ControlRequest: Hashable, Sendable {
  /// What stands for a path where the file comes open with the request.
  static let passedFile = "fd"

  /// Whether the machine runs or is paused.
  case status
  /// All CPUs out of the guest.
  case pause
  case resume
  /// A look at the size of the disk with this id.
  case resize(String)
  /// Another disk for the SCSI controller.
  case attach(MachineConfiguration.Disk)
  /// No more of the disk with this id.
  case detach(String)
  /// What the guest is to have of memory, has, and says of it.
  case memory
  /// Memory that the guest is to come to, in bytes.
  case setMemory(UInt64)
  /// CPUs that the guest is to come to.
  case setProcessors(Int)
  /// What CPUs and disks did so far.
  case statistics

  /// Reads a line, its end left out.
  init(_ line: some Collection<UInt8>) throws(ArgumentError) {
    guard line.allSatisfy({ (0x20...0x7E).contains($0) }) else {
      throw ArgumentError("a request is a line of printable ASCII")
    }
    let words = line.split(separator: 0x20, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    func argument(_ what: String) throws(ArgumentError) -> String {
      guard words.count == 2, !words[1].isEmpty else { throw ArgumentError("give \(words[0]) \(what), and no more") }
      return words[1]
    }
    let plain: [String: ControlRequest] = [
      "status": .status, "pause": .pause, "resume": .resume, "statistics": .statistics,
    ]
    switch words[0] {
    case "resize": self = .resize(try argument("the disk's id"))
    case "detach": self = .detach(try argument("the disk's id"))
    case "attach": self = .attach(try Self.disk(try argument("PATH,id=ID[,ro]")))
    case "cpus": self = .setProcessors(try Self.count(try argument("how many CPUs the guest is to have")))
    case "memory" where words.count == 1: self = .memory
    case "memory": self = .setMemory(try Self.memory(try argument("how many bytes the guest is to have")))
    case let word:
      guard let request = plain[word] else {
        throw ArgumentError(
          "\(word) is no request; there are status, pause, resume, resize, attach, detach, memory, cpus, statistics")
      }
      guard words.count == 1 else { throw ArgumentError("\(word) stands alone") }
      self = request
    }
  }

  private static func count(_ text: String) throws(ArgumentError) -> Int {
    guard let count = Int(text), count > 0, text.first?.isNumber == true else {
      throw ArgumentError("cpus \(text): give a number from 1 on")
    }
    return count
  }

  private static func memory(_ text: String) throws(ArgumentError) -> UInt64 {
    guard let bytes = UInt64(text), bytes > 0, bytes % (1 << 20) == 0, text.first?.isNumber == true else {
      throw ArgumentError("memory \(text): give a number of bytes that is whole MiB")
    }
    return bytes
  }

  private static func disk(_ text: String) throws(ArgumentError) -> MachineConfiguration.Disk {
    var disk = try MachineConfiguration.disk(text, "attach", takesBus: false)
    guard !disk.identifier.isEmpty else { throw ArgumentError("attach \(text): give the disk an id=TEXT") }
    disk.bus = .scsi
    return disk
  }
}

/// What a client is told.
enum ControlAnswer: Hashable, Sendable {
  /// It is done; a word where one was asked for.
  case ok(String = "")
  /// It cannot be done; why.
  case error(String)

  /// The answer as a line of printable ASCII, its end included.
  var line: [UInt8] {
    let text =
      switch self {
      case .ok(let word): word.isEmpty ? "ok" : "ok \(word)"
      case .error(let reason): "error \(reason)"
      }
    return text.utf8.map { (0x20...0x7E).contains($0) ? $0 : 0x3F } + [0x0A]
  }
}

/// What one client of the control socket has sent, as requests. One is answered before the next is looked at.
struct ControlSession: Sendable {
  /// Longest line in bytes, without its end.
  static let lineLimit = 1024
  /// Bytes that are kept; a client that is answered before it is read again cannot send more.
  static let roomLimit = 8 << 10

  private var waiting: [UInt8] = []
  /// Came with what was received last, for the next request.
  private var descriptors: [DescriptorBox] = []
  /// The line that goes on is too long, which was said.
  private var isSkipping = false
  /// A request is under way.
  var isBusy = false

  /// Takes what the client has sent.
  mutating func receive(_ bytes: [UInt8]) {
    waiting.append(contentsOf: bytes.prefix(Self.roomLimit - waiting.count))
  }

  /// Takes descriptors that come with what the client sends next. Those of a request that is still waited for are closed.
  mutating func receive(_ descriptors: [DescriptorBox]) {
    self.descriptors = descriptors
  }

  /// The descriptors that belong to the request that `next` has just returned.
  mutating func takeDescriptors() -> [DescriptorBox] {
    defer { descriptors = [] }
    return descriptors
  }

  /// The next request, or what is wrong with it; nil when there is none, or while one is under way.
  mutating func next() -> Result<ControlRequest, ArgumentError>? {
    guard !isBusy else { return nil }
    while let end = waiting.firstIndex(of: 0x0A) {
      let line = Array(waiting[..<end])
      waiting.removeFirst(end + 1)
      if isSkipping {
        isSkipping = false
      } else if line.count > Self.lineLimit {
        return .failure(Self.overlong)
      } else {
        return Result { () throws(ArgumentError) in try ControlRequest(line) }
      }
    }
    guard waiting.count > Self.lineLimit || isSkipping else { return nil }
    waiting = []
    if isSkipping { return nil }
    isSkipping = true
    return .failure(Self.overlong)
  }

  private static var overlong: ArgumentError { ArgumentError("a request has \(lineLimit) bytes at most") }
}
