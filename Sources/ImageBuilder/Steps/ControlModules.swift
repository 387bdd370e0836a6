internal import Platform
internal import Recipe

/// The kernel modules of the control domain: those of its system's kernel package without what no machine of the kind wants,
/// with lists of just these.
struct ControlModules: Sendable, Hashable {
  /// Whose hardware they drive.
  let drivers: Recipe.ControlDomain.Drivers
  /// Whether they lie unpacked in the tree: a file system that is compressed by xz makes more of all of them than xz does of
  /// each.
  let areUnpacked: Bool

  /// Where they are in the root.
  static let directory = "usr/lib/modules"

  /// What decides them.
  var settings: [String] { ["modules", "\(areUnpacked)"] + unwanted }

  /// What paths below `kernel/` begin with that is wanted by nothing but what is left out as well.
  private var unwanted: [String] { Self.useless + (drivers == .pc ? Self.servers : []) }

  /// Buses of other machines than PCs, toys, networks of the past, file systems of systems that are no more, ciphers that
  /// nothing here asks for, the kernel's tests of itself.
  private static let useless = [
    "arch/x86/crypto/aria", "arch/x86/crypto/blowfish", "arch/x86/crypto/camellia", "arch/x86/crypto/cast",
    "arch/x86/crypto/des3", "arch/x86/crypto/serpent", "arch/x86/crypto/sm", "arch/x86/crypto/twofish",
    "arch/x86/events/intel/intel-uncore", "crypto/adiantum", "crypto/ansi_cprng", "crypto/aria", "crypto/blowfish",
    "crypto/camellia", "crypto/cast", "crypto/fcrypt", "crypto/khazad", "crypto/serpent", "crypto/streebog",
    "crypto/tcrypt", "crypto/twofish", "crypto/wp512", "drivers/accessibility/", "drivers/android/", "drivers/atm/",
    "drivers/block/null_blk/", "drivers/block/rbd", "drivers/block/xen-blkback/", "drivers/bus/mhi/",
    "drivers/char/applicom", "drivers/char/lp.", "drivers/char/mwave", "drivers/char/ppdev", "drivers/char/tlclk",
    "drivers/edac/", "drivers/extcon/", "drivers/firmware/cirrus/", "drivers/hid/amd-sfh-hid/",
    "drivers/hid/hid-cp2112", "drivers/hid/hid-ft260", "drivers/hid/hid-lg-g15", "drivers/hid/hid-mcp2221",
    "drivers/hid/hid-nintendo", "drivers/hid/hid-picolcd", "drivers/hid/hid-playstation", "drivers/hid/hid-roccat",
    "drivers/hid/hid-sensor", "drivers/hid/hid-sony", "drivers/hid/hid-steam", "drivers/hid/hid-thrustmaster",
    "drivers/hid/hid-uclogic", "drivers/hid/hid-wiimote", "drivers/hid/intel-ish-hid/", "drivers/hid/wacom",
    "drivers/hwtracing/", "drivers/input/gameport/", "drivers/input/joystick/", "drivers/input/tablet/",
    "drivers/input/touchscreen/", "drivers/memstick/", "drivers/net/arcnet/", "drivers/net/fddi/", "drivers/net/hippi/",
    "drivers/net/ieee802154/", "drivers/net/mhi_net", "drivers/net/plip/", "drivers/net/slip/", "drivers/net/wan/",
    "drivers/net/wwan/", "drivers/net/xen-netback/", "drivers/powercap/", "drivers/pps/", "drivers/ras/",
    "drivers/slimbus/", "drivers/soc/", "drivers/spi/", "drivers/usb/atm/", "drivers/usb/class/usblp",
    "drivers/usb/gadget/", "drivers/usb/image/", "drivers/usb/misc/", "drivers/usb/usbip/", "fs/adfs/", "fs/affs/",
    "fs/befs/", "fs/bfs/", "fs/ecryptfs/", "fs/efs/", "fs/freevxfs/", "fs/hpfs/", "fs/minix/", "fs/nls/mac-",
    "fs/nls/nls_cp12", "fs/nls/nls_cp7", "fs/nls/nls_cp86", "fs/nls/nls_cp87", "fs/nls/nls_cp9", "fs/nls/nls_euc",
    "fs/nls/nls_iso8859-13", "fs/nls/nls_iso8859-14", "fs/nls/nls_iso8859-2", "fs/nls/nls_iso8859-3",
    "fs/nls/nls_iso8859-4", "fs/nls/nls_iso8859-5", "fs/nls/nls_iso8859-6", "fs/nls/nls_iso8859-7",
    "fs/nls/nls_iso8859-9", "fs/nls/nls_koi8", "fs/omfs/", "fs/qnx4/", "fs/qnx6/", "fs/romfs/", "fs/sysv/", "fs/ufs/",
    "fs/vboxsf/", "fs/zonefs/", "lib/memory-notifier-error-inject", "lib/notifier-error-inject",
    "lib/pm-notifier-error-inject", "lib/test_", "net/6lowpan/", "net/atm/", "net/caif/", "net/ceph/",
    "net/ieee802154/", "net/lapb/", "net/llc/llc2", "net/mac802154/", "net/netrom/", "net/phonet/", "net/rds/",
    "net/rose/", "net/smc/", "net/x25/",
  ]

