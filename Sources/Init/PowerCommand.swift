public import Platform

/// The commands `poweroff`, `reboot` and `halt`: they tell PID 1 by a signal, the ones of sysvinit and busybox.
public enum PowerCommand {
  /// What PID 1 does on a signal; nil when that is nothing.
  public static func action(signal: Int32) -> PowerAction? {
    switch signal {
    case Signal.user1: .halt
    case Signal.user2: .powerOff
    case Signal.terminate, Signal.interrupt: .restart  // SIGINT is Ctrl-Alt-Del
    default: nil
    }
  }

  /// The signal that asks PID 1 for `action`.
  public static func signal(for action: PowerAction) -> Int32 {
    switch action {
    case .halt: Signal.user1
    case .powerOff: Signal.user2
    case .restart: Signal.terminate
    }
  }

  /// The action that a command line asks for, by the program's name or its first argument; nil for none.
  public static func action(arguments: [String]) -> PowerAction? {
    let name = arguments.first?.split(separator: "/").last.map(String.init) ?? ""
    return PowerAction(rawValue: name) ?? arguments.dropFirst().first.flatMap(PowerAction.init(rawValue:))
  }

  /// Asks PID 1.
  public static func request(_ action: PowerAction) throws(SystemError) {
    try ChildProcess(pid: 1).signal(signal(for: action))
  }
}
