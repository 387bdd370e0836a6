internal import Binary
internal import Identity
internal import Manifest
internal import Platform
internal import Recipe
internal import Synchronization

/// What `roost provision` is asked for.
public struct ProvisionRequest: Sendable {
  /// The image, a file or a device; nil: the medium that this appliance was started from.
  public var image: String?
  /// Devices and files to write to; may be empty where the roster names them.
  public var targets: [String]
  /// The roster's file.
  public var roster: String?
  /// Size of targets that are files, in bytes.
  public var fileSize: Int?

  /// All fields.
  public init(image: String?, targets: [String], roster: String? = nil, fileSize: Int? = nil) {
    self.image = image
    self.targets = targets
    self.roster = roster
    self.fileSize = fileSize
  }
}

/// What happens while sticks are written; `target` counts from 0.
public enum ProvisionEvent: Sendable {
  /// How far a target is in a phase: `erase`, `write`, `verify` or `finish`.
  case progress(target: Int, phase: String, done: Int, total: Int)
  /// A target is done, or failed.
  case finished(target: Int, ProvisionOutcome)
}

/// What became of a target.
public struct ProvisionOutcome: Sendable {
  /// Why it failed; nil when it did not.
  public let error: BuildError?
  /// Bytes that were written and read back.
  public let bytes: Int
  /// How long writing took, to the medium.
  public let writeSeconds: Double
  /// How long reading back took.
  public let verifySeconds: Double
  /// Something to know about it; nil for nothing.
  public let notice: String?
}

/// Writes an image to sticks, several at once. Making one looks at everything that may be wrong and writes nothing.
///
/// Devices are held open for this process alone from then on, so that nobody mounts what was found unused.
public final class Provisioning: Sendable {
  /// The targets in the order of the command line, or of the roster.
  public let targets: [ProvisionTarget]
  /// The image's file or device.
  public var imagePath: String { image.path }
  /// Bytes of the image.
  public var imageBytes: Int { image.length }
  /// The appliance's name.
  public var applianceName: String { image.manifest.name }

  private let image: HybridImage
  private let view: @Sendable () -> SystemView
  private let identities: [ApplianceIdentity?]
  private let stores: [(any StickStore)?]

  /// Refuses what must not be overwritten; all reasons at once.
  public convenience init(_ request: ProvisionRequest) throws(BuildError) {
    try self.init(request) { SystemView() }
  }

  init(_ request: ProvisionRequest, view: @escaping @Sendable () -> SystemView) throws(BuildError) {
    self.view = view
    let now = view()
    if let path = request.image {
      image = try HybridImage(path)
    } else {
      image = try HybridImage(try Self.runningMedium(now))
    }
    let roster = try Self.roster(request.roster, image)
    let (paths, sticks) = try Self.assign(roster, to: request.targets)
    let examination = TargetExamination(view: now, image: image, fileSize: request.fileSize)
    var targets: [ProvisionTarget] = []
    var refusals: [BuildError] = []
    for (index, path) in paths.enumerated() {
      do throws(BuildError) {
        var target = try examination.examine(path)
        if let other = targets.first(where: { $0.key == target.key }) {
          throw BuildError(.refused, "\(path) is there twice: it is the same as \(other.path)")
        }
        target.hostname = sticks[index]?.hostname
        targets.append(target)
      } catch {
        refusals.append(error)
      }
    }
    var stores: [(any StickStore)?] = []
    if refusals.isEmpty {
      for target in targets {
        do throws(BuildError) {
          stores.append(try Self.open(target))
        } catch {
          refusals.append(error)
        }
      }
    }
    if !refusals.isEmpty {
      throw BuildError(
        .refused, refusals.map(\.description).joined(separator: "\n"), hint: "nothing was written")
    }
    self.targets = targets
    self.stores = stores
    identities = sticks.map { stick in
      stick.map {
        ApplianceIdentity(
          hostname: $0.hostname, address: $0.subnet?.gatewayDescription, sshKeys: $0.sshKeys, autostart: $0.autostart)
      }
    }
  }

