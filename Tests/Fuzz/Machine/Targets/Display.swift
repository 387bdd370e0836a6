import Fuzzing

@testable import Devices

extension FuzzTarget {
  /// Ranges: window, ports of the extensions, ports of the VGA. Functions: the adapter. Event: the picture and the text of
  /// what is shown, at most twice. An input begins with the mode that the adapter is in.
  static let display = FuzzTarget(
    "display",
    seeds: {
      (UInt8(0)..<8).map { mode in
        var script = Script([mode])
        script.writeFar(0, mode < 3 ? 0x18000 : 0x100, 0x0741_0742, .doubleWord)
        script.readFar(0, 0x18000)
        for (index, value) in [(0x0C, 1), (0x0D, 0x40), (0x18, 0x20), (0x07, 0), (0x09, 0x80), (0x0E, 3)]
          as [(UInt64, UInt64)]
        {
          script.write(2, 0x24, value << 8 | index, .word)
        }
        script.write(2, 0x1E, 0x0205, .word)
        script.write(2, 0x14, 0x0302, .word)
        script.read(2, 0x2A)
        script.write(2, 0x10, 0x33)
        script.write(2, 0x10, 3)
        script.write(2, 0x18, 4)
        for _ in 0..<3 { script.write(2, 0x19, 0x2A) }
        script.write(1, 0, 6, .word)
        script.write(1, 2, 700, .word)
        script.write(1, 0, 9, .word)
        script.write(1, 2, 3, .word)
        script.writeWindow(0, 0, 0x1234, 0x00FF_8040)
        script.readWindow(0, 1, 0x504, .word)
        script.event(0)
        script.event(1)
        return script.bytes
      }
    },
    run: { input in
      let display = TestDisplay(count: 0x40000)
      switch input.byte() % 10 {
      case 0: display.adapter.setTextMode(font: .frames)
      case 1: display.setPlanarMode()
      case 2: display.setByteMode(unchained: input.bool())
      case 3: display.setMode(320, 200, 8)
      case 4: display.setMode(160, 120, 15)
      case 5: display.setMode(160, 120, 16, flags: 0x61)
      case 6: display.setMode(160, 120, 24)
      case 7: display.setMode(160, 120, 32, flags: 0xC1)
      case 8: display.setMode(320, 200, 4)
      default: break
      }
      let functions: [(address: PCIAddress, function: PCIFunction)] = [(PCIAddress(device: 2), display.adapter)]
      var pictures = 0
      let rig = try Rig(
        pci: try makeBus(functions), functions: functions,
        ranges: [(display.window, 0x20000), (display.dispi, 3), (display.ports, 0x30)],
        events: [
          { _ in
            pictures += 1
            guard pictures <= 2 else { return }
            let picture = display.adapter.snapshot().picture()
            precondition(picture.pixels.count == picture.width * picture.height)
          },
          { _ in
            pictures += 1
            if pictures <= 2 { _ = display.adapter.snapshot().text() }
          },
        ])
      rig.run(&input)
    })

  /// What a VNC viewer sends: a byte of whether it needs a password; then bytes of its own, or the screen changes, or what
  /// is to be sent is taken.
  static let viewer = FuzzTarget(
    "viewer",
    seeds: {
      let format: [UInt8] = [0, 0, 0, 0, 16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0]
      let messages: [[UInt8]] = [
        Array("RFB 003.008\n".utf8), [1], [1], format, [2, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x21],
        [3, 0, 0, 0, 0, 0, 0, 64, 0, 48], [3, 1, 0, 0, 0, 0, 0, 64, 0, 48], [4, 1, 0, 0, 0, 0, 0xFF, 0x0D],
        [5, 1, 0, 20, 0, 30], [6, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x62, 0x63],
      ]
      let challenged: [[UInt8]] = [Array("RFB 003.007\n".utf8), [2], .zeros(16)]
      let old: [[UInt8]] = [Array("RFB 003.003\n".utf8), [1]] + messages.dropFirst(3)
      func sent(_ parts: [[UInt8]], then end: [UInt8]) -> [UInt8] {
        parts.flatMap { (part: [UInt8]) -> [UInt8] in [0, UInt8(part.count)] + part + end }
      }
      return [
        [0] + sent(messages, then: [1, 3, 3, 20, 20, 7, 2]), [1] + sent(challenged, then: [2]),
        [0] + sent(old, then: [4, 80, 60, 2]),
      ]
    },
    run: { input in
      var picture = Picture(width: 64, height: 48, colour: 0x102030)
      var tracker = PointerTracker()
      let controller = KeyboardController(
        keyboardInterrupt: TestLine(), mouseInterrupt: TestLine(), onReset: {})
      var session = RFBSession(
        name: "roost", security: input.bool() ? .password("secret", challenge: Array(0..<16)) : .none,
        picture: picture)
      while !input.isEmpty {
        switch input.byte() & 7 {
        case 1:
          let (x, y) = (Int(input.byte()), Int(input.byte()))
          let (width, height) = (Int(input.byte() & 31), Int(input.byte() & 31))
          let part = PictureRectangle(
            x: min(x, picture.width - 1), y: min(y, picture.height - 1), width: width, height: height)
          let inner = PictureRectangle(
            x: part.x, y: part.y, width: min(width, picture.width - part.x),
            height: min(height, picture.height - part.y))
          picture.fill(inner, with: UInt32(input.byte()) &* 0x01_0305)
          session.update(picture)
        case 2:
          let bytes = session.output()
          // A whole screen of 32-bit pixels at most, with its headers.
          precondition(bytes.count <= 8 * 256 * 256)
        case 4:
          picture = Picture(width: Int(input.byte()), height: Int(input.byte()), colour: UInt32(input.byte()))
          session.update(picture)
        default:
          for event in session.receive(input.run()) {
            switch event {
            case .key(let keysym, let isDown):
              if let key = Keycode(keysym: keysym) { controller.press(key, isDown: isDown) }
            case .pointer(let x, let y, let buttons): controller.movePointer(tracker.move(x: x, y: y, mask: buttons))
            }
          }
        }
        if session.isClosed { return }
      }
    })
}
