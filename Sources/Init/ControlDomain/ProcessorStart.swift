internal import Platform

/// The processors that `maxcpus=1` on the kernel's command line left out, and what is done while there is but one.
///
/// The kernel changes its own code as it runs, and QEMU's translator can miss such a change on another processor: the
/// control domain then panics with `Oops: int3` (docs/architecture.md, "Known limits of emulators").
enum ProcessorStart {
  /// The switch in each task switch that KVM turns on with its first virtual machine and off with its last
  /// (`preempt_notifier_key`, kernel/sched/core.c): an empty machine, kept for good, leaves it on.
  private static let heldMachine = holdMachine()

  /// Loads KVM, has it change what it will, and starts the other processors.
  static func run() {
    let processors = (try? Files.readText("/proc/cpuinfo")) ?? ""
    for command in hypervisorModules(cpuinfo: processors) {
      guard let child = try? ChildProcess.start(ChildRequest(["modprobe", "-q"] + command)) else { continue }
      if let status = try? child.wait(), !status.isSuccess {
        Log.write("modprobe \(command.joined(separator: " ")): \(status)")
      }
    }
    if heldMachine == nil { Log.write("KVM has no machine: without hardware virtualisation there are no domains") }
    let directory = "/sys/devices/system/cpu"
    for name in (try? Files.list(directory)) ?? [] where name.hasPrefix("cpu") && Int(name.dropFirst(3)) != nil {
      let switchFile = "\(directory)/\(name)/online"
      // Processor 0 has none, and is up.
      guard let state = try? Files.readText(switchFile), state.hasPrefix("0") else { continue }
      do throws(SystemError) {
        try Files.write("1", to: switchFile)
      } catch {
        Log.write("\(name) does not start: \(error)")
      }
    }
  }

  /// The KVM modules that this processor can use, with nested virtualisation where it can be had.
  static func hypervisorModules(cpuinfo: String) -> [[String]] {
    guard let flags = cpuinfo.split(separator: "\n").first(where: { $0.hasPrefix("flags") }) else { return [] }
    let words = Set(flags.split(whereSeparator: { $0 == " " || $0 == "\t" }))
    if words.contains("svm") { return [["kvm_amd", "nested=1"]] }
    if words.contains("vmx") { return [["kvm_intel", "nested=1"]] }
    return []
  }

  /// An empty virtual machine; nil without KVM.
  private static func holdMachine() -> FileDescriptor? {
    do throws(SystemError) {
      let kvm = try FileDescriptor(opening: "/dev/kvm", .readWrite)
      // KVM_CREATE_VM; the machine has the least there can be, type 0.
      return FileDescriptor(adopting: try kvm.control(0xAE01, value: 0, "make a virtual machine"))
    } catch {
      return nil
    }
  }
}
