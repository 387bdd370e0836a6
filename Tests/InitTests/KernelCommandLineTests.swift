import Binary
import Init
import Testing

@Suite struct KernelCommandLineTests {
  @Test func splitsAtSpacesOutsideQuotes() {
    let line = KernelCommandLine("quiet root=\"a b\" \"c d=e f\"  x=1=2\tempty= -- roost.rescue\n")
    #expect(line.parameters.map(\.name) == ["quiet", "root", "c d", "x", "empty"])
    #expect(line.parameters.map(\.value) == [nil, "a b", "e f", "1=2", ""])
    #expect(line["roost.rescue"] == nil)
  }

  @Test func theLastWinsAndHyphensAreUnderscores() {
    let line = KernelCommandLine("a-b=1 a_b=2 flag")
    #expect(line["a-b"] == "2")
    #expect(line["a_b"] == "2")
    #expect(line["flag"] == "")
    #expect(line["other"] == nil)
  }

  @Test(arguments: ["", "   ", "\"", "=", "\"\" =x", "a=\"unclosed b"])
  func hostileTextNeverTraps(text: String) {
    _ = KernelCommandLine(text).parameters
  }

  @Test func bootParametersAreComplete() throws {
    let digest = SHA256.hash("root")
    let line = "roost.medium=2026-01-02-03-04-05-00 roost.root=verity:\(digest)"
    let parameters = try BootParameters(KernelCommandLine(line))
    #expect(parameters.medium == "2026-01-02-03-04-05-00")
    #expect(parameters.root == digest)
    #expect(parameters.wait == 30)
    #expect(try BootParameters(KernelCommandLine(line + " roost.wait=60")).wait == 60)
    #expect(parameters.download == nil && parameters.file == nil && !parameters.copiesToMemory)
    let file = try BootParameters(KernelCommandLine(line + " \"iso-scan/filename=/my images/lab.iso\" roost.toram"))
    #expect(file.file == "/my images/lab.iso" && file.copiesToMemory)
    #expect(try BootParameters(KernelCommandLine(line + " findiso=/lab.iso")).file == "/lab.iso")
    #expect(try BootParameters(KernelCommandLine(line + " iso-scan/filename=")).file == nil)
    let image = ContentDigest.sha256(SHA256.hash("image"))
    let fetched = try BootParameters(
      KernelCommandLine(line + " roost.medium=http://server/lab.iso roost.image=\(image)"))
    #expect(fetched.medium == "2026-01-02-03-04-05-00" && fetched.download == "http://server/lab.iso")
    #expect(fetched.downloadDigest == image)
    let any = try BootParameters(
      KernelCommandLine("roost.root=verity:\(digest) roost.medium=http://10.0.2.2/x.iso"))
    #expect(any.medium == nil && any.download == "http://10.0.2.2/x.iso")
  }

  @Test(arguments: [
    "", "roost.medium=x", "roost.root=verity:00", "roost.medium= roost.root=verity:00",
    "roost.medium=x roost.root=verity:00",
    "roost.medium=x roost.root=sha256:\(SHA256.hash("root"))",
    "roost.medium=x roost.wait=-1 roost.root=verity:0000000000000000000000000000000000000000000000000000000000000000",
  ])
  func badParametersAreExplained(text: String) {
    let error = #expect(throws: InitError.self) { try BootParameters(KernelCommandLine(text)) }
    #expect(error?.code == .badParameter)
    #expect(error?.remedies.isEmpty == false)
  }
}
