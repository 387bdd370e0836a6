import Identity
import Platform
import Testing

@testable import Init

/// What the keeper of a stick decides.
@Suite("The stick's keeper") struct KeeperModelTests {
  private static let second: UInt64 = 1_000_000_000

  private static func stick(_ verdict: KeeperModel.Verdict, _ path: String = "/dev/sdb") -> KeeperModel.Candidate {
    .init(path: path, sequence: path, verdict: verdict)
  }

  private static func texts(_ actions: [KeeperModel.Action]) -> [String] {
    actions.compactMap { action in if case .say(let text) = action { text } else { nil } }
  }

  private static func reports(_ actions: [KeeperModel.Action]) -> [MediumReport] {
    actions.compactMap { action in if case .report(let report) = action { report } else { nil } }
  }

  @Test func aStickThatGoesAndComesBack() {
    var model = KeeperModel()
    #expect(model.look(.up, at: 0) { [] } == [.report(.init(.present))])
    #expect(model.look(.up, at: Self.second) { [] } == [])
    let gone = model.look(.down, at: 2 * Self.second) { [] }
    #expect(Self.texts(gone) == [KeeperModel.pulled])
    #expect(Self.reports(gone) == [.init(.missing, notice: KeeperModel.pulled)])
    #expect(model.look(.down, at: 3 * Self.second) { [] } == [])
    #expect(model.look(.down, at: 4 * Self.second) { [Self.stick(.unclear)] } == [])
    let same = Self.stick(.same)
    #expect(model.look(.down, at: 5 * Self.second) { [same] } == [.restore(same)])
    #expect(
      model.restored(same, failure: nil, at: 5 * Self.second) == [
        .say("the stick is back: the guests go on"), .report(.init(.present)),
      ])
    #expect(model.look(.up, at: 6 * Self.second) { [] } == [])
  }

  @Test func anotherStickIsRefusedOnceAndTold() {
    var model = KeeperModel()
    _ = model.look(.down, at: 0) { [] }
    let other = Self.stick(.refused("is another stick"))
    let refusal = model.look(.down, at: Self.second) { [other] }
    #expect(Self.texts(refusal) == ["/dev/sdb is another stick; it is not used"])
    #expect(Self.reports(refusal).first?.notice?.hasSuffix("/dev/sdb is another stick; it is not used") == true)
    #expect(Self.reports(refusal).first?.state == .missing)
    #expect(model.look(.down, at: 2 * Self.second) { [other] } == [])
    // The right one beside it is taken.
    let same = Self.stick(.same, "/dev/sdc")
    #expect(model.look(.down, at: 3 * Self.second) { [other, same] }.last == .restore(same))
    // Without the wrong one nothing is said of it any more.
    #expect(
      model.look(.down, at: 4 * Self.second) { [] } == [.report(.init(.missing, notice: KeeperModel.pulled))])
  }

  @Test func aStickThatCannotBeUsedIsTriedAgainAfterARest() {
    var model = KeeperModel()
    _ = model.look(.down, at: 0) { [] }
    let same = Self.stick(.same)
    #expect(model.look(.down, at: Self.second) { [same] } == [.restore(same)])
    #expect(
      Self.texts(model.restored(same, failure: "no memory", at: Self.second)).first?.contains("no memory") == true)
    #expect(model.look(.down, at: Self.second + 1) { [same] } == [])
    #expect(model.look(.down, at: 3 * Self.second) { [same] } == [.restore(same)])
  }

  @Test func aLooseConnectionIsTold() {
    var model = KeeperModel()
    let same = Self.stick(.same)
    _ = model.look(.down, at: 0) { [] }
    _ = model.look(.down, at: Self.second) { [same] }
    _ = model.restored(same, failure: nil, at: Self.second)
    // A moment later it is gone again: it gets a rest.
    _ = model.look(.down, at: 2 * Self.second) { [] }
    _ = model.look(.down, at: 3 * Self.second) { [same] }
    _ = model.restored(same, failure: nil, at: 3 * Self.second)
    #expect(
      Self.reports(model.look(.up, at: 4 * Self.second) { [] }) == [.init(.present, notice: KeeperModel.unsteady)])
    #expect(Self.reports(model.look(.up, at: 60 * Self.second) { [] }) == [.init(.present)])
  }

  @Test func theEndOfTheMachineComesWithoutTheStick() {
    var model = KeeperModel()
    _ = model.look(.down, at: 0) { [] }
    #expect(Self.texts(model.end(.powerOff, at: 100 * Self.second)).first?.contains("within 60 s") == true)
    #expect(model.look(.down, at: 159 * Self.second) { [] } == [])
    let over = model.look(.down, at: 160 * Self.second) { [] }
    #expect(over.last == .stopWaiting && Self.texts(over).first?.contains("is lost") == true)
    #expect(model.look(.down, at: 219 * Self.second) { [] } == [])
    #expect(model.look(.down, at: 220 * Self.second) { [] } == [.stopMachine(.powerOff)])
  }

  @Test func aStickThatGoesInTheMiddleOfTheEndMayComeBack() {
    var model = KeeperModel()
    _ = model.look(.up, at: 0) { [] }
    #expect(model.end(.restart, at: Self.second) == [])
    let gone = model.look(.down, at: 30 * Self.second) { [] }
    #expect(Self.texts(gone).count == 2)
    #expect(model.look(.down, at: 89 * Self.second) { [] } == [])
    let same = Self.stick(.same)
    #expect(model.look(.down, at: 89 * Self.second) { [same] } == [.restore(same)])
    _ = model.restored(same, failure: nil, at: 89 * Self.second)
    #expect(model.look(.up, at: 300 * Self.second) { [] } == [])
  }

  @Test func aStickThatNobodyUsesMayGo() {
    var model = KeeperModel()
    _ = model.look(.up, at: 0) { [] }
    #expect(model.look(.unused, at: Self.second) { [] } == [])
  }
}
