import Synchronization
import Testing

@testable import Devices

@Suite("Processors that come and go")
struct ProcessorHotplugTests {
  private final class News: Sendable {
    let count = Atomic(0)
    var isThere: Bool { count.exchange(0, ordering: .relaxed) > 0 }
  }

  private func processors(_ count: Int, of maximum: Int) -> (ProcessorHotplug, News) {
    let news = News()
    return (ProcessorHotplug(count: count, maximum: maximum) { news.count.add(1, ordering: .relaxed) }, news)
  }

  private func ports(_ processors: ProcessorHotplug) -> [ProcessorHotplugPort] {
    (0..<4).map { ProcessorHotplugPort(rawValue: UInt8(processors.read(at: $0, width: .byte))) }
  }

  private func write(_ bits: ProcessorHotplugPort, to id: UInt64, _ processors: ProcessorHotplug) {
    processors.write(UInt64(bits.rawValue), at: id, width: .byte)
  }

  @Test(
    "What comes is there at once and is news until it was looked at; what is to go stays until the guest lets go of it")
  func comesAndGoes() {
    let (processors, news) = processors(1, of: 4)
    #expect(ports(processors) == [.present, [], [], []] && !news.isThere)
    processors.set(3)
    #expect(ports(processors) == [.present, [.present, .arrives], [.present, .arrives], []] && news.isThere)
    write(.arrives, to: 1, processors)
    write(.arrives, to: 2, processors)
    #expect(ports(processors) == [.present, .present, .present, []] && !news.isThere)
    processors.set(2)
    #expect(ports(processors) == [.present, .present, [.present, .leaves], []] && news.isThere)
    write(.leaves, to: 2, processors)
    #expect(ports(processors)[2] == .present)
    write(.ejected, to: 2, processors)
    #expect(ports(processors) == [.present, .present, [], []] && !news.isThere)
    // Saying what is so already is no news.
    processors.set(2)
    #expect(!news.isThere)
  }

  @Test("The last word counts: what is wanted again is not asked for, and comes anew if it went meanwhile")
  func changesOfMind() {
    let (processors, news) = processors(2, of: 4)
    processors.set(1)
    #expect(ports(processors)[1] == [.present, .leaves] && news.isThere)
    processors.set(2)
    #expect(ports(processors)[1] == .present && !news.isThere)
    // The guest was told before, and lets go of it now.
    processors.set(1)
    write(.leaves, to: 1, processors)
    processors.set(2)
    #expect(news.isThere)
    write(.ejected, to: 1, processors)
    #expect(ports(processors)[1] == [.present, .arrives] && news.isThere)
    // A guest that does not let go is asked again.
    processors.set(1)
    write([.arrives, .leaves], to: 1, processors)
    #expect(news.isThere)
    processors.set(1)
    #expect(ports(processors)[1] == [.present, .leaves] && news.isThere)
  }

  @Test("The first processor stays, what is not there cannot go, and no access of another kind does anything")
  func nonsense() {
    let (processors, news) = processors(1, of: 2)
    write(.ejected, to: 0, processors)
    write(.ejected, to: 1, processors)
    write(.ejected, to: 2, processors)
    write(ProcessorHotplugPort(rawValue: 0xFF), to: 255, processors)
    processors.write(UInt64.max, at: 0, width: .doubleWord)
    processors.set(0)
    #expect(ports(processors) == [.present, [], [], []] && !news.isThere)
    #expect(processors.read(at: 0, width: .doubleWord) == 0 && processors.read(at: 255, width: .byte) == 0)
  }
}
