import Identity
import Platform
import Testing

@testable import Init

@Suite("The stick's identity in the control domain") struct StickIdentityTests {
  private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"
  private static let sample = ApplianceIdentity(hostname: "lab-07", sshKeys: [key], autostart: ["debian"])

  private static func withRoot(_ body: (String) throws -> Void) throws {
    let root = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-identity-")
    defer { try? Files.removeTree(root) }
    for directory in ["etc", "root", "run/roost", "sys/class/block"] {
      try Files.makeDirectories("\(root)/\(directory)")
    }
    try Files.write("roost\n", to: "\(root)/etc/hostname")
    try Files.write("127.0.0.1 localhost\n127.0.1.1 roost\n::1 localhost\n", to: "\(root)/etc/hosts")
    try body(root)
  }

  /// Two sticks with an identity each; the medium is on the second.
  @Test func thePartitionIsTheOneBesideTheMedium() throws {
    try Self.withRoot { (root: String) throws in
      for (disk, number) in [("sda", 0), ("sdb", 16)] {
        let place = "sys/devices/usb1/\(disk)"
        let nodes = [(disk, "", number), ("\(disk)1", "/\(disk)1", number + 1), ("\(disk)3", "/\(disk)3", number + 3)]
        for (name, below, number) in nodes {
          try Files.makeDirectories("\(root)/\(place)\(below)")
          try Files.write("8:\(number)\n", to: "\(root)/\(place)\(below)/dev")
          if !below.isEmpty { try Files.write("1\n", to: "\(root)/\(place)\(below)/partition") }
          let partition = name.hasSuffix("3") ? "roost-identity" : "ISO9660"
          try Files.write("DEVTYPE=x\nPARTNAME=\(partition)\n", to: "\(root)/\(place)\(below)/uevent")
          try Files.link("\(root)/sys/class/block/\(name)", to: "../../devices/usb1/\(disk)\(below)")
        }
      }
      let tree = BlockTree(sys: "\(root)/sys")
      for device in ["8:16", "8:17"] {
        let mounts = Mount.parse("40 1 \(device) / /run/roost/medium ro - iso9660 /dev/x ro\n")
        #expect(StickIdentity.partition(in: tree, mounts: mounts)?.name == "sdb3")
      }
      #expect(StickIdentity.partition(in: tree, mounts: []) == nil)
      let disc = Mount.parse("40 1 11:0 / /run/roost/medium ro - iso9660 /dev/sr0 ro\n")
      #expect(StickIdentity.partition(in: tree, mounts: disc) == nil)
    }
  }

  @Test func documentsAreReadAsTheyAre() throws {
    try Self.withRoot { (root: String) throws in
      let path = "\(root)/partition"
      try Files.write(IdentityDocument.encode(Self.sample) + [UInt8](repeating: 0, count: 1000), to: path)
      #expect(StickIdentity.read(path) == .identity(Self.sample))
      #expect(StickIdentity.hostname(path) == "lab-07" && StickIdentity.hostname("\(root)/none") == nil)
      try Files.write([UInt8](repeating: 0, count: 1 << 20), to: path)
      #expect(StickIdentity.read(path) == .nothing)
      try Files.write("roost identity 1\nno", to: path)
      #expect(StickIdentity.read(path) == .unusable("its second line has no end"))
      #expect(StickIdentity.read("\(root)/none") == .unusable("it cannot be read: No such file or directory"))
    }
  }

  @Test func anIdentityBecomesTheMachines() throws {
    try Self.withRoot { (root: String) throws in
      #expect(StickIdentity.write(.identity(Self.sample), root: root) == [])
      #expect(try Files.readText("\(root)/etc/hostname") == "lab-07\n")
      #expect(try Files.readText("\(root)/etc/hosts") == "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 lab-07\n")
      let keys = "\(root)/root/.ssh/authorized_keys"
      #expect(try Files.readText(keys) == "\(Self.key)\n")
      #expect(try Files.status(keys)?.permissions == 0o600)
      #expect(try Files.status("\(root)/root/.ssh")?.permissions == 0o700)
      #expect(try ApplianceIdentity(json: Files.read("\(root)\(ApplianceIdentity.path)")) == Self.sample)
      #expect(!Files.exists("\(root)\(ApplianceIdentity.problemPath)"))
    }
  }

  @Test func aDamagedOneChangesNothingAndIsTold() throws {
    try Self.withRoot { (root: String) throws in
      #expect(StickIdentity.write(.unusable("it is damaged"), root: root) == [])
      #expect(try Files.readText("\(root)/etc/hostname") == "roost\n")
      #expect(try Files.readText("\(root)\(ApplianceIdentity.problemPath)") == "it is damaged\n")
      #expect(!Files.exists("\(root)/root/.ssh") && !Files.exists("\(root)\(ApplianceIdentity.path)"))
    }
  }

  @Test func oneWithoutKeysTouchesNone() throws {
    try Self.withRoot { (root: String) throws in
      #expect(StickIdentity.write(.identity(ApplianceIdentity(autostart: [])), root: root) == [])
      #expect(!Files.exists("\(root)/root/.ssh"))
      #expect(try Files.readText("\(root)/etc/hostname") == "roost\n")
    }
  }

  @Test func whatCannotBeWrittenIsTold() throws {
    #expect(StickIdentity.write(.identity(Self.sample), root: "/proc/none").count == 4)
  }

  @Test func theGatewayRunsWhereItIs() throws {
    try Self.withRoot { (root: String) throws in
      #expect(!ControlDomain.services(sys: root, root: root).contains { $0.name == "gateway" })
      try Files.makeDirectories("\(root)/usr/sbin")
      try Files.write("", to: "\(root)/usr/sbin/roost-gateway")
      let services = ControlDomain.services(sys: root, root: root)
      let gateway = try #require(services.first { $0.name == "gateway" })
      #expect(gateway.command == ["/usr/sbin/roost-gateway"])
      #expect(gateway.kind == .always)
      #expect(gateway.after == ["roostd"])
      #expect(throws: Never.self) { try orderServices(services) }
    }
  }

  @Test func theRecipesCommandsRunOnceWhereThereAreAny() throws {
    try Self.withRoot { (root: String) throws in
      #expect(!ControlDomain.services(sys: root, root: root).contains { $0.name == "at-start" })
      try Files.makeDirectories("\(root)/etc/roost")
      try Files.write("", to: "\(root)\(ControlDomain.recipeCommands)")
      let commands = try #require(ControlDomain.services(sys: root, root: root).first { $0.name == "at-start" })
      #expect(commands.command == ["/etc/roost/at-start"] && commands.kind == .once)
    }
  }

  @Test func sshdRunsWhereItIs() throws {
    try Self.withRoot { (root: String) throws in
      #expect(!ControlDomain.services(sys: root, root: root).contains { $0.name == "sshd" })
      try Files.makeDirectories("\(root)/usr/sbin")
      try Files.write("", to: "\(root)/usr/sbin/sshd")
      let services = try orderServices(ControlDomain.services(sys: root, root: root)).map(\.name)
      let key = try #require(services.firstIndex(of: "ssh-key"))
      let server = try #require(services.firstIndex(of: "sshd"))
      #expect(key < server)
    }
  }
}
