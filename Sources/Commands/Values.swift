internal import ArgumentParser
internal import Manifest
internal import Recipe

/// One of a few words.
func choice<Value: RawRepresentable & CaseIterable>(_ text: String) throws -> Value where Value.RawValue == String {
  if let value = Value(rawValue: text) { return value }
  throw ValidationError("there is no \(text); there are \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
}

/// A short time as recipes have it, in microseconds.
func time(_ text: String) throws -> Int { try value(ShortTime.parse(text)) }

/// A part of a whole as recipes have it, in percent.
func percent(_ text: String) throws -> Double { try value(Percentage.parse(text)) }

/// A network's rate as recipes have it, in bits a second.
func bits(_ text: String) throws -> Int { try value(BitRate.parse(text)) }

/// A network's addresses as recipes have them.
func subnetwork(_ text: String) throws -> IPv4Subnet { try value(IPv4Subnet.parse(text)) }

private func value<Value>(_ result: Result<Value, QuantityError>) throws -> Value {
  switch result {
  case .success(let value): return value
  case .failure(let error): throw ValidationError(error.description)
  }
}
