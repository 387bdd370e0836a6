/// What the screen says of itself (VESA Enhanced EDID Standard, release A, revision 2: EDID 1.4): one block of 128
/// bytes with one detailed timing.
enum DisplayIdentification {
  /// A digital screen of 1024 by 768 at 60 Hz (VESA DMT 10h).
  static let block: [UInt8] = {
    var bytes: [UInt8] = [0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00]
    bytes += [0x4A, 0x74, 0x01, 0x00, 0, 0, 0, 0]  // "RST", product 1
    bytes += [1, 35, 1, 4]  // week 1 of 2025; EDID 1.4
    // Digital, 8 bits a colour; 32 by 24 cm; gamma 2.2; sRGB, preferred timing first.
    bytes += [0xA0, 32, 24, 120, 0x06]
    bytes += [0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54]  // sRGB's primaries and white
    bytes += [0x21, 0x08, 0x00]  // 640x480, 800x600, 1024x768 at 60 Hz
    for _ in 0..<8 { bytes += [0x01, 0x01] }
    // 65 MHz; 1024 + 320, front porch 24, sync 136; 768 + 38, front porch 3, sync 6; 320 by 240 mm; both syncs negative.
    bytes += [0x64, 0x19, 0x00, 0x40, 0x41, 0x00, 0x26, 0x30, 0x18, 0x88, 0x36, 0x00, 0x40, 0xF0, 0x10, 0, 0, 0x18]
    bytes += [0, 0, 0, 0xFC, 0] + Array("Roost\n       ".utf8)
    for _ in 0..<2 { bytes += [0, 0, 0, 0x10, 0] + [UInt8](repeating: 0, count: 13) }
    bytes.append(0)  // no extensions
    bytes.append(0 &- bytes.reduce(0, &+))
    return bytes
  }()
}
