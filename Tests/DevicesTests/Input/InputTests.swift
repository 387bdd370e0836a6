import TestMachine
import Testing

@testable import Devices

/// A controller and its lines.
struct TestInput {
  let keyboardLine = TestLine()
  let mouseLine = TestLine()
  let controller: KeyboardController

  init() {
    controller = KeyboardController(keyboardInterrupt: keyboardLine, mouseInterrupt: mouseLine, onReset: {})
  }

  /// Everything that waits, as long as there is something.
  func drain() -> [UInt8] {
    var bytes: [UInt8] = []
    while controller.readStatus() & 1 != 0, bytes.count < 1000 { bytes.append(controller.readData()) }
    return bytes
  }

  /// Bytes to the keyboard, and what comes back.
  func keyboard(_ bytes: UInt8...) -> [UInt8] {
    for byte in bytes { controller.writeData(byte) }
    return drain()
  }

  /// Bytes to the mouse, and what comes back.
  func mouse(_ bytes: UInt8...) -> [UInt8] {
    for byte in bytes {
      controller.writeCommand(0xD4)
      controller.writeData(byte)
    }
    return drain()
  }

  func set(commandByte: UInt8) {
    controller.writeCommand(0x60)
    controller.writeData(commandByte)
  }
}

@Suite struct KeyboardTests {
  private let input = TestInput()

  /// What SeaBIOS's `ps2_keyboard_setup` and Linux's atkbd send.
  @Test func firmwareAndDriverSequences() {
    let controller = input.controller
    controller.writeCommand(0xAD)
    controller.writeCommand(0xA7)
    controller.writeCommand(0xAA)
    #expect(input.drain() == [0x55])
    controller.writeCommand(0xAB)
    #expect(input.drain() == [0x00])
    input.set(commandByte: 0x20)
    #expect(input.keyboard(0xFF) == [0xFA, 0xAA])
    #expect(input.keyboard(0xF5) == [0xFA])
    #expect(input.keyboard(0xF0, 0x02) == [0xFA, 0xFA])
    #expect(input.keyboard(0xF4) == [0xFA])
    #expect(input.keyboard(0xF2) == [0xFA, 0xAB, 0x83])
    #expect(input.keyboard(0xED, 0x07) == [0xFA, 0xFA])
    #expect(input.keyboard(0xF3, 0x00) == [0xFA, 0xFA])
    #expect(input.keyboard(0xF0, 0x00) == [0xFA, 0xFA, 0x02])
    #expect(input.keyboard(0xEE) == [0xEE])
    #expect(input.keyboard(0xFE) == [0xEE])
    #expect(input.keyboard(0xC0) == [0xFE])
    #expect(input.keyboard(0xED, 0xF4) == [0xFA, 0xFA])  // a command instead of its byte
    // With translation the identity reads as 0xAB41, as on real machines.
    input.set(commandByte: 0x60)
    #expect(input.keyboard(0xF2) == [0xFA, 0xAB, 0x41])
  }

  @Test func scanCodeSets() {
    input.set(commandByte: 0x20)
    func codes(_ key: Keycode) -> [[UInt8]] {
      [true, false].map { isDown in
        input.controller.press(key, isDown: isDown)
        return input.drain()
      }
    }
    #expect(codes(.a) == [[0x1C], [0xF0, 0x1C]])
    #expect(codes(.f7) == [[0x83], [0xF0, 0x83]])
    #expect(codes(.f12) == [[0x07], [0xF0, 0x07]])
    #expect(codes(.keypad5) == [[0x73], [0xF0, 0x73]])
    #expect(codes(.lessThan) == [[0x61], [0xF0, 0x61]])
    #expect(codes(.delete) == [[0xE0, 0x71], [0xE0, 0xF0, 0x71]])
    #expect(codes(.rightControl) == [[0xE0, 0x14], [0xE0, 0xF0, 0x14]])
    #expect(codes(.pause) == [[0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77], []])
    // Translated, it is set 1.
    input.set(commandByte: 0x60)
    #expect(codes(.a) == [[0x1E], [0x9E]])
    #expect(codes(.f7) == [[0x41], [0xC1]])
    #expect(codes(.delete) == [[0xE0, 0x53], [0xE0, 0xD3]])
    #expect(codes(.printScreen) == [[0xE0, 0x2A, 0xE0, 0x37], [0xE0, 0xB7, 0xE0, 0xAA]])
    #expect(codes(.pause) == [[0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5], []])
    for key in Keycode.allCases {
      #expect(codes(key) == [key.scanCodes(set: 1, isDown: true), key.scanCodes(set: 1, isDown: false)], "\(key)")
    }
    input.set(commandByte: 0x20)
    #expect(input.keyboard(0xF0, 0x03) == [0xFA, 0xFA])
    #expect(codes(.a) == [[0x1C], [0xF0, 0x1C]])
    #expect(codes(.delete) == [[0x64], [0xF0, 0x64]])
    #expect(codes(.escape) == [[0x08], [0xF0, 0x08]])
    #expect(input.keyboard(0xF0, 0x01) == [0xFA, 0xFA])
    #expect(codes(.home) == [[0xE0, 0x47], [0xE0, 0xC7]])
  }

