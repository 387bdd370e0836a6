import Binary
import Platform
import Synchronization
import Testing

@testable import ImageBuilder
@testable import Recipe

/// A server of HTTP on this machine that gives each connection the next of its answers, and closes it.
private final class ShortServer: Sendable {
  /// Whole answers, head and all, by what was asked for.
  private let answers: Mutex<[@Sendable (String) -> [UInt8]]>
  private let number: Int32
  let port: UInt16

  init(_ answers: [@Sendable (String) -> [UInt8]]) throws {
    let listener = try InternetSocket.listen(address: 0x7F00_0001, port: 0)
    self.answers = Mutex(answers)
    port = try InternetSocket.localPort(of: listener.rawValue)
    number = listener.release()
    try Thread("server") { [self] in
      let listener = FileDescriptor(adopting: number)
      while let answer = self.answers.withLock({ $0.isEmpty ? nil : $0.removeFirst() }),
        let connection = try? UnixSocket.accept(listener)
      {
        var request: [UInt8] = []
        while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
          guard let bytes = try? connection.read(upTo: 4096), !bytes.isEmpty else { break }
          request += bytes
        }
        try? connection.writeAll(answer(String(decoding: request, as: UTF8.self)))
      }
    }.detach()
  }

  var rest: Int { answers.withLock { $0.count } }
}

@Suite("Sources: downloads that are cut off")
struct TruncatedDownloadTests {
  private let content = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

  private func make(_ port: UInt16, _ directory: TemporaryDirectory) throws -> [UInt8] {
    let text = """
      name: test
      control-domain: {suite: trixie}
      sources: {it: {url: "http://127.0.0.1:\(port)/file.bin", sha256: \(SHA256.hash(content))}}
      domains: [{name: d, memory: 64 MiB, source: {kernel: {from: it}}, ready: {console: x}}]
      """
    let product = try SourceSet(Recipe.parse(text, file: "r"), copies: [:], versions: [:]).content("it")
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 0, jobs: 1, cancellation: Cancellation())
    let results = try executor.run([product.step]) { _ in }
    return try Files.read("\(results[product.step.name]?.directory ?? "")/\(product.file)")
  }

  private static func answer(_ status: String, length: Int, _ body: ArraySlice<UInt8>, more: String = "") -> [UInt8] {
    Array("HTTP/1.1 \(status)\r\nContent-Length: \(length)\r\n\(more)Connection: close\r\n\r\n".utf8) + body
  }

  @Test("A connection that ends early fails the build, and the next one goes on from there")
  func cutOff() throws {
    let directory = try TemporaryDirectory()
    let content = content
    let server = try ShortServer([
      { _ in Self.answer("200 OK", length: content.count, content.prefix(70_000)) },
      { request in
        guard request.contains("Range: bytes=70000-") else { return Self.answer("400 Bad", length: 0, []) }
        return Self.answer(
          "206 Partial Content", length: content.count - 70_000, content.dropFirst(70_000),
          more: "Content-Range: bytes 70000-\(content.count - 1)/\(content.count)\r\n")
      },
    ])
    let error = #expect(throws: BuildError.self) { try make(server.port, directory) }
    #expect(error?.code == .downloadFailed && error?.details.contains { $0.contains("curl: (18)") } == true)
    #expect(error?.message.contains("file.bin") == true && error?.hint?.contains("--source it=PATH") == true)
    #expect(try Files.list("\(directory.path)/cache/results").isEmpty)
    #expect(try make(server.port, directory) == content)
    #expect(server.rest == 0)
  }

  @Test("A server that says the beginning is all: both digests are told, and nothing is kept")
  func shorter() throws {
    let directory = try TemporaryDirectory()
    let beginning = content.prefix(70_000)
    let server = try ShortServer([{ _ in Self.answer("200 OK", length: beginning.count, beginning) }])
    let error = #expect(throws: BuildError.self) { try make(server.port, directory) }
    #expect(error?.code == .wrongDigest)
    for digest in [SHA256.hash(content), SHA256.hash(Array(beginning))] {
      #expect(error?.details.contains { $0.contains("\(digest)") } == true)
    }
    #expect(try Files.list("\(directory.path)/cache/sources").filter { !$0.hasSuffix(".lock") }.isEmpty)
  }
}
