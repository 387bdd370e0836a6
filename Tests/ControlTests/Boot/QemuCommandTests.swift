@testable import Control
import Testing

@Suite("QEMU's command line") struct QemuCommandTests {
  private func arguments(
    _ accelerator: Accelerator = .emulation(why: "x", remedy: nil), firmware: BootHost.Firmware? = nil,
    _ change: (inout BootOptions) -> Void = { _ in }
  ) -> [String] {
    var options = BootOptions(iso: "/images/a.iso")
    change(&options)
    return QemuCommand(
      options: options, accelerator: accelerator, cpus: 2, program: "/usr/bin/qemu-system-x86_64", firmware: firmware,
      controlSocket: "/run/c.sock", serialLog: "/run/serial.log"
    ).arguments
  }

  /// Values of every `option` in the command line.
  private func values(_ option: String, in arguments: [String]) -> [String] {
    arguments.indices.filter { arguments[$0] == option && $0 + 1 < arguments.count }.map { arguments[$0 + 1] }
  }

  @Test func emulationTakesThePlainestProcessorWithVirtualisation() {
    let words = arguments()
    #expect(words.first == "/usr/bin/qemu-system-x86_64")
    #expect(values("-accel", in: words) == ["tcg,thread=multi"])
    #expect(values("-cpu", in: words) == ["qemu64,+svm,+npt"])
    #expect(values("-smp", in: words) == ["2"])
    #expect(values("-m", in: words) == ["4096"])
    #expect(values("-machine", in: words) == ["q35"])
  }

  @Test func nestedKVMHandsTheProcessorOn() {
    let words = arguments(.nestedKVM(.intel))
    #expect(values("-accel", in: words) == ["kvm"])
    #expect(values("-cpu", in: words) == ["host"])
  }

  @Test func aCDIsReadOnly() {
    let words = arguments()
    let blocks = values("-blockdev", in: words)
    #expect(blocks.count == 2)
    #expect(blocks.allSatisfy { $0.hasSuffix("read-only=on") })
    #expect(words.contains("ide-cd,drive=medium,bootindex=0"))
    #expect(!words.contains("qemu-xhci") && !words.contains("-drive"))
  }

  @Test func aStickTakesWritesThatDoNotReachTheImage() {
    let words = arguments { $0.usb = true }
    #expect(values("-blockdev", in: words).isEmpty)
    #expect(
      values("-drive", in: words) == [
        "if=none,id=medium,snapshot=on,driver=raw,file.driver=file,file.filename=/images/a.iso"
      ])
    #expect(words.contains("usb-storage,drive=medium,bootindex=0"))
    #expect(words.contains("qemu-xhci"))
  }

  @Test func commasAndColonsInNamesStayNames() {
    var words = arguments { $0.iso = "nbd:x,y.iso" }
    #expect(values("-blockdev", in: words)[0] == "driver=file,node-name=medium-file,filename=nbd:x,,y.iso,read-only=on")
    words = arguments { ($0.iso, $0.usb) = ("nbd:x,y.iso", true) }
    #expect(values("-drive", in: words).first?.hasSuffix(",file.driver=file,file.filename=nbd:x,,y.iso") == true)
    #expect(QemuCommand.quote(",a,,") == ",,a,,,,")
  }

  @Test func uefiHasItsCodeAndVariables() {
    let words = arguments(firmware: .init(code: "/fw/code.fd", variables: "/tmp/vars.fd"))
    #expect(values("-machine", in: words) == ["q35,pflash0=firmware,pflash1=variables"])
    let blocks = values("-blockdev", in: words)
    #expect(blocks.contains("driver=file,node-name=firmware-file,filename=/fw/code.fd,read-only=on"))
    #expect(blocks.contains("driver=file,node-name=variables-file,filename=/tmp/vars.fd,read-only=off"))
  }

  @Test func secureBootHasAFirmwareThatAloneWritesItsVariables() {
    let words = arguments(firmware: .init(code: "/fw/code.fd", variables: "/tmp/vars.fd")) { $0.secureBoot = true }
    #expect(values("-machine", in: words) == ["q35,pflash0=firmware,pflash1=variables,smm=on"])
    #expect(values("-global", in: words) == ["driver=cfi.pflash01,property=secure,value=on"])
  }

  @Test func theSerialLineIsTheTerminalOrAFile() {
    let shown = values("-chardev", in: arguments())
    #expect(shown.contains("stdio,id=serial,mux=on,signal=off,logfile=/run/serial.log,logappend=off"))
    let hidden = arguments { $0.headless = true }
    #expect(values("-chardev", in: hidden).contains("file,id=serial,path=/run/serial.log"))
    #expect(!hidden.contains { $0.contains("stdio") })
    #expect(values("-display", in: hidden) == ["none"])
  }

  @Test func aMachineThatIsWatchedDoesNotStartOver() {
    #expect(!arguments().contains("-no-reboot"))
    #expect(arguments { $0.readyWithin = 60 }.contains("-no-reboot"))
  }

  @Test func theDomainManagersPortAndTheNetwork() {
    #expect(arguments().contains("virtserialport,chardev=control,name=org.roost.control"))
    #expect(arguments().contains("virtio-net-pci,netdev=network"))
    #expect(!arguments { $0.network = false }.contains { $0.contains("netdev") })
  }
}

