internal import ArgumentParser
internal import Manifest

/// A size with its unit.
struct Size: CustomStringConvertible {
  let bytes: Int

  init(bytes: Int) {
    self.bytes = bytes
  }

  init(_ argument: String) throws {
    switch ByteSize.parse(argument) {
    case .success(let bytes): self.bytes = bytes
    case .failure(let error): throw ValidationError(error.description)
    }
  }

  var description: String { ByteSize.format(bytes) }
}
