internal import Platform

/// The other end of a remote command: joins its input and output with one of the appliance's sockets, byte for byte.
public enum Relay {
  /// What it joins them with.
  public enum Target: Hashable, Sendable {
    /// The domain manager.
    case control
    /// The console of a domain.
    case console(String)
    /// The screen of a domain.
    case screen(String)
    /// What a domain's console has shown; with `follows`, on as it comes.
    case log(String, follows: Bool)
  }

  /// Says on `output` whether it is joined (`RelayGreeting`), and copies until either side ends. Names are looked up by
  /// the domain manager at `socket`: nothing else can be reached. Throws what was said against it as well.
  public static func run(_ target: Target, socket: String, input: Int32, output: Int32) throws(ControlError) {
    Signal.ignorePipe()
    do throws(ControlError) {
      let link = ApplianceLink(socket: socket)
      switch target {
      case .control: try join(try link.open(.control), input, output)
      case .console(let name): try join(try link.open(.console(try running(name, link))), input, output)
      case .screen(let name): try join(try link.open(.screen(try running(name, link))), input, output)
      case .log(let name, let follows):
        let domain = try find(name, link)
        _ = TerminalStream.write(RelayGreeting.accepted, to: output)
        try follow(LogReader(path: domain.log), follows, input, output)
      }
    } catch {
      _ = TerminalStream.write(RelayGreeting.refused(error), to: output)
      throw error
    }
  }

  private static func find(_ name: String, _ link: ApplianceLink) throws(ControlError) -> DomainStatus {
    let client = try ControlClient(link)
    try client.hello()
    let overview = try client.list()
    guard let domain = overview.domain(name) else { throw overview.unknown(name) }
    return domain
  }

  private static func running(_ name: String, _ link: ApplianceLink) throws(ControlError) -> DomainStatus {
    let domain = try find(name, link)
    guard domain.pid != nil else {
      throw ControlError(
        .wrongState, "\(name) is not running (it is \(domain.state.rawValue)); `roost start \(name)` starts it")
    }
    return domain
  }

  private static func join(_ connection: ApplianceConnection, _ input: Int32, _ output: Int32) throws(ControlError) {
    _ = TerminalStream.write(RelayGreeting.accepted, to: output)
    do throws(SystemError) {
      let stream = Stream(try connection.duplicate())
      try Thread("relay") {
        while let bytes = try? TerminalStream.read(input), !bytes.isEmpty {
          guard (try? stream.file.writeAll(bytes)) != nil else { break }
        }
        // Who asked is gone.
        try? UnixSocket.shutDown(stream.file)
      }.detach()
      while true {
        let bytes = try stream.file.read(upTo: 1 << 16)
        guard !bytes.isEmpty, TerminalStream.write(bytes, to: output) else { return }
      }
    } catch {
      // As if the other side had closed it; a relay that is joined has no other words.
      return
    }
  }

  private static func follow(
    _ log: LogReader, _ follows: Bool, _ input: Int32, _ output: Int32
  ) throws(ControlError) {
    var log = log
    do throws(SystemError) {
      let poller = try Poller()
      if follows { try poller.add(input, .readable, token: 0) }
      while true {
        let bytes = (try? log.next()) ?? []
        if !bytes.isEmpty {
          guard TerminalStream.write(bytes, to: output) else { return }
        } else if !follows {
          return
        } else if try !poller.wait(timeout: 200).isEmpty {
          guard let typed = try? TerminalStream.read(input), !typed.isEmpty else { return }
        }
      }
    } catch {
      return
    }
  }

  /// A socket that two threads use, one for each direction.
  private final class Stream: Sendable {
    let file: FileDescriptor

    init(_ file: consuming FileDescriptor) {
      self.file = file
    }
  }
}
