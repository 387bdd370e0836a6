import Manifest
import Testing

@Suite("The order in which domains start")
struct StartOrderTests {
  private let chain = StartOrder([("web", ["db", "router"]), ("db", ["router"]), ("router", []), ("other", [])])

  @Test("Each comes behind all that it comes after, and stays where it was otherwise")
  func sorted() {
    #expect(chain.sorted == ["router", "db", "web", "other"])
    #expect(StartOrder([("a", []), ("b", []), ("c", [])]).sorted == ["a", "b", "c"])
    // Names that are not there, and circles, keep nobody out.
    #expect(StartOrder([("a", ["nobody"]), ("b", ["c"]), ("c", ["b"])]).sorted == ["a", "b", "c"])
  }

  @Test("The shortest circle is found, and those in it wait for each other no more")
  func cycles() {
    #expect(chain.cycle(through: "web") == nil && chain.problem(of: "web") == nil)
    let round = StartOrder([("a", ["x", "b"]), ("b", ["c"]), ("c", ["d", "a"]), ("d", ["b"]), ("x", [])])
    #expect(round.cycle(through: "a") == ["a", "b", "c"])
    #expect(round.cycle(through: "d") == ["d", "b", "c"])
    #expect(round.cycle(through: "x") == nil)
    #expect(
      round.problem(of: "a")
        == "itself in the end: a comes after b, b comes after c, c comes after a; leave one of these out")
    #expect(round.predecessors(of: "a") == ["x"] && round.predecessors(of: "c") == [])
    #expect(StartOrder([("a", ["a"])]).predecessors(of: "a") == [])
  }

  @Test("What an entry lacks is said")
  func problems() {
    let order = StartOrder([("web", ["bd"]), ("db", []), ("self", ["self"]), ("twice", ["db", "db"])])
    #expect(order.problem(of: "web") == "'bd', which is no domain; did you mean 'db'?")
    #expect(order.problem(of: "self") == "itself")
    #expect(order.problem(of: "twice") == "'db' twice")
  }
}
