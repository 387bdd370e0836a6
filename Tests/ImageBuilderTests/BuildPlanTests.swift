import Platform
import Recipe
import Testing

@testable import ImageBuilder

@Suite("The plan of a build")
struct BuildPlanTests {
  private static let guests = """
      - name: one
        os: Debian 13
        disk: 2 GiB
        memory: 256 MiB
        source: {debian: {suite: trixie, packages: [], hostname: one}}
        ready: {console: "one login:", timeout: 60 s}
      - name: two
        os: Debian 13
        disk: 2 GiB
        memory: 256 MiB
        source: {debian: {suite: trixie, packages: [], hostname: two}}
        ready: {console: "two login:", timeout: 60 s}

    """

  private func plan(_ domains: String, in directory: TemporaryDirectory, update: Bool = false) throws -> BuildPlan {
    for name in Programs.names + [Programs.hatchling] { try directory.write(name, "a program") }
    try directory.write(Programs.bootMenu, "@TITLE@ @COMMAND_LINE@")
    let text = "name: test\ncontrol-domain: {suite: trixie, hostname: test}\ndomains:\n\(domains)"
    try directory.write("recipe.yaml", text)
    var options = BuildOptions(output: "\(directory.path)/out.iso")
    options.programs = directory.path
    options.update = update
    return try BuildPlan(try Recipe.load("\(directory.path)/recipe.yaml"), options, versions: [:])
  }

  /// What decides each step's result beside its inputs.
  private func settings(_ plan: BuildPlan) -> [String: [String]] {
    Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.name, $0.settings) })
  }

  @Test("It is an ordered list: every step comes after what it reads, and reads what is made")
  func order() throws {
    let directory = try TemporaryDirectory()
    let plan = try plan(Self.guests, in: directory)
    var made: [String: [String]] = [:]
    for step in plan.steps {
      for input in step.inputs { #expect(made[input.step]?.contains(input.file) == true, "\(step.name): \(input)") }
      #expect(made[step.name] == nil, "\(step.name) is there twice")
      made[step.name] = step.outputs
    }
  }

  @Test("Two guests of one release and the same packages share its root file system")
  func sharedRoot() throws {
    let directory = try TemporaryDirectory()
    let roots = try plan(Self.guests, in: directory).steps.filter { $0.kind == "debian-root" }
    #expect(roots.count == 2)  // the control domain's and the guests'
    let other = Self.guests.split(separator: "\n").map {
      $0.contains("hostname: two") ? $0.split(separator: "[]").joined(separator: "[nano]") : String($0)
    }
    let more = try plan(other.joined(separator: "\n"), in: directory).steps.filter { $0.kind == "debian-root" }
    #expect(more.count == 3)
  }

  @Test("A changed guest changes its own steps and the volume they are in; more memory changes none")
  func changedGuest() throws {
    let directory = try TemporaryDirectory()
    let before = settings(try plan(Self.guests, in: directory))
    let renamed = Self.guests.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.contains("hostname: two") ? "    source: {debian: {suite: trixie, packages: [], hostname: deux}}" : String($0)
    }.joined(separator: "\n")
    let after = settings(try plan(renamed, in: directory))
    let changed = Set(after.keys.filter { after[$0] != before[$0] })
    #expect(changed == ["two: disk", ImagesVolume.stepName, BootLoader.stepName])
    let larger = Self.guests.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.contains("memory") ? "    memory: 512 MiB" : String($0)
    }.joined(separator: "\n")
    let grown = settings(try plan(larger, in: directory))
    #expect(Set(grown.keys.filter { grown[$0] != before[$0] }) == [BootLoader.stepName])
  }

  @Test("A changed program changes what is made of it")
  func changedProgram() throws {
    let directory = try TemporaryDirectory()
    let before = settings(try plan(Self.guests, in: directory))
    let programs = try Programs(directory: directory.path, needsHatchling: false)
    try directory.write("roost-vmm", "another program")
    #expect(try programs.step(versions: [:]).settings != before[Programs.stepName])
  }

  @Test("Only --update makes root file systems anew")
  func update() throws {
    let directory = try TemporaryDirectory()
    #expect(try !plan(Self.guests, in: directory).steps.contains { $0.isForced })
    let forced = try plan(Self.guests, in: directory, update: true).steps.filter { $0.isForced }
    #expect(forced.map(\.kind) == ["debian-root", "debian-root"])
  }

  @Test("A kernel file that is not a kernel, or not there, is refused before anything is made")
  func badKernel() throws {
    let directory = try TemporaryDirectory()
    try directory.write("vmlinuz", "I am a text.")
    for boot in ["linux", "pvh"] {
      let domain = """
          - name: lab
            os: Own
            memory: 64 MiB
            boot: \(boot)
            source: {kernel: vmlinuz, command-line: "console=ttyS0"}
            ready: {console: "ready", timeout: 60 s}

        """
      let error = #expect(throws: BuildError.self) { try plan(domain, in: directory) }
      #expect(error?.code == .notAKernel)
      #expect(error?.message.contains("\(directory.path)/vmlinuz") == true)
      let missing = domain.split(separator: "vmlinuz").joined(separator: "nowhere")
      let absent = #expect(throws: BuildError.self) { try plan(missing, in: directory) }
      #expect(absent?.code == .badFile)
      #expect(absent?.message.hasPrefix("lab: ") == true)
    }
  }

  @Test("A missing program of Roost's is named")
  func missingProgram() throws {
    let directory = try TemporaryDirectory()
    let error = #expect(throws: BuildError.self) { try Programs(directory: directory.path, needsHatchling: false) }
    #expect(error?.code == .missingProgram)
    #expect(error?.message == "Roost's program roost is not in \(directory.path)")
  }
}
