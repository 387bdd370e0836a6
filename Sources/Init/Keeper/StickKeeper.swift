internal import Identity
internal import Platform

/// Keeps a USB stick that the machine runs from: it may be pulled out and put back while guests run.
///
/// The mappings over its partitions have everything wait that needs the stick. This is a process of its own that needs
/// nothing of the stick: a copy of the initramfs's program in memory. It sees the stick go, says so, recognises the same
/// stick when it is there again, and puts it beneath the mappings. At the machine's end it sees to it that the end comes.
public struct StickKeeper: ~Copyable {
  /// The program, in memory.
  public static let program = "/run/roost/keeper"
  /// The program's argument.
  public static let word = "keep"
  /// The process, as the initramfs started it.
  static let processPath = "/run/roost/keeper.pid"
  /// Who changes the guests' storage holds these; the first has a number that each change raises.
  private static let storageLock = "/run/roost/storage.lock"
  private static let moveLock = "/run/roost/move.lock"

  private static let tick: Int32 = 1000  // milliseconds
  /// How often the group's mark is taken though nobody seems to have changed the group, in nanoseconds.
  private static let habit: UInt64 = 30_000_000_000
  /// How long what waited may take when the stick is back, in nanoseconds.
  private static let settling: UInt64 = 20_000_000_000

  private let mapper: DeviceMapper
  private var model = KeeperModel()
  /// The stick's mappings with the numbers of their partitions on the disk.
  private var mappings: [StickMapping: Int] = [:]
  /// The numbers of all partitions of the stick.
  private var partitions: Set<Int> = []
  private var mark: StickMark?
  /// The disk that the stick is now.
  private var disk = ""
  private var sequence = ""
  private var numbers: [StickMapping: String] = [:]
  /// What the storage's lock said when the group's mark was taken; nil when it is to be taken again.
  private var sampled: String?
  private var sampledAt: UInt64 = 0
  private var refusals: [String: String] = [:]
  /// Whether a change of this machine's own may have been under way when the stick went: what comes to its locks later,
  /// while nothing reaches the stick, explains nothing that is found on it.
  private var wasChanging = true
  /// After how many seconds the kernel would tell of tasks that wait, while it does not.
  private var waitingLimit: String?

  /// Keeps the stick until the machine ends.
  public static func run() -> Never {
    // Whatever of this fails, the rest goes on.
    try? CurrentProcess.lockMemory()
    try? Files.write("-1000", to: "/proc/self/oom_score_adj")
    while true {
      do throws(SystemError) {
        var keeper = try StickKeeper()
        // What is known of a stick that is out cannot be learnt again: it is kept.
        while true {
          do throws(SystemError) { try keeper.serve() } catch { hesitate(error) }
        }
      } catch {
        hesitate(error)
      }
    }
  }

  private static func hesitate(_ error: SystemError) {
    say("the stick's keeper cannot go on (\(error)); trying again")
    MonotonicClock.sleep(milliseconds: 1000)
  }

  private init() throws(SystemError) {
    mapper = try DeviceMapper()
    recognise()
  }

  /// Takes the marks of the stick that is there.
  private mutating func recognise() {
    let tree = BlockTree()
    for mapping in StickMapping.allCases {
      guard let node = tree.node(of: mapping), let partition = node.partition else { continue }
      mappings[mapping] = partition
      disk = node.disk
    }
    guard let node = tree.nodes[disk] else { return }
    sequence = Self.sequence(of: disk)
    note(node, in: tree)
    partitions = Set(tree.parts(of: disk).compactMap(\.partition))
    do throws(SystemError) {
      mark = try StickReader.mark(of: node, in: tree, storage: mappings[.storage])
      Log.toKernel("keeps \(node.path) (\(mappings.keys.map(\.rawValue).sorted().joined(separator: ", ")))")
    } catch {
      Log.toKernel("the stick cannot be read: \(error)")
    }
  }

  /// A line for people: on all consoles and in the kernel's log. Nothing of the stick is needed for it.
  private static func say(_ text: String) {
    Consoles.write("\r\nRoost: \(text)\r\n")
    Log.toKernel(text)
  }

  private mutating func serve() throws(SystemError) {
    let signals = try SignalDescriptor([Signal.terminate, Signal.interrupt, Signal.user1, Signal.user2])
    let uevents = try UeventSocket()
    let poller = try Poller()
    try poller.add(signals.file.rawValue, .readable, token: 0)
    try poller.add(uevents.file.rawValue, .readable, token: 1)
    while true {
      look()
      _ = try poller.wait(timeout: Self.tick)
      while let number = try signals.take() {
        guard let action = PowerCommand.action(signal: number) else { continue }
        perform(model.end(action, at: MonotonicClock.now()))
      }
      // What they say is looked at itself.
      do throws(SystemError) {
        while try uevents.take() != nil {}
      } catch {
        if error.errno != .noBufferSpace { throw error }
      }
    }
  }

