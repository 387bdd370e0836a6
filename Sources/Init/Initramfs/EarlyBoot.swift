internal import Binary
internal import Platform

/// The initramfs: finds the boot medium, checks it, and puts the control domain's root together.
///
/// It runs as PID 1 and never ends: every failure leads to the rescue screen, from which it tries again.
public enum EarlyBoot {
  private static let medium = "/run/roost/medium"
  private static let root = "/run/roost/root"
  private static let overlay = "/run/roost/overlay"
  private static let newRoot = "/new-root"
  private static let mapping = "roost-root"
  private static let next = "/usr/sbin/roost-init"

  /// Boots. `fault` is the signal of a fault that ended this program's earlier life as PID 1.
  public static func run(fault: Int32? = nil) -> Never {
    var report = mountKernelFileSystems()
    // With neither console nor fault handler one can still try to boot.
    if (try? CurrentProcess.redirectStandardStreams(to: "/dev/console")) == nil { report.append("no /dev/console") }
    try? CurrentProcess.executeOnFault(["/proc/self/exe", "initramfs"])
    try? ProcessEnvironment.set("PATH", to: "/usr/sbin:/usr/bin:/sbin:/bin")
    for line in report { Log.write(line) }
    var modules = ModuleLoader(modprobe: ["/bin/busybox", "modprobe"])
    var failure = fault.map { faulted($0) }
    while true {
      do throws(InitError) {
        if let earlier = failure { throw earlier }
        try attempt(&modules)
      } catch {
        Rescue.run(error)
        failure = nil
      }
    }
  }

  private static func faulted(_ signal: Int32) -> InitError {
    InitError(
      .internalFault, "roost-init itself failed (signal \(signal)).",
      remedies: ["Leave the shell to try again. Please report this with the output of `dmesg`."])
  }

  /// Mounts what the kernel shows of itself; returns what went wrong, in words.
  private static func mountKernelFileSystems() -> [String] {
    var report: [String] = []
    let wanted: [(type: String, target: String, flags: MountFlags, options: String)] = [
      ("proc", "/proc", [.noSetUserID, .noDevices, .noExecution], ""),
      ("sysfs", "/sys", [.noSetUserID, .noDevices, .noExecution], ""),
      ("devtmpfs", "/dev", [.noSetUserID], "mode=755"),
      ("tmpfs", "/run", [.noSetUserID, .noDevices], "mode=755"),
    ]
    for entry in wanted {
      do throws(SystemError) {
        try Files.makeDirectories(entry.target)
        if Files.exists("/proc/self/mountinfo"), try Mount.find(at: entry.target) != nil { continue }
        try Mount.mount(entry.type, at: entry.target, type: entry.type, entry.flags, options: entry.options)
      } catch {
        report.append("\(error)")
      }
    }
    return report
  }

  /// One way through. It does not return when all goes well.
  private static func attempt(_ modules: inout ModuleLoader) throws(InitError) {
    let line = KernelCommandLine((try? Files.readText("/proc/cmdline")) ?? "")
    if line["roost.rescue"] != nil {
      throw InitError(
        .requested, "the kernel command line asks for the rescue shell (roost.rescue).",
        remedies: ["Restart without roost.rescue to start Roost."])
    }
    let parameters = try BootParameters(line)
    undo()
    modules.load(["loop", "squashfs", "overlay", "isofs"])
    var place: MediumPlace
    if let address = parameters.download {
      place = try MediumDownload.fetch(address, parameters, &modules)
    } else {
      place = try find(parameters, &modules)
    }
    if parameters.copiesToMemory, parameters.download == nil {
      let path = if case .file(let file, _) = place { file } else { place.description }
      place = try MediumInMemory.copy(path, from: place)
      try? Mount.unmount(ImageFile.carrier, lazily: true)
    }
    switch place {
    case .device(let device): try mountMedium(place, at: StickMappings.make(over: device, &modules))
    case .file(let file, _): try mountMedium(place, image: file)
    }
    modules.load(VerifiedFile.modules)
    let image = "\(medium)/roost/root.squashfs"
    let file = VerifiedFile(
      name: mapping, file: image, tree: "\(medium)/roost/root.verity", root: parameters.root)
    try mountRoot(try verify(file, on: place))
    try leave()
  }