  /// Adapters that only servers have, and what such machines serve.
  private static let servers = [
    "drivers/acpi/nfit/", "drivers/bcma/", "drivers/block/mtip32xx/", "drivers/char/ipmi/", "drivers/crypto/",
    "drivers/cxl/", "drivers/dax/", "drivers/dca/", "drivers/dma/idxd/", "drivers/dma/ioat/", "drivers/md/bcache/",
    "drivers/md/dm-vdo/", "drivers/md/dm-zoned", "drivers/md/md-cluster", "drivers/message/", "drivers/misc/",
    "drivers/net/ethernet/adaptec/", "drivers/net/ethernet/agere/", "drivers/net/ethernet/alteon/",
    "drivers/net/ethernet/amazon/", "drivers/net/ethernet/amd/xgbe/", "drivers/net/ethernet/broadcom/bnx2x/",
    "drivers/net/ethernet/broadcom/bnxt/", "drivers/net/ethernet/broadcom/cnic", "drivers/net/ethernet/brocade/",
    "drivers/net/ethernet/cavium/", "drivers/net/ethernet/chelsio/", "drivers/net/ethernet/cisco/",
    "drivers/net/ethernet/emulex/", "drivers/net/ethernet/fujitsu/", "drivers/net/ethernet/google/",
    "drivers/net/ethernet/huawei/", "drivers/net/ethernet/intel/fm10k/", "drivers/net/ethernet/intel/i40e/",
    "drivers/net/ethernet/intel/iavf/", "drivers/net/ethernet/intel/ice/", "drivers/net/ethernet/intel/idpf/",
    "drivers/net/ethernet/intel/ixgbe/", "drivers/net/ethernet/intel/ixgbevf/", "drivers/net/ethernet/mellanox/",
    "drivers/net/ethernet/microsoft/", "drivers/net/ethernet/myricom/", "drivers/net/ethernet/neterion/",
    "drivers/net/ethernet/netronome/", "drivers/net/ethernet/packetengines/", "drivers/net/ethernet/pensando/",
    "drivers/net/ethernet/qlogic/", "drivers/net/ethernet/sfc/", "drivers/net/ethernet/sun/",
    "drivers/net/ethernet/tehuti/", "drivers/net/ethernet/wangxun/", "drivers/net/fjes/", "drivers/net/ppp/",
    "drivers/nvdimm/", "drivers/nvme/host/nvme-fabrics", "drivers/nvme/host/nvme-fc", "drivers/nvme/host/nvme-rdma",
    "drivers/nvme/host/nvme-tcp", "drivers/nvme/target/", "drivers/platform/x86/", "drivers/ptp/ptp_ocp",
    "drivers/scsi/3w-", "drivers/scsi/BusLogic", "drivers/scsi/a100u2w", "drivers/scsi/aacraid/",
    "drivers/scsi/advansys", "drivers/scsi/aic7xxx/", "drivers/scsi/aic94xx/", "drivers/scsi/am53c974",
    "drivers/scsi/arcmsr/", "drivers/scsi/atp870u", "drivers/scsi/be2iscsi/", "drivers/scsi/bfa/",
    "drivers/scsi/bnx2fc/", "drivers/scsi/bnx2i/", "drivers/scsi/ch.", "drivers/scsi/csiostor/", "drivers/scsi/cxgbi/",
    "drivers/scsi/dc395x", "drivers/scsi/dmx3191d", "drivers/scsi/elx/", "drivers/scsi/esas2r/",
    "drivers/scsi/esp_scsi", "drivers/scsi/fcoe/", "drivers/scsi/fnic/", "drivers/scsi/hpsa", "drivers/scsi/hptiop",
    "drivers/scsi/initio", "drivers/scsi/ipr", "drivers/scsi/ips", "drivers/scsi/isci/", "drivers/scsi/libfc/",
    "drivers/scsi/libsas/", "drivers/scsi/lpfc/", "drivers/scsi/megaraid", "drivers/scsi/mpi3mr/",
    "drivers/scsi/mpt3sas/", "drivers/scsi/mvsas/", "drivers/scsi/mvumi", "drivers/scsi/myrb", "drivers/scsi/myrs",
    "drivers/scsi/pcmcia/", "drivers/scsi/pm8001/", "drivers/scsi/pmcraid", "drivers/scsi/qedf/", "drivers/scsi/qedi/",
    "drivers/scsi/qla1280", "drivers/scsi/qla2xxx/", "drivers/scsi/qla4xxx/", "drivers/scsi/qlogicfas408",
    "drivers/scsi/scsi_debug", "drivers/scsi/scsi_transport_fc", "drivers/scsi/scsi_transport_sas",
    "drivers/scsi/smartpqi/", "drivers/scsi/snic/", "drivers/scsi/st.", "drivers/scsi/stex",
    "drivers/scsi/sym53c8xx_2/", "drivers/scsi/wd719x", "drivers/ufs/", "drivers/uio/", "drivers/usb/dwc3/",
    "drivers/usb/serial/", "drivers/vdpa/", "drivers/vfio/", "drivers/watchdog/", "drivers/xen/", "fs/9p/", "fs/btrfs/",
    "fs/cachefiles/", "fs/dlm/", "fs/erofs/", "fs/f2fs/", "fs/hfs/", "fs/hfsplus/", "fs/lockd/", "fs/netfs/", "fs/nfs/",
    "fs/nfs_common/", "fs/nfsd/", "fs/quota/", "fs/smb/", "fs/xfs/", "net/9p/", "net/dsa/", "net/hsr/",
    "net/kcm/", "net/key/", "net/l2tp/", "net/mpls/", "net/ncsi/", "net/netfilter/ipset/", "net/netfilter/ipvs/",
    "net/netfilter/xt_ipvs", "net/netfilter/xt_set", "net/nsh/", "net/openvswitch/", "net/psample/", "net/qrtr/",
    "net/sched/em_ipset", "net/sunrpc/", "net/xfrm/",
  ]

