import Platform
import Testing

@testable import Hypervisor

/// Whether micro-guests can run here; tests say so when they cannot.
enum Host {
  static let hasKVM: Bool = {
    do throws(HypervisorError) {
      let kvm = try KVM()
      _ = kvm.maximumCPUs
      return true
    } catch {
      return false
    }
  }()

  /// Whether network interfaces can be made here.
  static let hasTaps: Bool = {
    do throws(SystemError) {
      return try FileDescriptor.tap("roost-test").rawValue >= 0
    } catch {
      return false
    }
  }()

  /// Why the kernel gives no ring (io_uring(7)); nil when it gives one.
  static let ringRefusal: SystemError? = {
    do throws(SystemError) {
      _ = try IORing(entries: 4)
      return nil
    } catch {
      return error
    }
  }()

  /// For the tests of the ring alone.
  static let ringReason: Comment = "skipped: the kernel gives no io_uring here (\(ringRefusal?.description ?? ""))"

  /// Engines that can be had here.
  static let engines: [DiskEngine.Choice] = ringRefusal == nil ? [.workers, .ring] : [.workers]
}
