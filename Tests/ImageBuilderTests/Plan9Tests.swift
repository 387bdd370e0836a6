import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("Plan 9 roots")
struct Plan9Tests {
  private func folder(_ path: String, _ permissions: UInt32 = 0o775) -> Plan9Entry {
    Plan9Entry(path: path, content: nil, permissions: permissions)
  }

  private func file(_ path: String, _ content: [UInt8], _ permissions: UInt32 = 0o664) -> Plan9Entry {
    Plan9Entry(path: path, content: content, permissions: permissions)
  }

  @Test("The archive is lines and bytes, as disk/mkfs writes it")
  func archive() throws {
    let entries = [
      folder("tmp", 0o777), folder("usr"), folder("usr/glenda"), file("usr/glenda/x", Array("hello\n".utf8), 0o775),
    ]
    let text = try String(decoding: Plan9Archive.bytes(entries, time: 5), as: UTF8.self)
    #expect(
      text == """
        tmp 20000000777 sys sys 5 0
        usr 20000000775 sys sys 5 0
        usr/glenda 20000000775 glenda glenda 5 0
        usr/glenda/x 775 glenda glenda 5 6
        hello
        end of archive

        """)
    #expect(throws: BuildError.self) { try Plan9Archive.bytes([folder("a b")], time: 0) }
    #expect(throws: BuildError.self) {
      try Plan9Archive.bytes([Plan9Entry](repeating: folder("a"), count: 4096), time: 0)
    }
  }

  @Test("The image in RAM is a line, a gzip stream and zeros in whole sectors")
  func image() {
    let blocks = Plan9Archive.blocks([1, 2, 3])
    #expect(blocks == Array("BLZ\n".utf8) + [0, 0, 0, 3, 0x80, 0, 0, 3, 1, 2, 3])
    let image = Plan9Archive.image(gzip: [9, 8, 7])
    #expect(image.count == 1536)
    #expect(image.prefix(18).elementsEqual(Array("gzfilesystem 3\n".utf8) + [9, 8, 7]))
    #expect(image.dropFirst(18).allSatisfy { $0 == 0 })
    let long = Plan9Archive.image(gzip: [UInt8](repeating: 1, count: 1000))
    #expect(long.count % 512 == 0 && long.count >= 18 + 1000 + 1024)
  }

  /// The digest is that of an image made by another program and accepted by fossil's own check in a running Plan 9.
  @Test("A fossil disk has the bytes that were seen to boot: levels of pointers, pages of names, holes")
  func fossil() throws {
    let directory = try TemporaryDirectory()
    let big = (0..<4_000_000).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 256) }
    var entries = [folder("tmp", 0o777), folder("usr"), folder("usr/glenda"), folder("many")]
    entries += [file("big", big), file("usr/glenda/x", Array("hello\n".utf8), 0o775)]
    entries += (0..<300).map { number in
      let digits = String(repeating: "0", count: 3 - "\(number)".count) + "\(number)"
      return file("many/f\(digits)", Array("\(number)".utf8))
    }
    let path = "\(directory.path)/fossil"
    try FossilImage.write(entries, size: 32 << 20, time: 1_000_000_000, to: path)
    #expect(
      try FileDigest.plain(path).description == "b180547bc32a8f7d17b555107229aacb36fa3becf27a7d292b60146ee6a078b7")
    let error = #expect(throws: BuildError.self) {
      try FossilImage.write(entries, size: 2 << 20, time: 0, to: path)
    }
    #expect(error?.code == .diskTooSmall)
  }

  /// An a.out of 4 bytes of text, 2 of data and a symbol table.
  private func program(_ magic: [UInt8], header: Int) -> [UInt8] {
    var bytes = magic + [0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 3, 1, 1, 1, 1, 0, 0, 0, 5, 0, 0, 0, 6]
    bytes += [UInt8](repeating: 8, count: header - 32)
    return bytes + [1, 2, 3, 4, 5, 6, 7, 7, 7]
  }

  @Test("Programs lose their tables for debuggers, whatever else stays as it is")
  func stripped() {
    for (magic, header) in [([0, 0, 1, 0xEB] as [UInt8], 32), ([0, 0, 0x8A, 0x97], 40)] {
      let stripped = Plan9Tree.strip(program(magic, header: header))
      #expect(stripped.count == header + 6)
      #expect(stripped.suffix(6).elementsEqual([1, 2, 3, 4, 5, 6]))
      #expect(stripped[16..<20].elementsEqual([0, 0, 0, 0]))  // symbols
      #expect(stripped[20..<24].elementsEqual([1, 1, 1, 1]))  // entry
      #expect(stripped[24..<32].allSatisfy { $0 == 0 })
    }
    let script = Array("#!/bin/rc\n".utf8)
    #expect(Plan9Tree.strip(script) == script)
    #expect(Plan9Tree.strip([0, 0, 1, 0xEB]) == [0, 0, 1, 0xEB])
    let short = Array(program([0, 0, 1, 0xEB], header: 32).prefix(35))
    #expect(Plan9Tree.strip(short) == short)
  }

  @Test("A root has what the scripts run, mount points, a time zone, and glenda's own prompt")
  func root() {
    let repository: [String: [UInt8]] = [
      "386/init": [1], "386/bin/rc": [2], "386/9pcgz": [3], "rc/bin/termrc": [4], "adm/timezone/GMT": [5],
      "usr/glenda/lib/profile": [6],
    ]
    let entries = Plan9Tree(processor: "386").entries(repository)
    let byPath = Dictionary(uniqueKeysWithValues: entries.map { ($0.path, $0) })
    #expect(byPath["386/9pcgz"] == nil)
    #expect(byPath["386/bin/rc"]?.permissions == 0o775)
    #expect(byPath["rc/bin/termrc"]?.permissions == 0o775)
    #expect(byPath["adm/timezone/local"]?.content == [5])
    #expect(byPath["net.alt"]?.content == .some(nil) || byPath["net.alt"] != nil)
    #expect(byPath["tmp"]?.permissions == 0o777)
    #expect(byPath["usr/glenda/lib/profile"]?.owner == "glenda")
    #expect(
      byPath["usr/glenda/lib/profile"]?.content.map { String(decoding: $0, as: UTF8.self).contains("term% ") } == true)
    var seen: Set<String> = []
    for entry in entries {
      let above = entry.path.split(separator: "/").dropLast().joined(separator: "/")
      #expect(above.isEmpty || seen.contains(above), "\(entry.path)")
      #expect(seen.insert(entry.path).inserted)
    }
    let selection = Plan9Tree(processor: "amd64").selection(kernel: "amd64/9k10f.elf")
    #expect(selection.required.contains("amd64/bin/rc") && selection.required.contains("amd64/9k10f.elf"))
  }
}