@Suite("Whether an image can be booted") struct BootPlanTests {
  /// A file that begins like an ISO image of `sectors` sectors.
  private func image(_ scratch: Scratch, sectors: UInt8 = 20, length: Int = 20 * 2048) throws -> String {
    var bytes = [UInt8](repeating: 0, count: length)
    bytes.replaceSubrange(32769..<32774, with: Array("CD001".utf8))
    bytes[32768 + 80] = sectors
    try scratch.write(String(decoding: bytes, as: UTF8.self), to: "a.iso")
    return "\(scratch.path)/a.iso"
  }

  private func refusal(_ options: BootOptions, _ host: BootHost = .capable) -> String {
    do throws(ControlError) {
      _ = try BootPlan(options, host: host)
      return "accepted"
    } catch {
      return error.message
    }
  }

  @Test func aGoodOneIsSummedUp() throws {
    let scratch = try Scratch()
    var options = BootOptions(iso: try image(scratch))
    options.usb = true
    options.firmware = .uefi
    let plan = try BootPlan(options, host: .capable)
    #expect(plan.summary.first?.hasSuffix("a.iso as a USB stick by UEFI, 2 CPUs, 4 GiB") == true)
    #expect(plan.summary.dropFirst().first?.contains("KVM with nested AMD-V") == true)
    #expect(plan.summary.last == "what is written to the stick is forgotten when the machine ends")
    #expect(plan.summary.count == 3)
    options.usb = false
    #expect(try BootPlan(options, host: .capable).summary.count == 2)
    #expect(plan.firmware == BootHost.capable.firmware)
  }

  @Test func variablesOfTheUsersReplaceTheFirmwares() throws {
    let scratch = try Scratch()
    var options = BootOptions(iso: try image(scratch))
    options.firmware = .uefi
    options.secureBoot = true
    let plan = try BootPlan(options, host: .capable)
    #expect(plan.firmware == BootHost.capable.secureFirmware)
    #expect(plan.summary.first?.contains("by UEFI with Secure Boot,") == true)
    try scratch.write("", to: "own.fd")
    options.variables = "\(scratch.path)/own.fd"
    #expect(try BootPlan(options, host: .capable).firmware?.code == BootHost.capable.secureFirmware?.code)
    #expect(try BootPlan(options, host: .capable).firmware?.variables == "\(scratch.path)/own.fd")
    options.variables = "\(scratch.path)/none.fd"
    #expect(refusal(options).contains("none.fd with UEFI's variables"))
    var host = BootHost.capable
    host.secureFirmware = nil
    #expect(refusal(options, host).contains("with Secure Boot (OVMF): install it with 'sudo apt-get install ovmf'"))
  }

  @Test func emulatedMachinesHaveAProcessorThatRunsNoGuest() throws {
    let scratch = try Scratch()
    var options = BootOptions(iso: try image(scratch))
    var host = BootHost.capable
    host.virtualisation = nil
    for (processors, cpus) in [(1, 3), (2, 3), (3, 4), (4, 5), (64, 5)] {
      host.processors = processors
      #expect(try BootPlan(options, host: host).cpus == cpus)
    }
    options.cpus = 1
    #expect(try BootPlan(options, host: host).cpus == 1)
  }

  @Test func missingForeignAndShortFilesAreRefused() throws {
    let scratch = try Scratch()
    #expect(refusal(BootOptions(iso: "/none.iso")).contains("No such file or directory: build it with 'roost build"))
    try scratch.write("hello", to: "text")
    #expect(refusal(BootOptions(iso: "\(scratch.path)/text")).contains("is not an ISO image (5 bytes"))
    #expect(refusal(BootOptions(iso: scratch.path)).contains("Is a directory"))
    let short = try image(scratch, sectors: 21)
    #expect(refusal(BootOptions(iso: short)).contains("is cut short: 40960 bytes of 43008"))
  }

  @Test func whatTheHostLacksIsNamedWithItsRemedy() throws {
    let scratch = try Scratch()
    var options = BootOptions(iso: try image(scratch))
    #expect(refusal(options) == "accepted")
    var host = BootHost.capable
    host.qemu = nil
    #expect(refusal(options, host).contains("sudo apt-get install qemu-system-x86"))
    host = .capable
    host.availableMemory = 3 << 30
    #expect(refusal(options, host).contains("give --memory 2816MiB or less"))
    host.availableMemory = 1 << 30
    #expect(refusal(options, host).contains("even the smallest appliance"))
    host = .capable
    host.firmware = nil
    options.firmware = .uefi
    #expect(refusal(options, host).contains("sudo apt-get install ovmf"))
    options = BootOptions(iso: options.iso)
    options.memory = 512 << 20
    #expect(refusal(options).contains("512 MiB are too little"))
    options = BootOptions(iso: options.iso)
    options.cpus = 0
    #expect(refusal(options).contains("give --cpus 1 to 64"))
  }
}