  // MARK: Looking

  private mutating func look() {
    let sight = sight()
    let now = MonotonicClock.now()
    if sight == .up {
      if mark == nil { recognise() }
      sample(at: now)
    }
    var candidates: [KeeperModel.Candidate] = []
    if sight == .down {
      if !model.isOut { wasChanging = mayHaveChanged }
      candidates = self.candidates()
    }
    perform(model.look(sight, at: now) { candidates })
  }

  private func sight() -> KeeperModel.Sight {
    var isUsed = false
    var isUp = Files.exists("/sys/class/block/\(disk)") && Self.sequence(of: disk) == sequence
    for mapping in StickMapping.allCases {
      guard let info = try? mapper.info(of: mapping.rawValue), info.openCount > 0 else { continue }
      isUsed = true
      let status = (try? mapper.status(of: mapping.rawValue))?.first?.parameters ?? ""
      // What lies beneath it was gone before this began to look, where there is no number.
      if numbers[mapping].map({ Multipath.isUsable(status, over: $0) == true }) != true { isUp = false }
    }
    return !isUsed ? .unused : isUp ? .up : .down
  }

  /// The kernel's number of a disk's appearance, which no other has.
  private static func sequence(of disk: String) -> String {
    (try? Files.readText("/sys/class/block/\(disk)/diskseq")) ?? ""
  }

  private mutating func note(_ node: BlockNode, in tree: BlockTree) {
    let parts = tree.parts(of: node.name).filter { $0.mapping == nil }
    for (mapping, partition) in mappings {
      if let part = parts.first(where: { $0.partition == partition }) { numbers[mapping] = part.number }
    }
  }

  /// Takes the mark of what LVM has written, when somebody may have changed it.
  private mutating func sample(at now: UInt64) {
    guard mark != nil, let partition = mappings[.storage] else { return }
    // A move changes the group all the time.
    guard !Files.isLocked(Self.moveLock) else {
      sampled = nil
      return
    }
    guard (try? Files.readText(Self.storageLock)) ?? "" != sampled || now >= sampledAt + Self.habit else { return }
    guard let part = BlockTree().parts(of: disk).first(where: { $0.mapping == nil && $0.partition == partition }) else {
      return
    }
    guard Files.exists(Self.storageLock) else { return take(part, at: now) }
    // With the lock, so that it is a mark of one state. Where somebody has it, it is asked for again in a moment.
    guard let lock = try? FileDescriptor(opening: Self.storageLock), (try? lock.lock(waiting: false)) == true else {
      return
    }
    defer { _ = lock.rawValue }  // held to the end
    take(part, at: now)
  }

  private mutating func take(_ part: BlockNode, at now: UInt64) {
    let count = (try? Files.readText(Self.storageLock)) ?? ""
    do throws(SystemError) {
      mark?.group = try StickReader.group(on: part.path)
      sampled = count
      sampledAt = now
    } catch {
      Log.toKernel("\(part.path) does not answer: \(error)")
    }
  }

  /// Whether this machine may have changed the group since its mark was taken.
  private var mayHaveChanged: Bool {
    Files.isLocked(Self.moveLock) || Files.isLocked(Self.storageLock)
      || (try? Files.readText(Self.storageLock)) ?? "" != sampled
  }

  // MARK: Candidates

  private mutating func candidates() -> [KeeperModel.Candidate] {
    let tree = BlockTree()
    let disks = tree.nodes.values.filter { $0.isUSB && !$0.isPartition && $0.size > 0 && !$0.name.hasPrefix("sr") }
    return disks.sorted { $0.name < $1.name }.map { node in
      let sequence = Self.sequence(of: node.name)
      let verdict = refusals[sequence].map(KeeperModel.Verdict.refused) ?? verdict(on: node, in: tree)
      if case .refused(let reason) = verdict { refusals[sequence] = reason }
      return KeeperModel.Candidate(path: node.path, sequence: sequence, verdict: verdict)
    }
  }

  private func verdict(on node: BlockNode, in tree: BlockTree) -> KeeperModel.Verdict {
    guard let mark else { return .refused("cannot be told from other sticks: turn the machine off") }
    do throws(SystemError) {
      let head = try StickReader.mark(of: node, in: BlockTree(nodes: []), storage: nil)
      if let head, head.size != mark.size || head.head != mark.head { return .refused("is another stick") }
      // Its partitions appear a moment later.
      guard Set(tree.parts(of: node.name).compactMap(\.partition)).isSuperset(of: partitions),
        let found = try StickReader.mark(of: node, in: tree, storage: mappings[.storage])
      else { return .unclear }
      return mark.objection(to: found, mayHaveChanged: wasChanging).map { .refused($0) } ?? .same
    } catch {
      // It may not be ready yet, or may be the one that is just going.
      return .unclear
    }
  }

  // MARK: Doing

