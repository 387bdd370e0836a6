import Platform
import Testing

/// What `roost mem-set` does for the guest `debian` while it runs: the machine shows the screen, and root is logged in on
/// that guest's console. It starts with 384 MiB and may have 768.
struct MemorySession {
  let machine: Machine

  /// Prints what the guest's monitor has of the machine, in MiB, after `has-WORD=`, and what the machine has left after
  /// `left-WORD=`. A word that is written in two parts is in the answer only.
  private static func usage(_ word: String) -> String {
    func mebibytes(_ field: String, _ file: String) -> String {
      "$(($(grep \(field) \(file) | busybox tr -dc 0-9) / 1024))"
    }
    return
      "for p in $(busybox pidof roost-vmm); do busybox tr '\\0' ' ' </proc/$p/cmdline | grep -q -- '--name debian ' "
      + "&& echo ha''s-\(word)=\(mebibytes("RssShmem", "/proc/$p/status")); done; "
      + "echo le''ft-\(word)=\(mebibytes("MemAvailable", "/proc/meminfo"))"
  }

  func run() throws {
    // A file that is all holes: what is read of it is cached, without a disk.
    try machine.inGuest([
      ("truncate -s 200M /holes && cat /holes >/dev/null && echo cach''ed-$(stat -c %s /holes)", "cached-209715200"),
      ("grep MemTotal /proc/meminfo | sed 's/^/fir''st-/'", "first-MemTotal:"),
    ])
    try machine.inShell([
      (Self.usage("before"), "left-before="),
      ("roost mem-set debian '160 MiB' --wait", "debian: has 160 MiB"),
      (Self.usage("shrunk"), "left-shrunk="),
      ("roost list | grep 160", "160 MiB"),
      ("roost mem-set debian '95 MiB'", "debian can have 96 MiB at least"),
      ("roost mem-set debian '770 MiB'", "debian can have 768 MiB at most"),
      ("roost mem-max debian '512 MiB' && roost mem-set debian '640 MiB'", "debian can have 512 MiB at most"),
      ("roost mem-max debian '768 MiB' && echo hi''gher", "higher"),
      ("roost mem-set debian '640 MiB' --wait", "debian: has 640 MiB"),
      (Self.usage("grown"), "left-grown="),
    ])
    let before = try number("has-before")
    let shrunk = try number("has-shrunk")
    #expect(before > 200 && shrunk <= 160, "the guest had \(before) MiB of the machine, and has \(shrunk)")
    #expect(try number("left-shrunk") > number("left-before"))
    try machine.inGuest([("grep MemTotal /proc/meminfo | sed 's/^/gro''wn-/'", "grown-MemTotal:")])
    try processors()
    let first = try number("first-MemTotal")
    let grown = try number("grown-MemTotal")
    // 256 MiB more, less what the kernel has for its own book-keeping of them.
    #expect(grown > first + 240 << 10, "MemTotal was \(first) kB, and is \(grown)")
    try machine.inShell([
      // A block that a driver holds on to may stay for a while.
      ("roost mem-set debian '384 MiB'", "debian: is to come to 384 MiB"),
      ("until roost list | grep -q 'debian.* 38[0-9][ >]'; do sleep 1; done; echo ca''me-down", "came-down"),
      (Self.usage("back"), "left-back="),
    ])
    for word in ["before", "shrunk", "grown", "back"] {
      print(
        "the guest has \(try number("has-\(word)")) MiB of the machine, which has \(try number("left-\(word)")) left: \(word)"
      )
    }
    print("MemTotal: \(first) kB, grown \(grown) kB")
  }

  /// A processor comes, is used, and goes.
  private func processors() throws {
    try machine.inGuest([("nproc | sed 's/^/pro''cessors-/'", "processors-1")])
    try machine.inShell([("roost vcpu-set debian 2", "debian: has the time of 2 of its 2 processors")])
    try machine.inGuest([
      (
        "until [ $(nproc) = 2 ]; do sleep 1; done; taskset -c 1 nproc | sed 's/^/pro''cessors-on-second-/'",
        "processors-on-second-1"
      ),
      ("nproc | sed 's/^/pro''cessors-/'", "processors-2"),
    ])
    try machine.inShell([("roost vcpu-set debian 1", "debian: has the time of 1 of its 2 processors")])
    try machine.inGuest([
      (
        "until [ $(nproc) = 1 ]; do sleep 1; done; ls -d /sys/devices/system/cpu/cpu? | wc -l | sed 's/^/pro''cessors-left-/'",
        "processors-left-1"
      )
    ])
  }

  /// The number that was printed after `word` and `=` or `:`, which is not a part of what was typed.
  private func number(_ word: String) throws -> Int {
    for line in machine.text.split(whereSeparator: \.isNewline) {
      guard line.hasPrefix(word), let mark = line.dropFirst(word.count).first, mark == "=" || mark == ":" else {
        continue
      }
      let digits = line.dropFirst(word.count + 1).drop { $0 == " " }.prefix { $0.isNumber }
      if let number = Int(digits) { return number }
    }
    throw Machine.Failure(what: "no number after \(word)", tail: machine.tail)
  }
}
