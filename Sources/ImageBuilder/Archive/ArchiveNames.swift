internal import CArchive

/// Names in archives.
enum ArchiveNames {
  private static let isSet: Bool = roost_archive_use_utf8() != 0

  /// Has libarchive take names for UTF-8, whatever the user's locale is.
  static func areUTF8() { _ = isSet }
}
