import Machine

/// Asks `condition` until it holds, at most 400,000 times: a device that never answers must not stop the machine.
/// False when it never held.
@discardableResult
func wait(until condition: () -> Bool) -> Bool {
  for _ in 0..<400_000 {
    if condition() { return true }
    machine_pause()
  }
  return false
}