  /// The modules that are wanted of those in `modules.dep`, and what they need.
  ///
  /// - Parameter graph: paths begin with `kernel/`.
  func wanted(_ graph: ModuleSet.Graph) -> Set<String> {
    let prefixes = unwanted
    let roots = graph.order.filter { path in
      guard path.hasPrefix("kernel/") else { return true }
      let rest = path.dropFirst("kernel/".count)
      return !prefixes.contains { rest.hasPrefix($0) }
    }
    return Set(graph.closure(of: roots))
  }

  /// All files below `directory`, which are made in the step's scratch folder.
  ///
  /// - Parameter tar: the root's tar file.
  func entries(_ tar: String, _ context: borrowing StepContext) throws(BuildError) -> [TreeEntry] {
    let lists = try Tree.extract(tar, cancellation: context.cancellation) { path in
      ModuleSet.inside(path).map {
        ["modules.dep", "modules.order"].contains($0.rest) || $0.rest.hasPrefix("modules.builtin")
      }
        ?? false
    }
    let versions = Set(lists.keys.compactMap { ModuleSet.inside($0)?.version })
    guard let version = versions.first, versions.count == 1 else {
      throw BuildError(.content, "there are \(versions.count) kernels' modules in \(tar), not one's")
    }
    let base = "\(context.scratch)/modules"
    let home = "\(base)/lib/modules/\(version)"
    // A kernel with everything built in has lists and nothing else.
    try attempt("cannot make \(home)") { () throws(SystemError) in try Files.makeDirectories(home) }
    var written: [String] = []
    func write(_ rest: String, _ bytes: [UInt8]) throws(BuildError) {
      try attempt("cannot write \(rest)") { () throws(SystemError) in
        try Files.makeDirectories("\(home)/\(rest.split(separator: "/").dropLast().joined(separator: "/"))")
        try Files.write(bytes, to: "\(home)/\(rest)")
      }
      written.append(rest)
    }
    var graph = ModuleSet.Graph("")
    for (path, bytes) in lists {
      guard let rest = ModuleSet.inside(path)?.rest else { continue }
      if rest == "modules.dep" {
        graph = ModuleSet.Graph(String(decoding: bytes, as: UTF8.self))
      } else {
        try write(rest, bytes)
      }
    }
    let wanted = wanted(graph)
    let modules = try Tree.extract(tar, cancellation: context.cancellation) { path in
      ModuleSet.inside(path).map { wanted.contains($0.rest) } ?? false
    }
    for (path, bytes) in modules {
      try context.cancellation.check()
      guard let rest = ModuleSet.inside(path)?.rest else { continue }
      try write(
        areUnpacked ? ModuleSet.plain(rest) : rest,
        areUnpacked ? try ArchiveReader.decompress(bytes, name: rest) : bytes)
    }
    try context.run(["depmod", "-b", base, version], doing: "cannot list the kernel's modules")
    let made = try attempt("cannot read the modules' lists") { () throws(SystemError) in try Files.list(home) }
    return Set(written + made.filter { $0.hasPrefix("modules.") }).sorted().map {
      .file("\(Self.directory)/\(version)/\($0)", from: "\(home)/\($0)")
    }
  }
}