  private mutating func perform(_ actions: [KeeperModel.Action]) {
    for action in actions {
      switch action {
      case .say(let text): Self.say(text)
      case .report(let report):
        expectWaiting(report.state == .missing)
        try? Files.replace(MediumReport.path, with: report.json)
      case .restore(let candidate):
        let failure = restore(candidate)
        perform(model.restored(candidate, failure: failure, at: MonotonicClock.now()))
      case .stopWaiting:
        for mapping in StickMapping.allCases {
          do throws(SystemError) {
            if try mapper.info(of: mapping.rawValue) != nil { try mapping.setWaiting(false, mapper) }
          } catch {
            Self.say("\(error)")
          }
        }
      case .stopMachine(let action):
        Self.say("the machine does not come to its end by itself and is stopped")
        do throws(SystemError) {
          try RunningSystem.stop(action)
        } catch {
          Self.say("\(error); turn the machine off by its button")
        }
      }
    }
  }

  /// Has the kernel say nothing of tasks that wait for long, as they are meant to, or tell of them again.
  private mutating func expectWaiting(_ isExpected: Bool) {
    let setting = "/proc/sys/kernel/hung_task_timeout_secs"
    if isExpected, waitingLimit == nil {
      waitingLimit = try? Files.readText(setting)
      try? Files.write("0", to: setting)
    } else if !isExpected, let limit = waitingLimit {
      try? Files.write(limit, to: setting)
      waitingLimit = nil
    }
  }

  /// Puts a disk beneath the mappings; why not, in words.
  private mutating func restore(_ candidate: KeeperModel.Candidate) -> String? {
    let tree = BlockTree()
    guard let node = tree.nodes.values.first(where: { $0.path == candidate.path && !$0.isPartition }),
      Self.sequence(of: node.name) == candidate.sequence
    else { return "it is gone again" }
    if !WriteCache.switchOff(disk: node.name) {
      Self.say(
        "the stick has a write cache that cannot be switched off: what it had not stored when it was pulled out is lost. "
          + "Let the guests check their file systems")
    }
    let parts = tree.parts(of: node.name).filter { $0.mapping == nil }
    for mapping in StickMapping.allCases {
      guard let partition = mappings[mapping] else { continue }
      guard let part = parts.first(where: { $0.partition == partition }) else { return "a partition of it is gone" }
      do throws(SystemError) {
        try mapping.use(part, isWaiting: true, mapper)
      } catch {
        // Something that waited may have been written by now.
        wasChanging = true
        return "\(error)"
      }
    }
    disk = node.name
    sequence = candidate.sequence
    note(node, in: tree)
    settle()
    return nil
  }

  /// Waits until what waited is done, for a while: a guest that goes on with a request that is older than its patience
  /// would give it up.
  private func settle() {
    let deadline = MonotonicClock.now() + Self.settling
    while MonotonicClock.now() < deadline, Self.sequence(of: disk) == sequence, isBusy(.storage) {
      MonotonicClock.sleep(milliseconds: 50)
    }
  }

  /// Whether input or output of a mapping is under way (Documentation/ABI/stable/sysfs-block, "inflight").
  private func isBusy(_ mapping: StickMapping) -> Bool {
    guard let minor = (try? mapper.info(of: mapping.rawValue))?.number.split(separator: ":").last,
      let text = try? Files.readText("/sys/class/block/dm-\(minor)/inflight")
    else { return false }
    return text.split(whereSeparator: \.isWhitespace).contains { $0 != "0" }
  }
}

extension StickKeeper {
  /// Has a copy of the running program keep the stick from now on. For the initramfs, whose program is in memory.
  static func start() throws(SystemError) {
    let mapper = try DeviceMapper()
    for mapping in StickMapping.allCases where try mapper.info(of: mapping.rawValue) != nil {
      try mapping.setWaiting(true, mapper)
    }
    try Files.replace(MediumReport.path, with: MediumReport(.present).json)
    // One that an earlier way through left has seen another stick.
    if let process { try? ChildProcess(pid: process).signal(Signal.kill) }
    let null = try FileDescriptor(opening: "/dev/null", .readWrite)
    var request = ChildRequest([program, word])
    request.descriptors = [null.rawValue, null.rawValue, null.rawValue]
    request.newSession = true
    let child = try ChildProcess.start(request)
    try Files.write("\(child.pid)", to: processPath)
  }

  /// The service that keeps the stick; nil where the machine does not run from one.
  static func service() -> Service? {
    Files.exists(program) ? Service(name: serviceName, command: [program, word], kind: .always) : nil
  }

  static let serviceName = "stick"

  /// The process that the initramfs started; nil for none.
  static var process: Int32? {
    guard let text = try? Files.readText(processPath), let pid = Int32(text.prefix(while: \.isNumber)) else {
      return nil
    }
    return Files.exists("/proc/\(pid)") ? pid : nil
  }
}
