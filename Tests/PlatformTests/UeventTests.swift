import Platform
import Testing

@Suite struct UeventTests {
  @Test func readsActionPathAndProperties() throws {
    let text = "add@/devices/pci0000:00/0000:00:04.0\0ACTION=add\0MODALIAS=pci:v1AF4d1005=x\0SEQNUM=7\0"
    let event = try #require(Uevent(message: Array(text.utf8)))
    #expect(event.action == "add")
    #expect(event.devicePath == "/devices/pci0000:00/0000:00:04.0")
    #expect(event.properties["MODALIAS"] == "pci:v1AF4d1005=x")
    #expect(event.properties["SEQNUM"] == "7")
  }

  @Test(arguments: ["", "\0", "libudev\0add", "no header\0A=b\0"])
  func refusesWhatIsNoKernelMessage(text: String) {
    #expect(Uevent(message: Array(text.utf8)) == nil)
  }

  @Test func kernelReleaseIsThatOfProc() throws {
    #expect(try Files.readText("/proc/sys/kernel/osrelease") == RunningSystem.kernelRelease + "\n")
  }
}
