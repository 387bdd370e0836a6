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

  /// Buses of other machines than PCs, toys, networks of the past, file systems of systems that are no more.
  private static let useless = [
    "drivers/accessibility/", "drivers/android/", "drivers/atm/", "drivers/edac/", "drivers/extcon/",
    "drivers/hwtracing/", "drivers/input/gameport/", "drivers/input/joystick/", "drivers/input/tablet/",
    "drivers/input/touchscreen/", "drivers/memstick/", "drivers/net/arcnet/", "drivers/net/fddi/",
    "drivers/net/hippi/", "drivers/net/ieee802154/", "drivers/net/plip/", "drivers/net/slip/", "drivers/net/wan/",
    "drivers/net/wwan/", "drivers/pps/", "drivers/slimbus/", "drivers/soc/", "drivers/spi/", "drivers/usb/atm/",
    "drivers/usb/gadget/", "drivers/usb/image/", "drivers/usb/misc/", "fs/adfs/", "fs/affs/", "fs/befs/", "fs/bfs/",
    "fs/ecryptfs/", "fs/efs/", "fs/freevxfs/", "fs/hpfs/", "fs/minix/", "fs/omfs/", "fs/qnx4/", "fs/qnx6/",
    "fs/romfs/", "fs/sysv/", "fs/ufs/", "fs/vboxsf/", "fs/zonefs/", "net/6lowpan/", "net/atm/", "net/caif/",
    "net/ieee802154/", "net/lapb/", "net/mac802154/", "net/netrom/", "net/phonet/", "net/rds/", "net/rose/", "net/smc/",
    "net/x25/",
  ]

  /// Adapters that only servers have, and what such machines serve.
  private static let servers = [
    "drivers/crypto/", "drivers/cxl/", "drivers/dax/", "drivers/dca/", "drivers/md/dm-vdo/", "drivers/message/",
    "drivers/misc/", "drivers/net/ethernet/adaptec/", "drivers/net/ethernet/agere/", "drivers/net/ethernet/alteon/",
    "drivers/net/ethernet/amazon/", "drivers/net/ethernet/broadcom/bnx2x/", "drivers/net/ethernet/broadcom/bnxt/",
    "drivers/net/ethernet/brocade/", "drivers/net/ethernet/cavium/", "drivers/net/ethernet/chelsio/",
    "drivers/net/ethernet/cisco/", "drivers/net/ethernet/emulex/", "drivers/net/ethernet/fujitsu/",
    "drivers/net/ethernet/google/", "drivers/net/ethernet/huawei/", "drivers/net/ethernet/intel/fm10k/",
    "drivers/net/ethernet/intel/iavf/", "drivers/net/ethernet/intel/ice/", "drivers/net/ethernet/intel/idpf/",
    "drivers/net/ethernet/mellanox/", "drivers/net/ethernet/microsoft/", "drivers/net/ethernet/myricom/",
    "drivers/net/ethernet/neterion/", "drivers/net/ethernet/netronome/", "drivers/net/ethernet/packetengines/",
    "drivers/net/ethernet/pensando/", "drivers/net/ethernet/qlogic/", "drivers/net/ethernet/sfc/",
    "drivers/net/ethernet/tehuti/", "drivers/net/ethernet/wangxun/", "drivers/net/fjes/", "drivers/net/ppp/",
    "drivers/nvdimm/", "drivers/nvme/target/", "drivers/platform/x86/", "drivers/scsi/3w-", "drivers/scsi/BusLogic",
    "drivers/scsi/a100u2w", "drivers/scsi/aacraid/", "drivers/scsi/advansys", "drivers/scsi/aic7xxx/",
    "drivers/scsi/aic94xx/", "drivers/scsi/am53c974", "drivers/scsi/arcmsr/", "drivers/scsi/atp870u",
    "drivers/scsi/be2iscsi/", "drivers/scsi/bfa/", "drivers/scsi/bnx2fc/", "drivers/scsi/bnx2i/", "drivers/scsi/ch.",
    "drivers/scsi/csiostor/", "drivers/scsi/cxgbi/", "drivers/scsi/dc395x", "drivers/scsi/dmx3191d",
    "drivers/scsi/elx/", "drivers/scsi/esas2r/", "drivers/scsi/esp_scsi", "drivers/scsi/fcoe/", "drivers/scsi/fnic/",
    "drivers/scsi/hpsa", "drivers/scsi/hptiop", "drivers/scsi/initio", "drivers/scsi/ipr", "drivers/scsi/ips",
    "drivers/scsi/isci/", "drivers/scsi/libfc/", "drivers/scsi/lpfc/", "drivers/scsi/mpi3mr/", "drivers/scsi/mvsas/",
    "drivers/scsi/mvumi", "drivers/scsi/myrb", "drivers/scsi/myrs", "drivers/scsi/pcmcia/", "drivers/scsi/pm8001/",
    "drivers/scsi/pmcraid", "drivers/scsi/qedf/", "drivers/scsi/qedi/", "drivers/scsi/qla1280", "drivers/scsi/qla2xxx/",
    "drivers/scsi/qla4xxx/", "drivers/scsi/qlogicfas408", "drivers/scsi/scsi_debug", "drivers/scsi/smartpqi/",
    "drivers/scsi/snic/", "drivers/scsi/st.", "drivers/scsi/stex", "drivers/scsi/sym53c8xx_2/", "drivers/scsi/wd719x",
    "drivers/ufs/", "drivers/uio/", "drivers/usb/serial/", "drivers/vdpa/", "drivers/watchdog/", "drivers/xen/",
    "fs/9p/", "fs/btrfs/", "fs/cachefiles/", "fs/dlm/", "fs/f2fs/", "fs/hfs/", "fs/hfsplus/", "fs/lockd/",
    "fs/netfs/", "fs/nfs/", "fs/nfs_common/", "fs/nfsd/", "fs/quota/", "fs/smb/", "fs/xfs/", "net/9p/", "net/ceph/",
    "net/dsa/", "net/hsr/", "net/kcm/", "net/key/", "net/l2tp/", "net/mpls/", "net/ncsi/", "net/netfilter/ipset/",
    "net/netfilter/ipvs/", "net/nsh/", "net/openvswitch/", "net/psample/", "net/qrtr/", "net/sunrpc/", "net/xfrm/",
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