  /// A device, held from now on; nil for a file, which is made when it is written to.
  private static func open(_ target: ProvisionTarget) throws(BuildError) -> (any StickStore)? {
    guard case .device(let path, _) = target.kind else { return nil }
    let store: DeviceStore
    let sector: Int
    do throws(SystemError) {
      store = try DeviceStore(device: path)
      sector = try store.sectorSize()
    } catch {
      let words =
        error.errno == .busy
        ? "is in use"
        : error.errno == .readOnlyFileSystem ? "is read-only" : "cannot be opened: \(error.errno)"
      throw BuildError(.refused, "\(target.path) \(words)")
    }
    guard sector == GUIDPartitionTable.sector else {
      throw BuildError(
        .refused, "\(target.path) has sectors of \(sector) bytes, and the image is for sectors of 512")
    }
    return store
  }

  private static func runningMedium(_ view: SystemView) throws(BuildError) -> String {
    guard let node = view.runningMedium else {
      throw BuildError(
        .badFile, "this is no running appliance: no medium is mounted at \(SystemView.mediumPath)",
        hint: "name an image, as 'roost build' makes it")
    }
    return node.path
  }

  private static func roster(_ path: String?, _ image: HybridImage) throws(BuildError) -> Roster? {
    guard let path else { return nil }
    do throws(RecipeError) {
      return try Roster.load(path, for: image.manifest)
    } catch {
      throw BuildError(.badFile, "\(error)")
    }
  }

  /// Gives each stick of the roster its path: the device that it names, else the next of `paths`.
  static func assign(
    _ roster: Roster?, to paths: [String]
  ) throws(BuildError) -> (paths: [String], sticks: [Roster.Stick?]) {
    guard let roster else { return (paths, paths.map { _ in nil }) }
    let named = roster.sticks.compactMap(\.device)
    func real(_ path: String) -> String { (try? Files.resolve(path)) ?? path }
    if paths.isEmpty {
      if let stick = roster.sticks.first(where: { $0.device == nil }) {
        throw BuildError(
          .refused, "the roster does not say what \(stick.hostname) is written to",
          hint: "name a device for each stick with --to, or with 'device:' in the roster")
      }
      return (named, roster.sticks)
    }
    let count = (sticks: roster.sticks.count, paths: paths.count)
    guard count.sticks == count.paths else {
      throw BuildError(
        .refused,
        "the roster has \(count.sticks) stick\(count.sticks == 1 ? "" : "s"), and there "
          + (count.paths == 1 ? "is 1 target" : "are \(count.paths) targets"),
        hint: "name as many with --to as there are sticks in the roster")
    }
    let reals = paths.map(real)
    for device in named where !reals.contains(real(device)) {
      throw BuildError(
        .refused, "the roster names \(device), which is not among the targets", hint: "add it with --to")
    }
    let taken = Set(named.map(real))
    var free = roster.sticks.filter { $0.device == nil }[...]
    let sticks = reals.map { path in
      taken.contains(path) ? roster.sticks.first { $0.device.map(real) == path } : free.popFirst()
    }
    return (paths, sticks)
  }

  // MARK: Writing

  /// Writes all targets at once and returns when all are done or failed. One that fails does not stop the others;
  /// cancelling stops all. `report` is called from several threads.
  public func run(
    cancellation: Cancellation, report: @escaping @Sendable (ProvisionEvent) -> Void
  ) -> [ProvisionOutcome] {
    run(cancellation: cancellation, wrapping: { $1 }, report: report)
  }

  /// `wrapping` may put a double before the store of a target.
  func run(
    cancellation: Cancellation,
    wrapping: @escaping @Sendable (Int, any StickStore) -> any StickStore,
    report: @escaping @Sendable (ProvisionEvent) -> Void
  ) -> [ProvisionOutcome] {
    let outcomes = OutcomeList(count: targets.count)
    run(targets.indices) { index in
      let outcome: ProvisionOutcome
      do throws(BuildError) {
        outcome = try self.write(index, cancellation, wrapping, report)
      } catch {
        outcome = ProvisionOutcome(
          error: self.explained(error, index), bytes: 0, writeSeconds: 0, verifySeconds: 0, notice: nil)
      }
      outcomes.set(outcome, at: index)
      report(.finished(target: index, outcome))
    }
    return outcomes.all
  }

