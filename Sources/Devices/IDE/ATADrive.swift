/// What is in one of the two places of a channel.
public enum ATADrive<Store: SectorStore>: Sendable {
  /// Nothing; its registers read 0.
  case none
  case disk(ATADisk<Store>)
  case cdrom(ATAPICD<Store>)

  /// Whether there is a drive.
  var isPresent: Bool { if case .none = self { false } else { true } }

  /// Whether it takes packets.
  var isPacketDevice: Bool { if case .cdrom = self { true } else { false } }

  /// The host has written `code` into the command register.
  mutating func execute(_ code: UInt8, _ interface: inout ATAInterface) {
    switch self {
    case .none: break
    case .disk(var disk):
      disk.execute(code, &interface)
      self = .disk(disk)
    case .cdrom(var drive):
      drive.execute(code, &interface)
      self = .cdrom(drive)
    }
  }

  /// The host has moved all that was offered or asked for.
  mutating func advance(_ interface: inout ATAInterface) {
    switch self {
    case .none: interface.transfer.finish()
    case .disk(var disk):
      disk.advance(&interface)
      self = .disk(disk)
    case .cdrom(var drive):
      drive.advance(&interface)
      self = .cdrom(drive)
    }
  }

  /// The bus master could not move the data.
  mutating func transferFailed(_ interface: inout ATAInterface) {
    switch self {
    case .none: interface.transfer.finish()
    case .disk(var disk):
      disk.abandon()
      self = .disk(disk)
      interface.abort()
    case .cdrom(var drive):
      drive.transferFailed(&interface)
      self = .cdrom(drive)
    }
  }

  /// A software reset, or the end of diagnostics.
  mutating func reset(_ interface: inout ATAInterface) {
    switch self {
    case .none: break
    case .disk(var disk):
      disk.reset()
      self = .disk(disk)
    case .cdrom(var drive):
      drive.reset()
      self = .cdrom(drive)
    }
    interface.reset(isPacketDevice: isPacketDevice)
    interface.registers.device = 0
  }
}
