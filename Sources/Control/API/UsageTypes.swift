/// Result of `usage`: what the monitors of running domains took of the machine so far.
public struct UsageReport: Codable, Hashable, Sendable {
  /// One domain's share.
  public struct Domain: Codable, Hashable, Sendable {
    /// The domain's name.
    public var name: String
    /// Process id of its monitor: another one counts from zero.
    public var pid: Int32
    /// Time of processors that its monitor had, its guest's included, in seconds.
    public var cpuSeconds: Double
    /// Memory that it has now, as far as its guest touched it, in bytes.
    public var memoryBytes: Int

    /// All fields.
    public init(name: String, pid: Int32, cpuSeconds: Double, memoryBytes: Int) {
      self.name = name
      self.pid = pid
      self.cpuSeconds = cpuSeconds
      self.memoryBytes = memoryBytes
    }
  }

  /// Seconds since power-on when this was counted.
  public var uptimeSeconds: Double
  /// The domains that run, in the recipe's order.
  public var domains: [Domain]

  /// All fields.
  public init(uptimeSeconds: Double, domains: [Domain]) {
    self.uptimeSeconds = uptimeSeconds
    self.domains = domains
  }
}
