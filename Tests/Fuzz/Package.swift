// swift-tools-version: 6.2
import PackageDescription

// A package beside the main one, over the same sources (Sources is a link to them): what is fuzzed is built with
// coverage counters, and linked with libFuzzer. `make fuzz` builds and runs it; README.md says more.

/// Unsafe flags are for root packages, which this one always is.
let instrumented: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableExperimentalFeature("Lifetimes"),
  .treatAllWarnings(as: .error),
  .unsafeFlags(["-sanitize=address,fuzzer", "-enable-testing"]),
]
let linked: [LinkerSetting] = [.unsafeFlags(["-sanitize=address,fuzzer", "-use-ld=lld"])]

let package = Package(
  name: "roost-fuzz",
  targets: [
    .target(name: "CLinux"),
    .target(name: "CKVM"),
    .systemLibrary(name: "CURing", pkgConfig: "liburing"),
    .systemLibrary(name: "CArchive", pkgConfig: "libarchive"),
    .systemLibrary(name: "CBlkid", pkgConfig: "blkid"),
    .systemLibrary(name: "CISOFS", pkgConfig: "libisofs-1"),
    .systemLibrary(name: "CVTerm"),
    .systemLibrary(name: "CYAML"),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib"),
    .target(name: "Binary", swiftSettings: instrumented),
    .target(name: "Platform", dependencies: ["CLinux", "Binary"], swiftSettings: instrumented),
    .target(name: "Devices", dependencies: ["Binary"], swiftSettings: instrumented),
    .target(name: "Jail", dependencies: ["Platform"], swiftSettings: instrumented),
    .target(
      name: "Hypervisor", dependencies: ["Devices", "Jail", "Platform", "Binary", "CKVM", "CURing"],
      swiftSettings: instrumented),
    .target(name: "Identity", dependencies: ["Binary"], swiftSettings: instrumented),
    .target(name: "Manifest", dependencies: ["Identity", "Platform"], swiftSettings: instrumented),
    .target(
      name: "YAML", dependencies: ["CYAML"], swiftSettings: instrumented, linkerSettings: [.linkedLibrary(":libyaml.a")]
    ),
    .target(
      name: "Recipe",
      dependencies: ["YAML", "Manifest", "Identity", "Platform", "Binary"],
      swiftSettings: instrumented),
    .target(name: "DiskImages", dependencies: ["Binary", "CArchive", "CZlib"], swiftSettings: instrumented),
    .target(name: "Probing", dependencies: ["Platform", "CBlkid"], swiftSettings: instrumented),
    .target(
      name: "ImageBuilder",
      dependencies: [
        "Recipe", "Manifest", "Identity", "DiskImages", "Probing", "Platform", "Binary", "CArchive", "CISOFS",
      ],
      swiftSettings: instrumented),
    .target(
      name: "Control", dependencies: ["Manifest", "Identity", "Platform", "Binary", "CVTerm", "CZlib"],
      swiftSettings: instrumented, linkerSettings: [.linkedLibrary(":libvterm.a")]),

    .target(name: "CFuzzer", path: "CFuzzer"),
    .target(name: "Fuzzing", dependencies: ["CFuzzer", "Platform"], path: "Fuzzing", swiftSettings: instrumented),
    // What the unit tests' samples are made of.
    .target(name: "TestMachine", path: "TestMachine", swiftSettings: instrumented),
    .executableTarget(
      name: "fuzz-machine", dependencies: ["Fuzzing", "Hypervisor", "Devices", "Platform", "TestMachine"],
      path: "Machine",
      swiftSettings: instrumented, linkerSettings: linked),
    .executableTarget(
      name: "fuzz-files",
      dependencies: [
        "Fuzzing", "ImageBuilder", "DiskImages", "Recipe", "Control", "Manifest", "Identity", "Platform", "Binary",
        "TestMachine",
      ],
      path: "Files", swiftSettings: instrumented, linkerSettings: linked),
  ])
