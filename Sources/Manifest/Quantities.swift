/// Sizes as people write them: a whole number and a binary unit, such as `512 MiB`.
public enum ByteSize {
  /// The units and their bytes, smallest first.
  public static let units: [(name: String, bytes: Int)] = [
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
  ]

  /// Bytes that `text` names, or what is wrong with it. The space before the unit may be left out.
  public static func parse(_ text: String) -> Result<Int, QuantityError> {
    let (number, unit) = split(text)
    guard !number.isEmpty else { return .failure(.init("'\(text)' is not a size; write one as 512 MiB or 2 GiB")) }
    guard !unit.isEmpty else {
      return .failure(.init("the size '\(text)' has no unit; write one as \(number) MiB or \(number) GiB"))
    }
    guard let factor = units.first(where: { $0.name == unit })?.bytes else {
      return .failure(.init("'\(unit)' is not a unit of size; use KiB, MiB, GiB or TiB, as in 512 MiB"))
    }
    guard let count = Int(number) else { return .failure(.init("the size '\(text)' is too large")) }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? .failure(.init("the size '\(text)' is too large")) : .success(bytes)
  }

  /// The shortest exact way to write `bytes`, such as `2 GiB`.
  public static func format(_ bytes: Int) -> String {
    guard let unit = units.last(where: { bytes >= $0.bytes && bytes % $0.bytes == 0 }) else { return "\(bytes) bytes" }
    return "\(bytes / unit.bytes) \(unit.name)"
  }
}

/// Lengths of time as people write them: a whole number and `s` or `min`, such as `300 s`.
public enum TimeLength {
  /// Seconds that `text` names, or what is wrong with it. The space before the unit may be left out.
  public static func parse(_ text: String) -> Result<Int, QuantityError> {
    let (number, unit) = split(text)
    guard !number.isEmpty else { return .failure(.init("'\(text)' is not a length of time; write one as 300 s")) }
    guard !unit.isEmpty else {
      return .failure(.init("the length of time '\(text)' has no unit; write it as \(number) s or \(number) min"))
    }
    guard let factor = ["s": 1, "min": 60][unit] else {
      return .failure(.init("'\(unit)' is not a unit of time; use s or min, as in 300 s"))
    }
    guard let count = Int(number) else { return .failure(.init("the length of time '\(text)' is too large")) }
    let (seconds, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? .failure(.init("the length of time '\(text)' is too large")) : .success(seconds)
  }
}

/// Rates of networks as people write them: a whole number and a unit, such as `10 Mbit`, meant as bits a second.
public enum BitRate {
  private static let units = [("bit", 1), ("kbit", 1000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)]

  /// Bits a second that `text` names, or what is wrong with it. The space before the unit may be left out.
  public static func parse(_ text: String) -> Result<Int, QuantityError> {
    let (number, unit) = split(text)
    guard !number.isEmpty, let factor = units.first(where: { $0.0 == unit })?.1 else {
      return .failure(.init("'\(text)' is not a rate; write one as 500 kbit, 10 Mbit or 1 Gbit"))
    }
    guard let count = Int(number) else { return .failure(.init("the rate '\(text)' is too large")) }
    let (bits, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? .failure(.init("the rate '\(text)' is too large")) : .success(bits)
  }

  /// The shortest exact way to write a rate, such as `10 Mbit`.
  public static func format(_ bits: Int) -> String {
    guard let unit = units.last(where: { bits >= $0.1 && bits % $0.1 == 0 }) else { return "\(bits) bit" }
    return "\(bits / unit.1) \(unit.0)"
  }
}

/// Short times as people write them: a whole number and `us`, `ms` or `s`, such as `20 ms`.
public enum ShortTime {
  private static let units = [("us", 1), ("ms", 1000), ("s", 1_000_000)]

  /// Microseconds that `text` names, or what is wrong with it. The space before the unit may be left out.
  public static func parse(_ text: String) -> Result<Int, QuantityError> {
    let (number, unit) = split(text)
    guard !number.isEmpty, let factor = units.first(where: { $0.0 == unit })?.1 else {
      return .failure(.init("'\(text)' is not a time; write one as 500 us, 20 ms or 1 s"))
    }
    guard let count = Int(number) else { return .failure(.init("the time '\(text)' is too long")) }
    let (microseconds, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? .failure(.init("the time '\(text)' is too long")) : .success(microseconds)
  }

  /// The shortest exact way to write a time, such as `20 ms`.
  public static func format(_ microseconds: Int) -> String {
    guard let unit = units.last(where: { microseconds >= $0.1 && microseconds % $0.1 == 0 }) else { return "0 ms" }
    return "\(microseconds / unit.1) \(unit.0)"
  }
}

/// Parts of a whole as people write them, such as `1 %` or `0.5 %`.
public enum Percentage {
  /// The percent that `text` names, or what is wrong with it. The space before the sign may be left out.
  public static func parse(_ text: String) -> Result<Double, QuantityError> {
    var number = text[...]
    guard number.popLast() == "%" else {
      return .failure(.init("'\(text)' is not a part of a whole; write one as 1 % or 0.5 %"))
    }
    if number.last == " " { number.removeLast() }
    let isPlain = number.allSatisfy { ("0"..."9").contains($0) || $0 == "." }
    guard isPlain, number.count <= 10, let percent = Double(number), (0...100).contains(percent) else {
      return .failure(.init("'\(text)' is not 0 % to 100 %"))
    }
    return .success(percent)
  }

  /// A part of a whole, such as `0.5 %`.
  public static func format(_ percent: Double) -> String {
    percent == percent.rounded() ? "\(Int(percent)) %" : "\(percent) %"
  }
}

/// What is wrong with a quantity.
public struct QuantityError: Error, Hashable, Sendable, CustomStringConvertible {
  /// In words, with an example of what would be right.
  public let description: String

  package init(_ description: String) {
    self.description = description
  }
}

/// Leading ASCII digits and the unit after them; the number is empty when the text is of another form.
private func split(_ text: String) -> (number: String, unit: String) {
  let number = text.prefix { $0.isASCII && $0.isNumber }
  var unit = text.dropFirst(number.count)
  if unit.first == " " { unit = unit.dropFirst() }
  guard unit.allSatisfy({ $0.isASCII && $0.isLetter }) else { return ("", "") }
  return (String(number), String(unit))
}
