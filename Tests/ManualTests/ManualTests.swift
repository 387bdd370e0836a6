import Platform
import Testing
@testable import Manual

@Suite("Manual pages")
struct ManualTests {
  private static let program = "\(BuiltProgram.folder)/roost"

  private static let description = """
    {"serializationVersion": 0, "command": {
      "commandName": "tool", "abstract": "Does things.", "shouldDisplay": true,
      "discussion": "About it.\\n\\nEXIT STATUS:\\n  0  done\\n  1  failed",
      "arguments": [
        {"kind": "option", "shouldDisplay": true, "isOptional": true, "isRepeating": false, "parsingStrategy": "default",
         "names": [{"kind": "long", "name": "host"}, {"kind": "short", "name": "h"}], "valueName": "host",
         "defaultValue": "here", "abstract": "Where."}],
      "subcommands": [
        {"commandName": "help", "superCommands": ["tool"], "shouldDisplay": true},
        {"commandName": "secret", "superCommands": ["tool"], "shouldDisplay": false},
        {"commandName": "make", "superCommands": ["tool"], "shouldDisplay": true, "abstract": "Make a thing.",
         "aliases": ["do"],
         "discussion": "It's \\"made\\" of `x`.\\n.hidden\\n\\nWords:\\n  a\\\\b   one\\n    deep\\n\\nEXAMPLES:\\n  tool make x\\n",
         "arguments": [
           {"kind": "positional", "shouldDisplay": true, "isOptional": false, "isRepeating": true,
            "parsingStrategy": "default", "valueName": "thing", "abstract": "What."},
           {"kind": "flag", "shouldDisplay": true, "isOptional": true, "isRepeating": false,
            "parsingStrategy": "default", "names": [{"kind": "long", "name": "fast"}], "defaultValue": "false",
            "abstract": "Hurry."},
           {"kind": "flag", "shouldDisplay": false, "isOptional": true, "isRepeating": false,
            "parsingStrategy": "default", "names": [{"kind": "long", "name": "hidden"}]}]}]}}
    """

  private func manual(_ json: String = description) throws -> ManualPages {
    try ManualPages(json: json, version: "1.2", date: "2026-11-28", environment: [("TOOL_HOST", "Where as well.")])
  }

  @Test("Each command that is for people has a page of its own")
  func files() throws {
    #expect(try manual().pages.map(\.file) == ["tool.1", "tool-make.1"])
  }

  @Test("The program's page has its options, commands, variables and exit codes")
  func program() throws {
    let page = try #require(try manual().pages.first).text
    for text in [
      ".TH \"TOOL\" 1 \"2026-11-28\" \"tool 1.2\"\n", ".SH NAME\ntool \\- Does things\n",
      ".B tool\n[\\fIoptions\\fR]\n\\fIcommand\\fR\n", ".SH DESCRIPTION\nAbout it.\n",
      ".TP\n\\fB\\-h\\fR, \\fB\\-\\-host\\fR \\fIhost\\fR\nWhere. (default: here)\n",
      ".SH COMMANDS\n.TP\n.BR tool\\-make (1)\nMake a thing.\n", ".TP\n.B TOOL_HOST\nWhere as well.\n",
      ".SH EXIT STATUS\n.RS 2\n.nf\n0  done\n1  failed\n.fi\n",
    ] {
      #expect(page.contains(text), "\(text) is not in\n\(page)")
    }
    #expect(!page.contains("secret") && !page.contains("SEE ALSO"))
  }

  @Test("A command's page has its words as they are, its examples, and the program's exit codes")
  func command() throws {
    let page = try #require(try manual().pages.last).text
    for text in [
      ".B tool make\n[\\fIoptions\\fR]\n\\fIthing\\fR ...\n", "It\\(aqs \\(dqmade\\(dq of \\(gax\\(ga. .hidden\n",
      ".PP\nWords:\n.RS 2\n.nf\na\\eb   one\n  deep\n.fi\n.RE\n", ".SH ARGUMENTS\n.TP\n\\fIthing\\fR\nWhat.\n",
      ".TP\n\\fB\\-\\-fast\\fR\nHurry.\n", ".SH EXAMPLES\n.RS 2\n.nf\ntool make x\n.fi\n.RE\n", "0  done\n",
      "Other names of it:\ndo.\n", ".SH SEE ALSO\n.BR tool (1)\n",
    ] {
      #expect(page.contains(text), "\(text) is not in\n\(page)")
    }
    #expect(!page.contains("hidden\\fR") && !page.contains("ENVIRONMENT"))
  }

  @Test("Nothing that a text says is taken for a request")
  func escapes() {
    #expect(Roff.text(".TH") == "\\&.TH" && Roff.text("'br") == "\\(aqbr" && Roff.text("a\\fB") == "a\\efB")
  }

  @Test("A description of another kind is refused")
  func odd() {
    for json in [
      "", "{}", "{\"serializationVersion\": 1, \"command\": {\"commandName\": \"x\", \"shouldDisplay\": true}}",
    ] {
      #expect(throws: ManualError.self) { try manual(json) }
    }
  }

  @Test("roost writes a page, a help text and completions for all of its commands, and the pages are clean")
  func roost() throws {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-manual-")
    defer { try? Files.removeTree(directory) }
    let written = ChildRequest([Self.program, "manual", directory, "--date", "2026-11-28"])
    #expect(try ChildProcess.start(written).wait() == .exited(0))
    let pages = try Files.list("\(directory)/man/man1")
    for name in ["roost.1", "roost-list.1", "roost-disk-create.1", "roost-storage-connect.1"] {
      #expect(pages.contains(name))
    }
    #expect(!pages.contains { $0.contains("relay") || $0.contains("manual") || $0.contains("help") })
    let helps = try Files.list(directory).filter { $0.hasSuffix(".txt") }
    #expect(Set(helps.map { $0.dropLast(4) }) == Set(pages.map { $0.dropLast(2) }))
    for page in pages {
      let text = try Files.readText("\(directory)/man/man1/\(page)")
      #expect(text.contains(".SH EXIT STATUS\n") && text.contains("130 by Ctrl\\-C"), "\(page)")
    }
    for (file, word) in [("roost.bash", "complete "), ("_roost", "#compdef roost"), ("roost.fish", "complete -c")] {
      #expect(try Files.readText("\(directory)/completions/\(file)").contains(word), "\(file)")
    }
    if Files.exists("/usr/bin/mandoc") {
      var lint = ChildRequest(
        ["mandoc", "-T", "lint", "-W", "warning"] + pages.map { "\(directory)/man/man1/\($0)" })
      let report = try FileDescriptor(opening: "\(directory)/lint", [.writeOnly, .create])
      lint.descriptors = [0, report.rawValue, report.rawValue]
      let status = try ChildProcess.start(lint).wait()
      #expect(status == .exited(0), "\((try? Files.readText("\(directory)/lint"))?.prefix(2000) ?? "")")
    }
    for odd in [["--date", "today"], []] {
      var refused = ChildRequest([Self.program, "manual", directory] + odd)
      let nothing = try FileDescriptor(opening: "/dev/null", .writeOnly)
      refused.descriptors = [0, nothing.rawValue, nothing.rawValue]
      #expect(try ChildProcess.start(refused).wait() == .exited(64))
    }
  }
}
