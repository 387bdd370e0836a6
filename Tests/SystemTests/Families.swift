import Platform

/// FreeBSD, Debian and Plan 9 in one appliance, out of the images in the folder that `ROOST_GUESTS` names.
struct Families {
  let folder: String
  /// What FreeBSD's console shows when it is ready.
  let prompt: String

  /// Nil where the folder or a file of it is not there.
  static let present: Families? = {
    guard let folder = Environment.value("ROOST_GUESTS") else { return nil }
    let files = ["freebsd/kernel", "freebsd/disk.img", "freebsd/ready", "plan9/9pcgz", "plan9/root-gzfs.img"]
    guard files.allSatisfy({ Files.exists("\(folder)/\($0)") }) else { return nil }
    let lines = (try? Files.readText("\(folder)/freebsd/ready")) ?? ""
    return Families(folder: folder, prompt: lines.split(separator: "\n").first.map(String.init) ?? "login:")
  }()

  static let reason = """
    skipped: no image (ROOST_GUESTS names no folder with freebsd/{kernel,disk.img,ready}, where ready holds the text \
    of its prompt, and plan9/{9pcgz,root-gzfs.img})
    """

  /// The three as domains of a recipe.
  func domains(autostart: Bool = true) -> String {
    """
      - name: freebsd
        memory: 256 MiB
        disk: 256 MiB
        network: true
        boot: freebsd
        command-line: "vfs.root.mountfrom=ufs:/dev/gpt/rootfs"
        autostart: \(autostart)
        source: {kernel: "\(folder)/freebsd/kernel", root: "\(folder)/freebsd/disk.img"}
        ready: {console: "\(prompt)", timeout: 300 s}
      - name: debian
        memory: 256 MiB
        disk: 1 GiB
        network: true
        autostart: \(autostart)
        source: {debian: {suite: trixie, packages: [], hostname: debian}}
      - name: plan9
        memory: 128 MiB
        network: true
        boot: plan9
        autostart: \(autostart)
        source: {kernel: "\(folder)/plan9/9pcgz", root: "\(folder)/plan9/root-gzfs.img"}
        disk: 16 MiB
        ready: {console: "term% ", timeout: 300 s}

    """
  }
}
