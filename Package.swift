// swift-tools-version: 6.2
import PackageDescription

/// What every Swift target is held to: full concurrency checking, an auditable fence around unsafe
/// code, and no warning left standing.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableExperimentalFeature("Lifetimes"),
  .treatAllWarnings(as: .error),
]

/// For modules whose generic code others make concrete on the monitor's hot path: unspecialised, it asks the runtime for
/// type metadata at every step of a request.
let generic: [SwiftSetting] = [
  .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release))
]

let package = Package(
  name: "roost",
  products: [
    .executable(name: "roost", targets: ["roost"]),
    .executable(name: "roostd", targets: ["roostd"]),
    .executable(name: "roost-vmm", targets: ["roost-vmm"]),
    .executable(name: "roost-init", targets: ["roost-init"]),
    .executable(name: "roost-storage", targets: ["roost-storage"]),
  ],
  dependencies: [
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    // C: what Swift cannot express, and system libraries.
    .target(name: "CLinux"),
    .target(name: "CKVM"),
    .target(name: "CInitStart"),
    .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
    .systemLibrary(name: "CISOFS", pkgConfig: "libisofs-1", providers: [.apt(["libisofs-dev"])]),
    .systemLibrary(name: "CBlkid", pkgConfig: "blkid", providers: [.apt(["libblkid-dev"])]),
    .systemLibrary(name: "CLVM", providers: [.apt(["liblvm2-dev"])]),
    .systemLibrary(name: "CURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "CVTerm", providers: [.apt(["libvterm-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // Libraries, lowest first; nothing imports upwards.
    .target(name: "Binary", swiftSettings: strict),
    .target(name: "Platform", dependencies: ["CLinux", "Binary"], swiftSettings: strict + generic),
    .target(name: "Probing", dependencies: ["Platform", "CBlkid"], swiftSettings: strict),
    .target(name: "Identity", dependencies: ["Binary"], swiftSettings: strict),
    .target(name: "Manifest", dependencies: ["Identity", "Platform"], swiftSettings: strict),
    .target(
      name: "Recipe",
      dependencies: ["Manifest", "Identity", "Platform", "Binary", .product(name: "Yams", package: "Yams")],
      swiftSettings: strict),
    .target(name: "Devices", dependencies: ["Binary"], swiftSettings: strict + generic),
    .target(
      name: "Hypervisor", dependencies: ["Devices", "Platform", "Binary", "CKVM", "CURing"], swiftSettings: strict),
    .target(
      name: "Storage", dependencies: ["Manifest", "Identity", "Probing", "Platform", "Binary", "CLVM"],
      swiftSettings: strict),
    .target(
      name: "ImageBuilder",
      dependencies: ["Recipe", "Manifest", "Identity", "Probing", "Platform", "Binary", "CArchive", "CISOFS"],
      swiftSettings: strict),
    .target(name: "Init", dependencies: ["Identity", "Probing", "Platform", "Binary"], swiftSettings: strict),
    .target(
      name: "Control", dependencies: ["Manifest", "Identity", "Platform", "Binary", "CVTerm", "CZlib"],
      swiftSettings: strict,
      // The archive: a Debian's libvterm has other structures than the next one's under the same name.
      linkerSettings: [.linkedLibrary(":libvterm.a")]),

    // Executables: thin.
    .executableTarget(
      name: "roost",
      dependencies: [
        "ImageBuilder", "Recipe", "Control", "Manifest", "Platform", "Binary",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    .executableTarget(name: "roostd", dependencies: ["Control", "Platform"], swiftSettings: strict),
    .executableTarget(
      name: "roost-vmm", dependencies: ["Hypervisor", "Devices", "Platform", "Binary"], swiftSettings: strict),
    .executableTarget(
      name: "roost-init", dependencies: ["Init", "Platform", "CInitStart"], swiftSettings: strict,
      // It runs before there is a root file system with libraries in it.
      linkerSettings: [.unsafeFlags(["-static-executable"])]),
    .executableTarget(
      name: "roost-storage", dependencies: ["Storage", "Manifest", "Platform"], swiftSettings: strict),

    .target(name: "TestMachine", dependencies: ["Platform"], path: "Tests/TestMachine", swiftSettings: strict),
    .testTarget(name: "HatchlingTests", dependencies: ["TestMachine", "Platform"], swiftSettings: strict),
    .testTarget(name: "LayeringTests", dependencies: ["Platform"], swiftSettings: strict),
    .testTarget(name: "BinaryTests", dependencies: ["Binary"], swiftSettings: strict),
    .testTarget(name: "PlatformTests", dependencies: ["Platform", "Binary"], swiftSettings: strict),
    .testTarget(name: "IdentityTests", dependencies: ["Identity", "Binary"], swiftSettings: strict),
    .testTarget(name: "ManifestTests", dependencies: ["Manifest", "Identity"], swiftSettings: strict),
    .testTarget(
      name: "RecipeTests", dependencies: ["Recipe", "Manifest", "Platform", "TestMachine"], swiftSettings: strict),
    .testTarget(name: "DevicesTests", dependencies: ["Devices", "Binary", "TestMachine"], swiftSettings: strict),
    .testTarget(
      name: "HypervisorTests", dependencies: ["Hypervisor", "Devices", "Platform", "TestMachine"], swiftSettings: strict
    ),
    .testTarget(
      name: "StorageTests",
      dependencies: ["Storage", "ImageBuilder", "Manifest", "Platform", "Binary", "TestMachine", "roost-storage"],
      swiftSettings: strict),
    .testTarget(name: "InitTests", dependencies: ["Init", "Identity", "Platform", "Binary"], swiftSettings: strict),
    .testTarget(
      name: "ControlTests",
      dependencies: ["Control", "Manifest", "Identity", "Platform", "Binary", "CZlib", "TestMachine"],
      swiftSettings: strict),
    .testTarget(
      name: "ImageBuilderTests",
      dependencies: ["ImageBuilder", "Recipe", "Manifest", "Identity", "Platform", "Binary", "TestMachine"],
      swiftSettings: strict),
    .testTarget(
      name: "SystemTests", dependencies: ["Identity", "Platform", "Binary"], swiftSettings: strict),
  ]
)
