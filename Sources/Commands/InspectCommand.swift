internal import ArgumentParser
internal import ImageBuilder
internal import Platform

/// `roost inspect`: what is in an image.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what is in an image.",
    discussion: """
      Shows the recipe that the image was built from, its domains, what boots it, its partitions, its largest files and \
      the packages of its root file systems. --json has all of it, with every package and file.

      EXAMPLES
        roost inspect lab.iso
        roost inspect lab.iso --json | jq -r '.roots[].packages[].purl'
      """)

  @Argument(help: "The image, or a stick with it.", completion: .file(extensions: ["iso"]))
  var image: String

  @Flag(help: "Print JSON.")
  var json = false
  @ParentCommand var roost: Roost

  func validate() throws { try roost.appliance.refuse(for: "inspect") }

  func run() throws {
    Signal.ignorePipe()
    do throws(BuildError) {
      let report = try ImageReport(reading: image)
      StandardStream.output.write(json ? try report.json() : report.lines.map { "\($0)\n" }.joined())
    } catch {
      StandardStream.error.write("roost inspect: \(error)\n")
      throw ExitCode(1)
    }
  }
}

/// `roost diff`: what changed from one image to another.
struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Say what changed from one image to another.",
    discussion: """
      Says in words what differs: the recipe, domains, the packages of each root file system, the kernel, boot entries, \
      files and sizes. Says nothing of images that are the same.

      The exit status is that of diff(1): 0 for images that are the same, 1 for others, 2 for trouble.

      EXAMPLES
        roost diff lab-1.iso lab-2.iso
        roost diff lab-1.iso lab-2.iso --json | jq '.packages'
      """)

  @Argument(help: "The older image.", completion: .file(extensions: ["iso"]))
  var old: String

  @Argument(help: "The newer image.", completion: .file(extensions: ["iso"]))
  var new: String

  @Flag(help: "Print JSON, also for images that are the same.")
  var json = false
  @ParentCommand var roost: Roost

  func validate() throws { try roost.appliance.refuse(for: "diff") }

  func run() throws {
    Signal.ignorePipe()
    let isSame: Bool
    do throws(BuildError) {
      let difference = try ImageDifference(between: old, and: new)
      StandardStream.output.write(json ? try difference.json() : difference.lines.map { "\($0)\n" }.joined())
      isSame = difference.isEmpty
    } catch {
      StandardStream.error.write("roost diff: \(error)\n")
      throw ExitCode(2)
    }
    if !isSame { throw ExitCode(1) }
  }
}