  @Test func interruptsFollowTheBuffer() {
    let controller = input.controller
    controller.press(.a, isDown: true)
    #expect(controller.readStatus() & 1 == 0)  // its clock is off
    input.set(commandByte: 0x61)
    controller.press(.b, isDown: true)
    #expect(input.keyboardLine.isHigh)
    #expect(controller.readStatus() & 0x21 == 0x01)
    let edges = input.keyboardLine.edges
    #expect(controller.readData() == 0x1E)
    #expect(input.keyboardLine.isHigh)  // low and high again
    #expect(input.keyboardLine.edges == edges + 2)
    #expect(controller.readData() == 0x30)
    #expect(!input.keyboardLine.isHigh)
    #expect(controller.readData() == 0x30)  // what was there last
    controller.writeCommand(0xAD)
    controller.press(.c, isDown: true)
    #expect(!input.keyboardLine.isHigh)
    controller.writeCommand(0xAE)
    #expect(input.keyboardLine.isHigh)
    #expect(!input.mouseLine.isHigh)
  }

  @Test func switchedOffKeyboardIsSilent() {
    input.set(commandByte: 0x60)
    #expect(input.keyboard(0xF5) == [0xFA])
    #expect(!input.controller.press(.a, isDown: true))
    #expect(input.drain() == [])
    #expect(input.keyboard(0xF4) == [0xFA])
    #expect(input.controller.press(.a, isDown: true))
    #expect(input.drain() == [0x1E])
  }

  /// Nobody reads: presses end first, releases still have room, and answers too.
  @Test func unreadKeysAreBounded() {
    input.set(commandByte: 0x60)
    var accepted = 0
    while input.controller.press(.a, isDown: true), accepted < 1000 { accepted += 1 }
    #expect(accepted == 193)
    #expect(input.controller.press(.a, isDown: false))
    input.controller.writeData(0xEE)
    #expect(input.drain().suffix(2) == [0x9E, 0xEE])
    for _ in 0..<1000 { input.controller.writeData(0xF2) }
    #expect(input.drain().count <= 257)
  }

  @Test func symbols() {
    #expect(Keycode(keysym: 0x61) == .a)
    #expect(Keycode(keysym: 0x41) == .a)
    #expect(Keycode(keysym: 0x21) == .digit1)
    #expect(Keycode(keysym: 0x3F) == .slash)
    #expect(Keycode(keysym: 0xFF0D) == .enter)
    #expect(Keycode(keysym: 0xFFBE) == .f1)
    #expect(Keycode(keysym: 0xFFC9) == .f12)
    #expect(Keycode(keysym: 0xFFB9) == .keypad9)
    #expect(Keycode(keysym: 0xFFE4) == .rightControl)
    #expect(Keycode(keysym: 0xFFFF) == .delete)
    #expect(Keycode(keysym: 0x0100_20AC) == nil)
    for scalar in 0x20...0x7E as ClosedRange<UInt32> { #expect(Keycode(keysym: scalar) != nil, "\(scalar)") }
    #expect(Keycode.typing("A").map { "\($0)" } == "(key: Devices.Keycode.a, shift: true)")
    #expect(Keycode.typing("\n")?.shift == false)
    #expect(Keycode.typing("ä") == nil)
  }
}

@Suite struct MouseTests {
  private let input = TestInput()

  init() {
    input.set(commandByte: 0x43)
  }

