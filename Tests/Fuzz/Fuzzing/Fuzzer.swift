internal import CFuzzer
internal import Platform

/// What a program of fuzz targets is asked to do by its arguments: `list`, `seeds DIRECTORY`, or the name of a target and
/// what libFuzzer is to be told.
package enum Fuzzer {
  /// The target that runs. Written once, before libFuzzer begins, and read by the one thread that it runs inputs on.
  nonisolated(unsafe) private static var target: FuzzTarget?

  /// Does it, and ends the process.
  package static func main(_ targets: [FuzzTarget]) -> Never {
    let arguments = CommandLine.arguments
    switch arguments.dropFirst().first {
    case "list":
      for target in targets { StandardStream.output.write("\(target.name)\n") }
      exitProcess(0)
    case "seeds" where arguments.count == 3:
      do {
        for target in targets { try target.writeSeeds(to: "\(arguments[2])/\(target.name)") }
      } catch { stop("the seeds cannot be written: \(error)") }
      exitProcess(0)
    case let name?:
      guard let target = targets.first(where: { $0.name == name }) else {
        stop("\(name) is no target; 'list' prints which there are")
      }
      exitProcess(run(target))
    case nil: stop("give 'list', 'seeds DIRECTORY', or a target and options of libFuzzer (-help=1)")
    }
  }

  private static func run(_ target: FuzzTarget) -> Int32 {
    unsafe Self.target = target
    // SAFETY: the program's own arguments, which live as long as it, without the target's name.
    var count = CommandLine.argc - 1
    unsafe CommandLine.unsafeArgv[1] = CommandLine.unsafeArgv[0]
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv + 1
    return unsafe LLVMFuzzerRunDriver(&count, &arguments) { unsafe Fuzzer.test($0, $1) }
  }

  /// Runs one input of libFuzzer's.
  package static func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // SAFETY: libFuzzer's bytes live for the call, and are copied.
    var input = unsafe Input(Array(UnsafeBufferPointer(start: start, count: count)))
    guard let target = unsafe target else { return -1 }
    do { try target.run(&input) } catch { fatalError("\(target.name): \(error)") }
    return 0
  }

  private static func stop(_ message: String) -> Never {
    StandardStream.error.write("fuzz: \(message)\n")
    exitProcess(1)
  }
}
