import Fuzzing

/// What libFuzzer's own entry calls, which is linked but is not this program's.
@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  unsafe Fuzzer.test(start, count)
}

Fuzzer.main([
  .recipe, .manifest, .request, .kernelFile, .program, .diskImage, .qcow2, .archive, .identity, .roster,
  .partitionTable,
  .imageHead, .debianFields, .recipeLock, .ociDocuments, .ociLayers,
])