  /// Takes down what an earlier way through left.
  private static func undo() {
    for target in [newRoot, overlay, root, medium, MediumInMemory.directory, ImageFile.carrier] {
      while let mount = try? Mount.find(at: target) {
        guard (try? Mount.unmount(mount.target, lazily: true)) != nil else { break }
      }
      if target == root { VerifiedFile.remove(mapping) }
    }
    StickMappings.remove()
  }

  private static func find(
    _ parameters: BootParameters, _ modules: inout ModuleLoader
  ) throws(InitError) -> MediumPlace {
    let wanted = parameters.medium ?? ""  // there is one where nothing is fetched
    Consoles.say("looking for the boot medium, volume \(wanted)")
    if parameters.file != nil { modules.load(ImageFile.modules) }
    let start = MonotonicClock.now()
    var told: UInt64 = 0
    var settling = USBSettling()
    while true {
      modules.load(Modalias.collect())
      let search = MediumSearch(wanted, among: BlockDevice.list()) { Volume.probe($0.path) }
      if search.medium != nil, !settling.isOver() {
        MonotonicClock.sleep(milliseconds: 250)
        continue
      }
      if let refusal = search.refusal { throw refusal }
      if let device = search.medium {
        Consoles.say("found it on \(device.path)")
        return .device(device)
      }
      if let name = parameters.file, let place = ImageFile.find(name, volume: wanted, among: search.seen) {
        Consoles.say("found it as \(place.description)")
        return place
      }
      let seconds = (MonotonicClock.now() - start) / 1_000_000_000
      if seconds >= UInt64(parameters.wait) {
        throw InitError(
          .mediumMissing, "the boot medium was not found.",
          details: ["Looked for: the ISO 9660 volume \(wanted), for \(seconds) s"]
            + (parameters.file.map { ["and for its image as the file \($0)"] } ?? []) + ["Devices seen:"]
            + search.report.map { "  \($0)" },
          remedies: [
            "Put the disc or stick that this machine started from back in, then leave the shell to try again.",
            "Try another USB port: one on the machine itself, not on a hub; a slow stick may need roost.wait=60 on",
            "  the kernel command line.",
            "If the medium is there and not listed, this kernel may lack a driver for its controller: see `dmesg`.",
          ])
      }
      if seconds / 5 > told {
        told = seconds / 5
        Consoles.say("still looking (\(seconds) of \(parameters.wait) s); seen so far: \(search.seen.count) devices")
        // A boot loader that does not say which file it read the kernel from.
        modules.load(ImageFile.modules)
        if parameters.file == nil, let place = ImageFile.find(nil, volume: wanted, among: search.seen) {
          Consoles.say("found it as \(place.description)")
          return place
        }
      }
      MonotonicClock.sleep(milliseconds: 250)
    }
  }

  private static func mountMedium(_ place: MediumPlace, image: String) throws(InitError) {
    let loop: LoopDevice
    do throws(SystemError) {
      loop = try LoopDevice.attach(image, readOnly: true)
    } catch {
      throw unreadable(place, error)
    }
    defer { try? loop.detach() }  // the kernel keeps it for as long as it is mounted
    try mountMedium(place, at: loop.path)
  }

  private static func unreadable(_ place: MediumPlace, _ error: SystemError) -> InitError {
    InitError(
      .mediumUnreadable, "the boot medium on \(place.description) cannot be mounted.", details: ["\(error)"],
      remedies: damaged)
  }

