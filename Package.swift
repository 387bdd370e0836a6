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
    .executable(name: "roost-appliance", targets: ["roost-appliance"]),
    .executable(name: "roost-vmm", targets: ["roost-vmm"]),
    .executable(name: "roost-init", targets: ["roost-init"]),
    .executable(name: "roost-gateway", targets: ["roost-gateway"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // Without its traits it does not bring all of Foundation, nor another package for configuration files.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    // What Hummingbird is made of, and what is used of it by name.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.2"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
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
    .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // Libraries, lowest first; nothing imports upwards.
    .target(name: "Binary", swiftSettings: strict),
    .target(name: "Platform", dependencies: ["CLinux", "Binary"], swiftSettings: strict + generic),
    .target(name: "Probing", dependencies: ["Platform", "CBlkid"], swiftSettings: strict),
    .target(name: "Identity", dependencies: ["Binary"], swiftSettings: strict),
    .target(name: "Manifest", dependencies: ["Identity", "Platform"], swiftSettings: strict),
    .target(
      name: "YAML", dependencies: ["CYAML"], swiftSettings: strict,
      // The archive: an appliance needs no library for it.
      linkerSettings: [.linkedLibrary(":libyaml.a")]),
    .target(
      name: "Recipe",
      dependencies: ["YAML", "Manifest", "Identity", "Platform", "Binary"],
      swiftSettings: strict),
    .target(name: "Jail", dependencies: ["Platform"], swiftSettings: strict),
    .target(name: "Devices", dependencies: ["Binary"], swiftSettings: strict + generic),
    .target(
      name: "Hypervisor", dependencies: ["Devices", "Jail", "Platform", "Binary", "CKVM", "CURing"],
      swiftSettings: strict),
    .target(name: "DiskImages", dependencies: ["Binary", "CArchive", "CZlib"], swiftSettings: strict),
    .target(
      name: "Storage", dependencies: ["Manifest", "Identity", "DiskImages", "Probing", "Platform", "Binary", "CLVM"],
      swiftSettings: strict),
    .target(
      name: "ImageBuilder",
      dependencies: [
        "Recipe", "Manifest", "Identity", "DiskImages", "Probing", "Platform", "Binary", "CArchive", "CISOFS",
      ], swiftSettings: strict),
    .target(name: "Init", dependencies: ["Identity", "Probing", "Platform", "Binary"], swiftSettings: strict),
    .target(
      name: "Control", dependencies: ["Manifest", "Identity", "Platform", "Binary", "CVTerm", "CZlib"],
      swiftSettings: strict,
      // The archive: a Debian's libvterm has other structures than the next one's under the same name.
      linkerSettings: [.linkedLibrary(":libvterm.a")]),

    .target(name: "Manual", swiftSettings: strict),
    .target(
      name: "Gateway",
      dependencies: [
        "Control", "Manifest", "Platform", "Binary", .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird"), .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "HTTPTypes", package: "swift-http-types"), .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: strict),

    // What people type.
    .target(
      name: "Commands",
      dependencies: [
        "ImageBuilder", "Recipe", "Control", "Manual", "Manifest", "Platform", "Binary",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    .target(name: "StorageCommands", dependencies: ["Storage", "Manifest", "Platform"], swiftSettings: strict),

    // Executables: thin.
    .executableTarget(name: "roost", dependencies: ["Commands"], swiftSettings: strict),
    // All of the control domain's but the monitor, which is to have nothing in it that it does not need.
    .executableTarget(
      name: "roost-appliance",
      dependencies: ["Commands", "StorageCommands", "Control", "Init", "Platform", "CInitStart"],
      swiftSettings: strict),
    .executableTarget(
      name: "roost-vmm", dependencies: ["Hypervisor", "Devices", "Platform", "Binary"], swiftSettings: strict),
    .executableTarget(
      name: "roost-init", dependencies: ["Init", "Platform", "CInitStart"], swiftSettings: strict,
      // It runs before there is a root file system with libraries in it.
      linkerSettings: [.unsafeFlags(["-static-executable"])]),
    .executableTarget(
      name: "roost-gateway", dependencies: ["Gateway", "Manifest", "Platform"], swiftSettings: strict),

    .target(name: "TestMachine", dependencies: ["Platform"], path: "Tests/TestMachine", swiftSettings: strict),
    .testTarget(name: "HatchlingTests", dependencies: ["TestMachine", "Platform"], swiftSettings: strict),
    .testTarget(name: "LayeringTests", dependencies: ["Platform"], swiftSettings: strict),
    .testTarget(name: "BinaryTests", dependencies: ["Binary"], swiftSettings: strict),
    .testTarget(name: "DiskImagesTests", dependencies: ["DiskImages", "Platform", "Binary"], swiftSettings: strict),
    // A program in the jail of a monitor that tries to get out.
    .target(name: "CAttack", path: "Tests/CAttack"),
    .executableTarget(
      name: "jail-attack", dependencies: ["CAttack", "Hypervisor", "Jail", "Platform"], path: "Tests/JailAttack",
      swiftSettings: strict),
    .testTarget(
      name: "JailTests",
      dependencies: ["CAttack", "Hypervisor", "Jail", "Platform", "TestMachine", "jail-attack", "roost-vmm"],
      swiftSettings: strict),
    .testTarget(name: "PlatformTests", dependencies: ["Platform", "Binary"], swiftSettings: strict),
    .testTarget(name: "IdentityTests", dependencies: ["Identity", "Binary"], swiftSettings: strict),
    .testTarget(name: "ManifestTests", dependencies: ["Manifest", "Identity"], swiftSettings: strict),
    .testTarget(
      name: "RecipeTests",
      dependencies: [
        "Recipe", "YAML", "Manifest", "Platform", "Binary", "TestMachine",
      ],
      swiftSettings: strict),
    .testTarget(name: "YAMLTests", dependencies: ["YAML"], swiftSettings: strict),
    .testTarget(name: "DevicesTests", dependencies: ["Devices", "Binary", "TestMachine"], swiftSettings: strict),
    .testTarget(
      name: "HypervisorTests", dependencies: ["Hypervisor", "Devices", "Platform", "TestMachine", "CURing"],
      swiftSettings: strict),
    .testTarget(
      name: "StorageTests",
      dependencies: ["Storage", "ImageBuilder", "Manifest", "Platform", "Binary", "TestMachine", "roost-appliance"],
      swiftSettings: strict),
    .testTarget(name: "InitTests", dependencies: ["Init", "Identity", "Platform", "Binary"], swiftSettings: strict),
    .testTarget(
      name: "ControlTests",
      dependencies: [
        "Control", "Manifest", "Identity", "Platform", "Binary", "CZlib", "TestMachine", "roost", "roost-vmm",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ManualTests", dependencies: ["Manual", "Platform", "roost", "roost-appliance"], swiftSettings: strict),
    .testTarget(
      name: "GatewayTests",
      dependencies: [
        "Gateway", "Control", "Manifest", "Platform", "Binary", .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
      ], swiftSettings: strict),
    .testTarget(
      name: "ImageBuilderTests",
      dependencies: ["ImageBuilder", "Recipe", "Manifest", "Identity", "Platform", "Binary", "TestMachine"],
      swiftSettings: strict),
    .testTarget(
      name: "SystemTests", dependencies: ["Identity", "Manifest", "Platform", "Binary"], swiftSettings: strict),
  ]
)
