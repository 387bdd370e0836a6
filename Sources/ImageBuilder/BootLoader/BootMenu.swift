public import Binary
internal import Manifest
internal import Platform

/// GRUB's menu on the medium: a template of `iso/grub.cfg` and what is filled in.
public struct BootMenu: Sendable {
  /// The name of the first entry.
  public let title: String
  /// The kernel's command line.
  public let commandLine: String

  /// A menu with these words in it.
  public init(title: String, commandLine: String) {
    self.title = title
    self.commandLine = commandLine
  }

  /// The command line of an appliance.
  ///
  /// - Parameters:
  ///   - medium: what the init finds the medium by.
  ///   - root: the digest of all blocks' digests of the control domain's root.
  ///   - own: what the recipe adds, which comes last.
  public static func commandLine(medium: VolumeUUID, root: SHA256.Digest, own: String = "") -> String {
    let words = [
      "roost.medium=\(medium)", "roost.root=\(Verity.text(root))", "console=tty0", "console=ttyS0,115200",
      // KVM reports each register of the processor that a guest tries and it has not, as an error (level 3).
      "quiet", "loglevel=3", "panic=30",
      // An emulator that is short of time fails the kernel's check of the timer interrupt, and that is a panic.
      "no_timer_check", "maxcpus=1", own,
    ]
    return words.filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// The menu's text from the template at `path`.
  ///
  /// - Throws: `badFile` for a template that cannot be read or has a word that is not known; `content` for a title
  ///   or command line that GRUB would take for something else.
  public func text(template path: String) throws(BuildError) -> String {
    let template: String
    do throws(SystemError) {
      template = try Files.readText(path)
    } catch {
      throw BuildError(
        .badFile, "the boot menu's template \(path) cannot be read: \(error.errno)",
        hint: "name the directory that holds grub.cfg with --share")
    }
    return try fill(template, from: path)
  }

  func fill(_ template: String, from path: String) throws(BuildError) -> String {
    for text in [title, commandLine] {
      if let found = text.first(where: { Limits.menuCharacters.contains($0) }) {
        throw BuildError(.content, "the boot menu cannot hold the character '\(found)' of '\(text)'")
      }
    }
    var result = ""
    for (number, line) in template.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let parts = line.split(separator: "@", omittingEmptySubsequences: false)
      for (index, part) in parts.enumerated() {
        switch (index % 2, part) {
        case (0, _): result += part
        case (_, "TITLE"): result += title
        case (_, "COMMAND_LINE"): result += commandLine
        default:
          throw BuildError(
            .badFile, "\(path):\(number + 1): '@\(part)@' is not a word that is filled in",
            hint: "the words are @TITLE@ and @COMMAND_LINE@")
        }
      }
      result += "\n"
    }
    while result.hasSuffix("\n\n") { result.removeLast() }
    return result
  }
}