  /// What Linux's psmouse sends: reset, identify, knock.
  @Test func driverSequences() {
    #expect(input.mouse(0xFF) == [0xFA, 0xAA, 0x00])
    #expect(input.mouse(0xF2) == [0xFA, 0x00])
    #expect(input.mouse(0xF6) == [0xFA])
    #expect(input.mouse(0xE9) == [0xFA, 0x00, 0x02, 100])
    #expect(input.mouse(0xE8, 0x03) == [0xFA, 0xFA])
    #expect(input.mouse(0xE7) == [0xFA])
    #expect(input.mouse(0xF3, 40) == [0xFA, 0xFA])
    #expect(input.mouse(0xF4) == [0xFA])
    #expect(input.mouse(0xE9) == [0xFA, 0x30, 0x03, 40])
    for rate in [200, 100, 80] as [UInt8] { #expect(input.mouse(0xF3, rate) == [0xFA, 0xFA]) }
    #expect(input.mouse(0xF2) == [0xFA, 0x03])
    for rate in [200, 200, 80] as [UInt8] { _ = input.mouse(0xF3, rate) }
    #expect(input.mouse(0xF2) == [0xFA, 0x04])
    #expect(input.mouse(0xFF) == [0xFA, 0xAA, 0x00])
    #expect(input.mouse(0xF2) == [0xFA, 0x00])
    #expect(input.mouse(0x55) == [0xFE])
    #expect(input.mouse(0xEE, 0x12, 0xEC) == [0xFA, 0x12, 0xFA])
  }

  /// Linux's test of the wire: a byte from the controller as if from the mouse.
  @Test func loopback() {
    input.controller.writeCommand(0xD3)
    input.controller.writeData(0x5A)
    #expect(input.controller.readStatus() & 0x21 == 0x21)
    #expect(input.mouseLine.isHigh)
    #expect(!input.keyboardLine.isHigh)
    #expect(input.controller.readData() == 0x5A)
    #expect(!input.mouseLine.isHigh)
  }

  @Test func packets() {
    input.controller.movePointer(PointerMovement(x: 5, y: 5))
    #expect(input.drain() == [])  // not reporting yet
    #expect(input.mouse(0xF4) == [0xFA])
    input.controller.movePointer(PointerMovement(x: 5, y: 3))
    #expect(input.mouseLine.isHigh)
    #expect(input.drain() == [0x28, 5, 0xFD])
    input.controller.movePointer(PointerMovement(x: -1, buttons: [.left, .middle]))
    #expect(input.drain() == [0x1D, 0xFF, 0])
    input.controller.movePointer(PointerMovement(x: 300, y: -300, buttons: .right))
    #expect(input.drain() == [0x0A, 255, 255, 0x0A, 45, 45])
    for rate in [200, 100, 80] as [UInt8] { _ = input.mouse(0xF3, rate) }
    input.controller.movePointer(PointerMovement(wheel: -1))
    #expect(input.drain() == [0x08, 0, 0, 0xFF])
  }

  @Test func movementsWaitTogetherAndClicksApart() {
    _ = input.mouse(0xF4)
    for _ in 0..<50 { input.controller.movePointer(PointerMovement(x: 1)) }
    // The first is in the buffer, the others are one packet.
    #expect(input.drain() == [0x08, 1, 0, 0x08, 49, 0])
    for index in 0..<4 { input.controller.movePointer(PointerMovement(x: 1, buttons: index & 1 == 0 ? .left : [])) }
    #expect(input.drain() == [0x09, 1, 0, 0x08, 1, 0, 0x09, 1, 0, 0x08, 1, 0])
    for index in 0..<1001 {
      input.controller.movePointer(PointerMovement(x: .max, buttons: index & 1 == 0 ? .left : []))
    }
    let bytes = input.drain()
    #expect(bytes.count < 200)
    #expect(bytes[bytes.count - 3] & 1 == 1)  // what is pressed at last is known at last
  }

  @Test func remoteMode() {
    _ = input.mouse(0xF0)
    input.controller.movePointer(PointerMovement(x: 7))
    #expect(input.drain() == [])
    #expect(input.mouse(0xEB) == [0xFA, 0x08, 7, 0])
  }

  @Test func trackerMakesMovements() {
    var tracker = PointerTracker()
    #expect(tracker.move(x: 100, y: 100, mask: 0) == PointerMovement())
    #expect(tracker.move(x: 90, y: 110, mask: 0b101) == PointerMovement(x: -10, y: 10, buttons: [.left, .right]))
    #expect(tracker.move(x: 90, y: 110, mask: 0b1000) == PointerMovement(wheel: -1))
    #expect(tracker.move(x: 90, y: 110, mask: 0b1000) == PointerMovement())
    #expect(tracker.move(x: 90, y: 110, mask: 0b10010) == PointerMovement(wheel: 1, buttons: .middle))
  }

  @Test func fuzz() {
    var random = SeededNumbers(12)
    let ports = KeyboardController.Ports(input.controller)
    var read = 0
    for _ in 0..<40_000 {
      let value = UInt64.random(in: 0...(.max), using: &random)
      let byte = value >> 8 & 0xFF
      switch value & 15 {
      case 0: ports.write(byte, at: 4, width: .byte)
      case 1: ports.write([0xD4, 0x60, 0xAE, 0xA8][Int(byte & 3)], at: 4, width: .byte)
      case 2, 3: ports.write(byte | (byte & 1 == 0 ? 0xE0 : 0), at: 0, width: .byte)
      case 4: input.controller.press(Keycode.allCases.randomElement(using: &random) ?? .a, isDown: byte & 1 == 0)
      case 5:
        input.controller.movePointer(
          PointerMovement(
            x: Int(truncatingIfNeeded: value), y: Int(truncatingIfNeeded: value << 7), wheel: Int(value >> 60) - 8,
            buttons: PointerButtons(rawValue: UInt8(value >> 20 & 31))))
      default: if ports.read(at: 4, width: .byte) & 1 != 0 { read += Int(ports.read(at: 0, width: .byte) | 1) & 1 }
      }
    }
    #expect(read > 10_000)
    #expect(input.drain().count < 600)
  }
}
