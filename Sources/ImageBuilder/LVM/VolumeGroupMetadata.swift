/// A volume group in LVM's text format, as `vgcfgrestore` reads it (LVM2, lib/format_text/export.c; lvm.conf(5) for
/// the grammar). Sizes of devices are in sectors of 512 bytes.
struct VolumeGroupMetadata {
  struct PhysicalVolume {
    let name: String
    let identifier: LVMIdentifier
    let allocatable: Bool
    let deviceSize: Int  // bytes
    let dataOffset: Int  // bytes
    let extents: Int
  }

  struct LogicalVolume {
    let name: String
    let identifier: LVMIdentifier
    let physicalVolume: String
    let firstExtent: Int
    let extents: Int
  }

  let name: String
  let identifier: LVMIdentifier
  let extentSize: Int  // bytes
  let physicalVolumes: [PhysicalVolume]
  let logicalVolumes: [LogicalVolume]

  /// The whole file. It has no date and no host, so that equal groups give equal text.
  var text: String {
    var lines = [
      "contents = \"Text Format Volume Group\"",
      "version = 1",
      "description = \"Roost: images on the medium, changes in memory\"",
      "creation_host = \"roost\"",
      "creation_time = 0",
      "",
      "\(name) {",
      "\tid = \"\(identifier)\"",
      "\tseqno = 1",
      "\tformat = \"lvm2\"",
      "\tstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]",
      "\tflags = []",
      "\textent_size = \(extentSize / 512)",
      "\tmax_lv = 0",
      "\tmax_pv = 0",
      "\tmetadata_copies = 0",
      "",
      "\tphysical_volumes {",
    ]
    for volume in physicalVolumes {
      lines += [
        "",
        "\t\t\(volume.name) {",
        "\t\t\tid = \"\(volume.identifier)\"",
        "\t\t\tdevice = \"unknown\"",
        "\t\t\tstatus = [\(volume.allocatable ? "\"ALLOCATABLE\"" : "")]",
        "\t\t\tflags = []",
        "\t\t\tdev_size = \(volume.deviceSize / 512)",
        "\t\t\tpe_start = \(volume.dataOffset / 512)",
        "\t\t\tpe_count = \(volume.extents)",
        "\t\t}",
      ]
    }
    lines += ["\t}"]
    if !logicalVolumes.isEmpty {
      lines += ["", "\tlogical_volumes {"]
      for volume in logicalVolumes {
        lines += [
          "",
          "\t\t\(volume.name) {",
          "\t\t\tid = \"\(volume.identifier)\"",
          "\t\t\tstatus = [\"READ\", \"VISIBLE\"]",
          "\t\t\tflags = []",
          "\t\t\tcreation_time = 0",
          "\t\t\tcreation_host = \"roost\"",
          "\t\t\tsegment_count = 1",
          "",
          "\t\t\tsegment1 {",
          "\t\t\t\tstart_extent = 0",
          "\t\t\t\textent_count = \(volume.extents)",
          "",
          "\t\t\t\ttype = \"striped\"",
          "\t\t\t\tstripe_count = 1",
          "",
          "\t\t\t\tstripes = [",
          "\t\t\t\t\t\"\(volume.physicalVolume)\", \(volume.firstExtent)",
          "\t\t\t\t]",
          "\t\t\t}",
          "\t\t}",
        ]
      }
      lines += ["\t}"]
    }
    lines += ["}", ""]
    return lines.joined(separator: "\n")
  }
}
