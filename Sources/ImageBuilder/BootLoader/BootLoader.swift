internal import Platform
internal import Recipe

/// What firmware starts: the boot loader's images for BIOS and UEFI.
struct BootLoader: Sendable {
  let volume: VolumeUUID
  /// The step that made the control domain's root.
  let controlRoot: String
  let secureBoot: SecureBoot
  /// What UEFI starts out of the release's packages.
  let programs: [SignedProgram]
  /// What the recipe adds to the kernel's command line.
  let commandLine: String
  /// The recipe's name.
  let title: String

  static let stepName = "boot loader: BIOS and UEFI"

  init(_ recipe: Recipe, controlRoot: String, secureBoot: SecureBoot) {
    volume = VolumeUUID(digest: recipe.digest)
    self.controlRoot = controlRoot
    self.secureBoot = secureBoot
    programs = SignedProgram.taken(by: recipe.image.secureBoot)
    commandLine = recipe.controlDomain.commandLine
    title = recipe.name
  }

  private var inputs: [Step.Input] {
    var inputs = programs.map { Step.Input(step: controlRoot, file: $0.rawValue) }
    if case .key = secureBoot {
      inputs += [
        .init(step: controlRoot, file: DebianRoot.kernel), .init(step: "initramfs", file: Initramfs.file),
        .init(step: ControlRoot.stepName, file: ControlRoot.rootDigest),
      ]
    }
    return inputs
  }

  func step(epoch: Int, versions: [String: String]) -> Step {
    let tools = [
      "grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "mtools", "dosfstools", "binutils", "osslsigncode",
    ]
    return Step(
      name: Self.stepName, kind: "boot-loader", version: 2,
      settings: ["\(epoch)", "\(volume)", commandLine, title] + secureBoot.settings + tools.map { versions[$0] ?? "" },
      inputs: inputs, outputs: GRUBImages.outputs
    ) { context throws(BuildError) in
      try GRUBImages.make(volume: volume, context)
      let files: [EFIPartition.File]
      switch secureBoot {
      case .none:
        files = [.init(EFIPartition.program, from: try GRUBImages.makeEFI(volume: volume, context))]
      case .debian:
        files = try shim(context)
      case .key(let pair, _):
        files = [.init(EFIPartition.program, from: try unifiedKernelImage(pair, context))]
      }
      try EFIPartition(files: files, volume: volume).make("\(context.output)/\(GRUBImages.efiPartition)", context)
    }
  }

  /// shim starts what lies beside it, and Debian's GRUB has its menu below `/EFI/debian`.
  private func shim(_ context: borrowing StepContext) throws(BuildError) -> [EFIPartition.File] {
    let menu = "\(context.scratch)/grub.cfg"
    try attempt("cannot write GRUB's first commands") { () throws(SystemError) in
      try Files.write(GRUBImages.signedMenu(volume), to: menu)
    }
    return [
      .init(EFIPartition.program, from: try context.input(controlRoot, SignedProgram.shim.rawValue)),
      .init("EFI/BOOT/grubx64.efi", from: try context.input(controlRoot, SignedProgram.grub.rawValue)),
      .init("EFI/BOOT/mmx64.efi", from: try context.input(controlRoot, SignedProgram.keyManager.rawValue)),
      .init(GRUBImages.signedMenuPath, from: menu),
    ]
  }

  private func unifiedKernelImage(
    _ pair: PEMPair, _ context: borrowing StepContext
  ) throws(BuildError) -> String {
    let root = try ControlRoot.digest(at: try context.input(ControlRoot.stepName, ControlRoot.rootDigest))
    return try UnifiedKernelImage(
      stub: try context.input(controlRoot, SignedProgram.stub.rawValue),
      kernel: try context.input(controlRoot, DebianRoot.kernel),
      initramfs: try context.input("initramfs", Initramfs.file),
      commandLine: BootMenu.commandLine(medium: volume, root: root, own: commandLine), title: "Roost: \(title)"
    ).make(signedBy: pair, context)
  }
}
