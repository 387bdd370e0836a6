import Testing

@testable import Platform

@Suite struct MountTests {
  @Test func parsesMountinfo() {
    let mounts = Mount.parse(
      """
      22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
      40 22 0:30 / /mnt/a\\040b rw,nosuid shared:7 master:1 - squashfs /dev/loop\\1343 ro,errors=continue
      short line
      41 22 0:31 / /bound ro - tmpfs tmpfs rw,size=4k

      """)
    #expect(
      mounts == [
        Mount(source: "/dev/vda", target: "/", type: "ext4", isReadOnly: false, device: "254:0"),
        Mount(source: "/dev/loop\\3", target: "/mnt/a b", type: "squashfs", isReadOnly: true, device: "0:30"),
        Mount(source: "tmpfs", target: "/bound", type: "tmpfs", isReadOnly: true, device: "0:31"),
      ])
  }

  @Test func knowsThisMachine() throws {
    #expect(try Mount.find(at: "/proc")?.type == "proc")
    #expect(try Mount.find(at: "/proc/self") == nil)
  }

  @Test func failureNamesSourceTypeAndTarget() {
    #expect {
      try Mount.mount("tmpfs", at: "/nonexistent/target", type: "tmpfs")
    } throws: { error in
      "\(error)".hasPrefix("mount tmpfs (tmpfs) at /nonexistent/target: ")
    }
  }
}
