internal import Platform

/// The lvm.conf that LVM runs with in the appliance: no udev, no daemons, no devices but ours.
struct LVMConfiguration {
  /// Where lvm.conf lies.
  let directory: String
  /// The only devices that LVM may see.
  let devices: [String]

  /// The file's text (lvm.conf(5)). In a full pool writes wait (`error_when_full`) until it is larger: an error would be
  /// a guest's lost data, and most guests take it badly. A check that finds nothing takes the kernel's mark of an error
  /// away (`thin_check_options`): with it a pool takes no writes.
  var text: String {
    let filter = (devices.map { "\"a|^\($0)$|\"" } + ["\"r|.*|\""]).joined(separator: ", ")
    // An empty path means: no check. Without the tool LVM would refuse to activate a pool.
    func tool(_ name: String) -> String {
      ["/usr/sbin/\(name)", "/sbin/\(name)"].first { Files.exists($0) } ?? ""
    }
    return """
      config {
        checks = 0
      }
      devices {
        dir = "/dev"
        scan = [ "/dev" ]
        global_filter = [ \(filter) ]
        use_devicesfile = 0
        obtain_device_list_from_udev = 0
        external_device_info_source = "none"
        hints = "none"
        scan_lvs = 0
        multipath_component_detection = 0
        md_component_detection = 0
      }
      allocation {
        thin_pool_metadata_require_separate_pvs = 0
        thin_pool_zero = 1
      }
      backup {
        backup = 0
        archive = 0
      }
      global {
        event_activation = 0
        use_lvmpolld = 0
        use_lvmlockd = 0
        locking_dir = "\(directory)/lock"
        thin_check_executable = "\(tool("thin_check"))"
        thin_check_options = [ "-q", "--clear-needs-check-flag" ]
        thin_repair_executable = "\(tool("thin_repair"))"
        thin_dump_executable = "\(tool("thin_dump"))"
        thin_restore_executable = "\(tool("thin_restore"))"
      }
      activation {
        udev_sync = 0
        udev_rules = 0
        verify_udev_operations = 0
        monitoring = 0
        thin_pool_autoextend_threshold = 100
        error_when_full = 0
        auto_activation_volume_list = []
      }

      """
  }

  /// Writes the file.
  func write() throws(StorageError) {
    let (path, bytes) = ("\(directory)/lvm.conf", Array(text.utf8))
    try storage("write LVM's configuration") { () throws(SystemError) in
      try Files.makeDirectories("\(directory)/lock", permissions: 0o700)
      try Files.replace(path, with: bytes)
    }
  }
}
