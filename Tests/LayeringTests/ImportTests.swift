import Platform
import Testing

/// The modules and who may import whom. SwiftPM does not refuse an import of a transitive C target, so this does.
@Suite("Layers")
struct ImportTests {
  /// What each target may import. `docs/architecture.md` says why.
  static let allowed: [String: Set<String>] = [
    "Binary": [],
    "Platform": ["CLinux", "Glibc", "Binary", "Synchronization"],
    "Probing": ["Platform", "CBlkid"],
    "Identity": ["Binary"],
    "Manifest": ["Identity", "Platform", "FoundationEssentials"],
    "YAML": ["CYAML"],
    "Recipe": ["YAML", "Manifest", "Identity", "Platform", "Binary"],
    "DiskImages": ["Binary", "CArchive", "CZlib"],
    "Devices": ["Binary", "Synchronization"],
    "Jail": ["Platform"],
    "Hypervisor": ["Devices", "Platform", "Binary", "Synchronization"],
    "Hypervisor/KVM": ["Devices", "Platform", "Binary", "Synchronization", "CKVM"],
    "Hypervisor/Machine": ["Devices", "Jail", "Platform", "Binary", "Synchronization", "CURing"],
    "Storage": [
      "Manifest", "Identity", "DiskImages", "Probing", "Platform", "Binary", "CLVM", "FoundationEssentials",
      "Synchronization",
    ],
    "ImageBuilder": [
      "Recipe", "Manifest", "DiskImages", "Platform", "Binary", "CArchive", "CISOFS", "FoundationEssentials",
      "Synchronization",
    ],
    "ImageBuilder/Provision": ["Recipe", "Manifest", "Identity", "Probing", "Platform", "Binary", "Synchronization"],
    "Init": ["Identity", "Probing", "Platform", "Binary", "Synchronization"],
    "Control": ["Manifest", "Identity", "Platform", "Binary", "FoundationEssentials", "Synchronization"],
    "Control/Screen": ["Manifest", "Platform", "Binary", "FoundationEssentials", "Synchronization", "CVTerm", "CZlib"],
    "Gateway": [
      "Control", "Manifest", "Platform", "Binary", "FoundationEssentials", "Synchronization", "Hummingbird",
      "HummingbirdCore", "HummingbirdTLS", "NIOCore", "NIOPosix", "NIOSSL", "NIOHTTPTypes", "HTTPTypes", "Logging",
    ],
    "Manual": ["FoundationEssentials"],
    "Commands": [
      "ImageBuilder", "Recipe", "Control", "Manual", "Manifest", "Platform", "Binary", "ArgumentParser",
      "FoundationEssentials", "Synchronization",
    ],
    "StorageCommands": ["Storage", "Manifest", "Platform"],
    "roost": ["Commands"],
    "roost-appliance": ["Commands", "StorageCommands", "Control", "Init", "Platform"],
    "roost-vmm": ["Hypervisor", "Devices", "Platform", "Binary"],
    "roost-init": ["Init", "Platform"],
    "roost-gateway": ["Gateway", "Manifest", "Platform"],
    "BareMetal": ["Machine"],
    "Hatchling": ["Machine"],
    "Conformance": ["Machine"],
  ]

  /// Executables, and what is all that they do.
  static let executables: Set<String> = [
    "Commands", "StorageCommands", "roost", "roost-appliance", "roost-vmm", "roost-init", "roost-gateway", "Hatchling",
  ]

  @Test("Every import is one that the layer allows")
  func imports() throws {
    for file in try SourceTree.swiftFiles("Sources") {
      let components = file.path.split(separator: "/").map(String.init)
      let target = components[1]
      let nested = components.count > 3 ? "\(target)/\(components[2])" : target
      let permitted = try #require(Self.allowed[nested] ?? Self.allowed[target], "\(file.path): unknown target")
      for (number, line) in file.lines.enumerated() {
        guard let module = SourceTree.importedModule(line) else { continue }
        #expect(permitted.contains(module), "\(file.path):\(number + 1): \(target) may not import \(module)")
      }
    }
  }

  @Test("Imports are seen in each way they can be written")
  func importSyntax() {
    #expect(SourceTree.importedModule("internal import CKVM") == "CKVM")
    #expect(SourceTree.importedModule("@_exported public import Binary") == "Binary")
    #expect(SourceTree.importedModule("  import struct Glibc.stat") == "Glibc")
    #expect(SourceTree.importedModule("@testable import Recipe") == "Recipe")
    #expect(SourceTree.importedModule("// import Glibc") == nil)
    #expect(SourceTree.importedModule("important(1)") == nil)
  }

  @Test("Only executables print or exit")
  func printing() throws {
    for file in try SourceTree.swiftFiles("Sources") {
      let target = file.path.split(separator: "/").map(String.init)[1]
      // The executables end by `Platform.exitProcess`: they do not import the C library.
      if Self.executables.contains(target) || file.path == "Sources/Platform/Exit.swift" { continue }
      for (number, line) in file.lines.enumerated() {
        let code = line.trimmingSpaces()
        #expect(
          !code.hasPrefix("print(") && !code.hasPrefix("exit(") && !code.hasPrefix("Glibc.exit("),
          "\(file.path):\(number + 1): a library prints or exits")
      }
    }
  }

  @Test("No file is past 800 lines, and every file that opens the unsafe fence says why it is safe")
  func files() throws {
    for file in try SourceTree.swiftFiles("Sources") {
      #expect(file.lines.count <= 800, "\(file.path) has \(file.lines.count) lines: split it")
      let opensFence = file.lines.contains {
        let code = $0.trimmingSpaces()
        return !code.hasPrefix("//") && (code.contains(" unsafe ") || code.hasPrefix("unsafe "))
      }
      let explains = file.lines.contains { $0.contains("SAFETY:") }
      #expect(!opensFence || explains, "\(file.path) uses unsafe code and has no SAFETY comment")
    }
  }
}
