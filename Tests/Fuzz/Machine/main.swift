import Fuzzing

/// What libFuzzer's own entry calls, which is linked but is not this program's.
@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  unsafe Fuzzer.test(start, count)
}

Fuzzer.main(
  [
    bootTargets, boardTargets, virtioTargets, [.scsi, .ide, .floppy, .e1000],
    [.display, .viewer, .firmwareConfiguration, .flash, .control, .xen],
  ].flatMap { (group: [FuzzTarget]) in group })
