import Platform
import Testing

@Suite struct ShellWordTests {
  @Test("A word comes out of a shell as it went in, and nothing else is run")
  func words() throws {
    for word in ["", "plain", "it's", "'", "a'\u{301}; echo mark; '", "$HOME `x` \"q\" \\ \n;&", "\r\n'"] {
      let pipe = try Pipe()
      var request = ChildRequest(["sh", "-c", "printf %s \(ShellWord.quoted(word))"])
      request.descriptors = [pipe.reader.rawValue, pipe.writer.rawValue, pipe.writer.rawValue]
      let status = try ChildProcess.start(request).wait()
      #expect(status.isSuccess)
      try pipe.writer.writeAll([0])
      let text = try pipe.reader.read(upTo: 4096)
      #expect(Array(text.dropLast()) == Array(word.utf8), "\(word.debugDescription)")
    }
  }
}