  private static func mountMedium(_ place: MediumPlace, at path: String) throws(InitError) {
    do throws(SystemError) {
      try Files.makeDirectories(medium)
      try Mount.mount(
        path, at: medium, type: "iso9660", [.readOnly, .noSetUserID, .noDevices, .noExecution])
    } catch {
      throw unreadable(place, error)
    }
  }

  /// Makes the device that is checked, and checks all of it: what is damaged shows before anything of it runs.
  private static func verify(_ file: VerifiedFile, on place: MediumPlace) throws(InitError) -> String {
    let start = MonotonicClock.now()
    let device: String
    let finding: VerifiedFile.Finding
    do throws(SystemError) {
      device = try file.map()
      var told = 0
      finding = try file.check(device) { done, bytes in
        let percent = done * 100 / bytes
        if percent >= told + 10 {
          told = percent
          Consoles.write("\rRoost: checking the root file system, \(percent) % ")
        }
      }
      Consoles.write("\r")
    } catch {
      throw InitError(
        .mediumUnreadable, "the root file system on \(place.description) cannot be read.", details: ["\(error)"],
        remedies: damaged)
    }
    switch finding {
    case .changed(let position):
      throw InitError(
        .mediumCorrupt, "the root file system on \(place.description) is not the one that was built.",
        details: [
          "File: /roost/root.squashfs, differs from byte \(position) on", "The digest of all of it was \(file.root)",
        ], remedies: damaged)
    case .whole(let bytes):
      let milliseconds = (MonotonicClock.now() - start) / 1_000_000
      Consoles.say("the root file system is as it was built (\(bytes >> 20) MiB checked in \(milliseconds) ms)")
      return device
    }
  }

  private static let damaged = [
    "Write the image to the disc or stick anew, and compare it with its published checksum first.",
    "Optical discs: clean it, or try another drive. Sticks: try another one.",
  ]

  private static func mountRoot(_ device: String) throws(InitError) {
    do throws(SystemError) {
      for directory in [root, overlay, newRoot] { try Files.makeDirectories(directory) }
      try Mount.mount(device, at: root, type: "squashfs", .readOnly)
      try Mount.mount("tmpfs", at: overlay, type: "tmpfs", options: "mode=755")
      try Files.makeDirectories("\(overlay)/upper")
      try Files.makeDirectories("\(overlay)/work")
      try Mount.mount(
        "overlay", at: newRoot, type: "overlay",
        options: "lowerdir=\(root),upperdir=\(overlay)/upper,workdir=\(overlay)/work")
    } catch {
      throw InitError(
        .rootUnusable, "the root file system cannot be mounted.", details: ["\(error)"],
        remedies: ["The kernel's reason is at the end of `dmesg`; an image built for another kernel is one."])
    }
    guard let status = try? Files.status(newRoot + next, followingLinks: true), status.permissions & 0o111 != 0 else {
      throw InitError(
        .rootUnusable, "the root file system has no program \(next).",
        remedies: ["Build the image again; this one cannot start."])
    }
  }

  /// Goes over to the control domain. It returns only by throwing.
  private static func leave() throws(InitError) {
    do throws(SystemError) {
      let isStick = try Mount.find(at: medium)?.source == StickMapping.medium.path
      if isStick {
        // A program that runs is not written to.
        try Files.remove(StickKeeper.program)
        try Files.write(try Files.read("/proc/self/exe"), to: StickKeeper.program, permissions: 0o755)
      }
      // /run last: the medium, the squashfs and the overlay's layers are mounted below it and go with it.
      for target in ["/proc", "/sys", "/dev", "/run"] {
        try Files.makeDirectories(newRoot + target)
        try Mount.mount(target, at: newRoot + target, .move)
      }
      try RunningSystem.switchRoot(to: newRoot)
      if isStick { try StickKeeper.start() }
      try CurrentProcess.execute([next])
    } catch {
      throw InitError(
        .rootUnusable, "the control domain cannot be entered.", details: ["\(error)"],
        remedies: ["Restart the machine. Please report this with the output of `dmesg`."])
    }
  }
}
