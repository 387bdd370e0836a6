/// How much of everything the gateway gives away, so that no client takes it all. Times are in seconds.
public struct GatewayLimits: Sendable, Hashable {
  /// Connections at a time, those of the unix socket included; more are refused at once.
  public var connections = 256
  /// Connections at a time of one address.
  public var connectionsPerPeer = 64
  /// Clients at a time that wait for events.
  public var streams = 32
  /// Events that wait for one client; one that is slower loses its stream.
  public var streamQueue = 256
  /// Bytes of a request's body.
  public var bodyBytes = 64 << 10
  /// Bytes of a request's head.
  public var headBytes = 16 << 10
  /// Requests at a time that wait for the domain manager.
  public var calls = 512
  /// From a connection's start, or from the end of what was answered before, until a request's head is complete.
  public var headSeconds = 20.0
  /// From a request's head to its end.
  public var bodySeconds = 20.0
  /// Until a client takes something of what is sent to it.
  public var writeSeconds = 20.0
  /// For an answer of the domain manager.
  public var callSeconds = 30.0
  /// For an answer that storage takes part in.
  public var diskSeconds = 300.0
  /// Until a domain is made, whose image is copied.
  public var createSeconds = 3600.0
  /// Between signs of life in a stream of events.
  public var heartbeatSeconds = 15.0
  /// Until it is tried again to reach the domain manager.
  public var reconnectSeconds = 0.5

  /// The appliance's.
  public init() {}
}