  /// Calls `body` for each index on a thread of its own; where there are no more threads, on this one.
  private func run(_ indices: Range<Int>, _ body: @escaping @Sendable (Int) -> Void) {
    guard let first = indices.first else { return }
    do throws(SystemError) {
      let thread = try Thread("target \(first)") { body(first) }
      run(indices.dropFirst(), body)
      thread.join()
    } catch {
      body(first)
      run(indices.dropFirst(), body)
    }
  }

  private func write(
    _ index: Int, _ cancellation: Cancellation, _ wrapping: @Sendable (Int, any StickStore) -> any StickStore,
    _ report: @escaping @Sendable (ProvisionEvent) -> Void
  ) throws(BuildError) -> ProvisionOutcome {
    let target = targets[index]
    let opened: any StickStore
    if let held = stores[index] {
      opened = held
    } else {
      opened = try attempt("cannot make the file \(target.path)") { () throws(SystemError) in
        try DeviceStore(file: target.path, size: target.size)
      }
    }
    let store = wrapping(index, opened)
    let plan = StickPlan(image, size: store.size, identity: identities[index], seed: try Self.seed())
    let writer = try StickWriter(target.path, image, plan, to: store, cancellation: cancellation) {
      phase, done, total in
      report(.progress(target: index, phase: phase.rawValue, done: done, total: total))
    }
    let times = try writer.run()
    return ProvisionOutcome(
      error: nil, bytes: writer.bytes, writeSeconds: Double(times.write) / 1e9,
      verifySeconds: Double(times.verify) / 1e9, notice: store.announceTable())
  }

  /// What nobody can guess, and no other stick has.
  private static func seed() throws(BuildError) -> SHA256.Digest {
    let bytes = try attempt("cannot make identifiers") { () throws(SystemError) in
      try FileDescriptor(opening: "/dev/urandom").read(upTo: 32)
    }
    return SHA256.hash(bytes)
  }

  /// A device that is gone is the reason for whatever failed.
  private func explained(_ error: BuildError, _ index: Int) -> BuildError {
    guard error.code == .system, case .device(_, let name) = targets[index].kind, view().tree.nodes[name] == nil else {
      return error
    }
    return BuildError(
      .system, "\(targets[index].path) is gone: it was taken out, or lost its power\n  (\(error.message))",
      hint: "put it back in, and provision it again")
  }

  /// True inside of an appliance, which can clone the medium that it was started from.
  public static var isAppliance: Bool { SystemView().runningMedium != nil }

  // MARK: Candidates

  /// What could be written to, for who named nothing: removable and USB disks, a line each.
  public static func candidates() -> [String] {
    candidates(SystemView())
  }

  static func candidates(_ view: SystemView) -> [String] {
    view.candidates.map { node in
      let size = TargetExamination.bytes(node.size)
      let padding = String(repeating: " ", count: max(1, 10 - size.count))
      var line = "\(node.path)\(padding)\(size)  \(node.model ?? "unknown model")"
      if let serial = node.serial { line += ", serial \(serial)" }
      if let objection = view.objection(toDisk: node.name) { line += "\n    \(objection)" }
      return line
    }
  }
}

/// Outcomes that threads fill in.
private final class OutcomeList: Sendable {
  private let list: Mutex<[ProvisionOutcome?]>

  init(count: Int) {
    list = Mutex(Array(repeating: nil, count: count))
  }

  func set(_ outcome: ProvisionOutcome, at index: Int) {
    list.withLock { $0[index] = outcome }
  }

  var all: [ProvisionOutcome] { list.withLock { $0.compactMap { $0 } } }
}
