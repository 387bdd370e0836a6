/// What a build tells about itself while it goes on.
public enum BuildEvent: Sendable {
  /// The steps, in the order of the plan; other events name them by their index.
  case planned([String])
  /// Something that the user should know of, beside the steps.
  case remark(String)
  /// A step is being made.
  case started(Int)
  /// What a running step is at.
  case progress(Int, String)
  /// A step is done; `reused` when its result was in the cache. The size of what it made is in bytes.
  case finished(Int, reused: Bool, seconds: Double, bytes: Int)
  /// A step failed or was interrupted.
  case failed(Int)
}
