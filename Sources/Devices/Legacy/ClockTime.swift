/// A date and time of day in UTC, in the proleptic Gregorian calendar.
struct ClockTime: Sendable, Hashable {
  var year: Int
  var month: Int
  var day: Int
  var hour: Int
  var minute: Int
  var second: Int

  /// The time `seconds` after 1970-01-01 00:00, held to the years 1900 to 9999.
  init(seconds: Int64) {
    let held = Int(min(max(seconds, -2_208_988_800), 253_402_300_799))
    let days = held >= 0 ? held / 86400 : -((86399 - held) / 86400)
    let rest = held - days * 86400
    hour = rest / 3600
    minute = rest / 60 % 60
    second = rest % 60
    // Days since 0000-03-01, in eras of 400 years, so that the leap day is a year's last.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  private var daysSince1970: Int {
    let marchYear = month <= 2 ? year - 1 : year
    let era = marchYear / 400
    let yearOfEra = marchYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// Seconds after 1970-01-01 00:00.
  var seconds: Int64 {
    Int64(daysSince1970 * 86400 + hour * 3600 + minute * 60 + second)
  }

  /// 1 is Sunday.
  var weekday: Int {
    let day = (daysSince1970 + 4) % 7
    return (day < 0 ? day + 7 : day) + 1
  }
}
