/// One image of a layout: the one for this kind of machine that the recipe means.
struct OCIImage {
  let layout: OCILayout
  let manifest: OCIManifest
  let config: OCIConfig

  /// What guests are.
  private static let platform = OCIDescriptor.Platform(architecture: "amd64", os: "linux")
  /// Lists in lists.
  private static let depth = 4
  /// Layers; OverlayFS, which most images are made for, takes no more.
  private static let layerLimit = 500
  /// Entries of all lists together.
  private static let manifestLimit = 1000

  /// Chooses the image that `reference` names; without it there may be one only.
  init(_ layout: OCILayout, reference: String?, cancellation: Cancellation) throws(BuildError) {
    self.layout = layout
    var listed = try layout.index().manifests
    if let reference {
      let named = listed.filter { $0.references.contains { Self.is($0, reference) } }
      guard !named.isEmpty else {
        let names = listed.flatMap(\.references)
        throw BuildError(
          .badFile, "\(layout.name) has no image '\(reference)'",
          hint: names.isEmpty
            ? "its images have no names; leave 'reference' out" : "it has \(Self.list(names)); correct 'reference'")
      }
      listed = named
    }
    var found: [(descriptor: OCIDescriptor, manifest: OCIManifest, config: OCIConfig)] = []
    var others: [String] = []
    var left = Self.manifestLimit
    for descriptor in try Self.manifests(listed, layout, depth: Self.depth, &left, cancellation) {
      try cancellation.check()
      if found.contains(where: { $0.descriptor.digest == descriptor.digest }) { continue }
      if let platform = descriptor.platform, platform != Self.platform {
        others.append("\(platform.os)/\(platform.architecture)")
        continue
      }
      let manifest = try layout.document(descriptor, as: OCIManifest.self, "the manifest")
      let config = try layout.document(manifest.config, as: OCIConfig.self, "the configuration")
      guard config.os == Self.platform.os, config.architecture == Self.platform.architecture else {
        others.append("\(config.os)/\(config.architecture)")
        continue
      }
      found.append((descriptor, manifest, config))
    }
    guard let first = found.first else {
      throw BuildError(
        .badFile,
        "\(layout.name) has no image for linux/amd64"
          + (others.isEmpty ? "" : "; it is for \(Self.list(others))"),
        hint: "copy it with: skopeo copy --override-arch amd64 --override-os linux …")
    }
    guard found.count == 1 else {
      let names = found.map { $0.descriptor.references.first ?? $0.descriptor.digest }
      throw BuildError(
        .badFile, "\(layout.name) has \(found.count) images", hint: "say which with 'reference': \(Self.list(names))")
    }
    guard first.manifest.layers.count == first.config.rootfs.layers.count else {
      throw BuildError(
        .badFile,
        "\(layout.name) has \(first.manifest.layers.count) layers, and its configuration speaks of "
          + "\(first.config.rootfs.layers.count)")
    }
    guard first.manifest.layers.count <= Self.layerLimit else {
      throw BuildError(.badFile, "\(layout.name) has more than \(Self.layerLimit) layers")
    }
    (manifest, config) = (first.manifest, first.config)
  }

  /// Lays the image's layers over each other, each checked.
  func unpack(
    into files: inout LayerFiles, scratch: String, cancellation: Cancellation, progress: (String) -> Void
  ) throws(BuildError) {
    for (number, descriptor) in manifest.layers.enumerated() {
      progress("layer \(number + 1) of \(manifest.layers.count)")
      let packed = try layout.file(descriptor, "layer \(number + 1)")
      try files.add(
        packed, digest: config.rootfs.layers[number], to: "\(scratch)/layer-\(number + 1).tar",
        cancellation: cancellation)
    }
  }

  /// The images of a list and of those in it.
  private static func manifests(
    _ listed: [OCIDescriptor], _ layout: OCILayout, depth: Int, _ left: inout Int, _ cancellation: Cancellation
  ) throws(BuildError) -> [OCIDescriptor] {
    // What is listed counts as often as it is, wherever it is: lists may name each other a thousand times.
    left -= listed.count
    guard depth > 0, left >= 0 else {
      throw BuildError(.badFile, "\(layout.name) has more lists of images than can be")
    }
    var found: [OCIDescriptor] = []
    for descriptor in listed {
      try cancellation.check()
      if descriptor.isIndex {
        let index = try layout.document(descriptor, as: OCIIndex.self, "a list of images")
        found += try manifests(index.manifests, layout, depth: depth - 1, &left, cancellation)
      } else {
        found.append(descriptor)
      }
    }
    return found
  }

  /// Whether `name`, which may be whole (`docker.io/library/app:1`), is what a recipe calls `reference`.
  private static func `is`(_ name: String, _ reference: String) -> Bool {
    name == reference || name.hasSuffix("/\(reference)") || name.hasSuffix(":\(reference)")
  }

  private static func list(_ names: [String]) -> String {
    let shown = Array(Set(names)).sorted().prefix(8).map { EscapedText.make(String($0.prefix(120))) }
    return shown.joined(separator: ", ")
  }
}
