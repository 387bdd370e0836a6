/// Work that goes on by callbacks, one piece after the other, in the order in which it came.
///
/// Lives on the loop's thread.
final class Turns {
  private var pieces: [(@escaping () -> Void) -> Void] = []

  /// Has `piece` start when all before it are done. It says that it is done by calling what it is given, once.
  func take(_ piece: @escaping (@escaping () -> Void) -> Void) {
    pieces.append(piece)
    if pieces.count == 1 { startFirst() }
  }

  private func startFirst() {
    pieces.first? { [self] in
      pieces.removeFirst()
      startFirst()
    }
  }
}
