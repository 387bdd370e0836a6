import Manifest
import Platform
import Testing
@testable import Recipe

/// The text of the recipe that `make demo` builds.
func quickstartText() throws -> String {
  let parts = #filePath.split(separator: "/").dropLast(3)
  return try Files.readText("/" + parts.joined(separator: "/") + "/recipes/quickstart.yaml")
}

/// What is wrong with a recipe's text, one line each; empty when nothing is.
func problems(_ text: String) -> [String] {
  do {
    _ = try Recipe.parse(text, file: "r.yaml")
    return []
  } catch {
    return error.description.split(separator: "\n").map(String.init)
  }
}

/// A correct recipe; `domain` replaces the lines of its only domain.
func recipe(top: String = "", domain: String = Lines.domain) -> String {
  "name: test\ncontrol-domain: {suite: trixie}\n\(top)domains:\n\(domain)"
}

enum Lines {
  static let domain = """
      - name: debian
        memory: 384 MiB
        disk: 2 GiB
        source: {debian: {suite: trixie}}

    """
}

@Suite struct RecipeTests {
  @Test func quickstartIsWhatItSays() throws {
    let recipe = try Recipe.parse(quickstartText(), file: "quickstart.yaml")
    #expect(recipe.name == "quickstart")
    #expect(recipe.domains.map(\.name) == ["debian", "bookworm", "hatchling"])
    #expect(recipe.domains.map(\.memoryBytes) == [384 << 20, 384 << 20, 32 << 20])
    #expect(recipe.domains.map(\.boot) == [.linux, .linux, .pvh])
    #expect(recipe.domains.map(\.diskBytes) == [2 << 30, 2 << 30, nil])
    #expect(recipe.domains.map(\.ready.consoleText) == ["debian login:", "bookworm login:", "hatchling> "])
    #expect(recipe.domains.map(\.autostart) == [true, true, true])
    #expect(recipe.storage.ramBytes == 1 << 30)
    let addresses = recipe.networkCards.mapValues { $0.map(\.address) }
    #expect(addresses == ["debian": ["10.77.0.10"], "bookworm": ["10.77.0.11"], "hatchling": []])
  }

  @Test func everyRecipeThatComesAlongIsCorrect() throws {
    let parts = #filePath.split(separator: "/").dropLast(3)
    let directory = "/" + parts.joined(separator: "/") + "/recipes"
    let names = try Files.list(directory)
    #expect(names.contains("quickstart.yaml"))
    for name in names {
      let recipe = try Recipe.load("\(directory)/\(name)")
      #expect("\(recipe.name).yaml" == name)
    }
  }

  @Test func whatIsLeftOutHasADefault() throws {
    let recipe = try Recipe.parse(recipe(), file: "r.yaml")
    let control = recipe.controlDomain
    #expect(control.suite == "trixie" && control.hostname == "roost" && control.packages == [])
    #expect(control.commandLine.isEmpty && control.customization.isEmpty)
    #expect(recipe.network.subnet.description == "10.77.0.0/24")
    let domain = try #require(recipe.domains.first)
    #expect(domain.os == "Debian 13")
    #expect(domain.cpus == 1)
    #expect(domain.ready == .init(consoleText: "debian login:", timeoutSeconds: 300))
    #expect(domain.onReboot == .restart)
    #expect(domain.onCrash == .preserve)
    #expect(!domain.hasNetwork)
  }

  @Test func ownFiles() throws {
    let text = recipe(
      domain: """
          - name: own
            memory: 64 MiB
            source: {kernel: vmlinuz, initrd: /abs/initrd, command-line: "console=ttyS0"}
            ready: {console: "# "}
        """)
    let recipe = try Recipe.parse(text, file: "a/b/r.yaml", directory: "a/b")
    let domain = try #require(recipe.domains.first)
    guard case .files(let files) = domain.source else {
      Issue.record("\(domain.source)")
      return
    }
    #expect(files.kernel == .path("vmlinuz"))
    #expect(files.initrd == .path("/abs/initrd"))
    #expect(files.modules.isEmpty && files.image == nil)
    #expect(domain.commandLine == "console=ttyS0")
    #expect(domain.boot == nil)  // what the kernel's file says
    #expect(recipe.resolve("vmlinuz") == "a/b/vmlinuz")
    #expect(recipe.resolve("/abs/initrd") == "/abs/initrd")
  }

  @Test func theDigestFollowsTheMeaningOnly() throws {
    let one = try Recipe.parse(recipe(), file: "r.yaml")
    let other = """
      # another order, another way to write the same
      domains: [{source: {debian: {suite: trixie}}, memory: 393216KiB, disk: 2048 MiB, name: debian}]
      control-domain: {suite: trixie, hostname: roost}
      name: test
      """
    let two = try Recipe.parse(other, file: "elsewhere.yaml", directory: "/x")
    #expect(one.digest == two.digest)
    let changed = recipe(domain: Lines.domain.replacing("384", with: "385"))
    let three = try Recipe.parse(changed, file: "r.yaml")
    #expect(one.digest != three.digest)
    #expect(one.domains.first?.sourceDigest == three.domains.first?.sourceDigest)
    #expect(one.uuid(for: "medium") == two.uuid(for: "medium"))
    #expect(one.uuid(for: "medium") != one.uuid(for: "ram"))
    #expect(one.uuid(for: "medium") != three.uuid(for: "medium"))
  }

  private func macAddresses() throws -> [String: String] {
    try Recipe.parse(quickstartText(), file: "q").networkCards.compactMapValues { $0.first?.mac }
  }

  @Test func macAddressesAreLocalStableAndUnique() throws {
    let first = try macAddresses()
    #expect(first == (try macAddresses()))
    #expect(Set(first.keys) == ["debian", "bookworm"])
    #expect(Set(first.values).count == 2)
    for address in first.values {
      #expect(address.hasPrefix("52:54:00:"))
      #expect(address.count == 17)
    }
  }

  @Test func loadTellsWhyAFileCannotBeRead() {
    #expect {
      _ = try Recipe.load("/nonexistent/r.yaml")
    } throws: {
      "\($0)".contains("/nonexistent/r.yaml: cannot be read: No such file")
    }
    #expect {
      _ = try Recipe.load("/dev/zero")
    } throws: {
      "\($0)".contains("larger than 1 MiB")
    }
  }
}

extension String {
  func replacing(_ part: String, with other: String) -> String {
    guard let range = firstRange(of: part) else { return self }
    return String(self[..<range.lowerBound]) + other + String(self[range.upperBound...])
  }
}
