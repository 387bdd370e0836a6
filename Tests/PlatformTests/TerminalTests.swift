import Platform
import Testing

@Suite struct TerminalTests {
  @Test func barsAreFilledToTheirShare() {
    #expect(Terminal.bar(0, width: 4) == "[....]")
    #expect(Terminal.bar(0.5, width: 4) == "[##..]")
    #expect(Terminal.bar(1, width: 4) == "[####]")
    // What is no share is taken for the nearest that is one.
    for fraction in [-1, -Double.infinity, Double.nan] { #expect(Terminal.bar(fraction, width: 4) == "[....]") }
    for fraction in [1.5, Double.infinity] { #expect(Terminal.bar(fraction, width: 4) == "[####]") }
  }
}
