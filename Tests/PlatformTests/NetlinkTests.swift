import Testing
@testable import Platform

@Suite struct NetlinkTests {
  @Test func attributesAreLaidOut() {
    #expect(NetlinkAttribute.word(1, 0x0102_0304).bytes == [8, 0, 1, 0, 4, 3, 2, 1])
    #expect(NetlinkAttribute.short(2, 7).bytes == [6, 0, 2, 0, 7, 0, 0, 0])
    #expect(NetlinkAttribute.text(10, "ab").bytes == [7, 0, 10, 0, 97, 98, 0, 0])
    #expect(
      NetlinkAttribute.nested(7, [.nested(1, [.word(1, 5)])]).bytes == [
        16, 0, 7, 0, 12, 0, 1, 0, 8, 0, 1, 0, 5, 0, 0, 0,
      ])
    #expect(NetlinkAttribute.long(2, 1).bytes == [12, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test func attributesAreReadBackAndWhatIsCutOffIsNot() {
    let bytes = NetlinkAttribute.text(2, "nbd").bytes + NetlinkAttribute.short(1, 29).bytes
    #expect(NetlinkAttribute.contents(bytes[...]) == [2: [110, 98, 100, 0], 1: [29, 0]])
    #expect(NetlinkAttribute.contents(bytes.dropLast(4)) == [2: [110, 98, 100, 0]])
    #expect(NetlinkAttribute.contents([2, 0, 0, 0]).isEmpty)
    #expect(NetlinkAttribute.contents([]).isEmpty)
  }

  @Test func aRequestHasItsLengthAndAsksForAnAnswer() {
    let message = GenericNetlink.message(family: 16, command: 3, version: 1, [.text(2, "nbd")])
    #expect(message == [28, 0, 0, 0, 16, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 8, 0, 2, 0, 110, 98, 100, 0])
  }

  @Test func theKernelAnswers() throws {
    // The controller itself is a family of every kernel with generic netlink; one of this name is of none.
    let controller = try GenericNetlink("nlctrl", version: 1)
    let answer = try controller.request(3, [.text(2, "nlctrl")], doing: "ask")
    #expect(answer[1] == [16, 0])
    let error = #expect(throws: SystemError.self) { _ = try GenericNetlink("roost-none", version: 1) }
    #expect(error?.errno == .noSuchFile)
  }
}
