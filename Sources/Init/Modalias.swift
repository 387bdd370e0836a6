internal import Platform

/// The names under which devices ask for their drivers (modules.alias of kmod).
public enum Modalias {
  /// Aliases of all devices on all buses, each once, sorted by bytes. `sys` is where sysfs is mounted.
  public static func collect(sys: String = "/sys") -> [String] {
    var found: Set<String> = []
    for bus in (try? Files.list("\(sys)/bus")) ?? [] {
      let directory = "\(sys)/bus/\(bus)/devices"
      for device in (try? Files.list(directory)) ?? [] {
        // Many devices have none, and any device may go away while one looks.
        guard let text = try? Files.readText("\(directory)/\(device)/modalias") else { continue }
        let alias = text.prefix { !$0.isNewline }
        if !alias.isEmpty { found.insert(String(alias)) }
      }
    }
    return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}

/// Loads kernel modules through a modprobe program.
struct ModuleLoader {
  /// The program and its first arguments: kmod's `modprobe`, or busybox's.
  let modprobe: [String]
  private var asked: Set<String> = []

  init(modprobe: [String]) {
    self.modprobe = modprobe
  }

  /// The command that loads what was not asked for before; nil when that is nothing. Names may be modules or aliases;
  /// those that no module has are passed over silently, and the blacklist holds.
  mutating func command(for names: [String]) -> [String]? {
    let fresh = names.filter { asked.insert($0).inserted }
    return fresh.isEmpty ? nil : modprobe + ["-a", "-q", "-b"] + fresh
  }

  /// Loads modules and waits. What cannot be loaded is left out: many aliases have no module.
  mutating func load(_ names: [String]) {
    guard let arguments = command(for: names) else { return }
    do throws(SystemError) {
      let null = try FileDescriptor(opening: "/dev/null", .readWrite)
      var request = ChildRequest(arguments)
      request.descriptors = [null.rawValue, null.rawValue, null.rawValue]
      _ = try ChildProcess.start(request).wait()
    } catch {
      Log.write("load modules: \(error)")
    }
  }
}
