/// Kernels of a few instructions.
public enum MicroKernel {
  /// A 32-bit ELF with one segment at 1 MiB that holds `code`, and a PVH note that says where it is entered.
  public static func pvh(_ code: [UInt8], entry: UInt32 = 0x10_0000, bss: Int = 64) -> [UInt8] {
    var image = [UInt8](repeating: 0, count: 0x100) + code
    func put(_ value: UInt32, bytes: Int, at offset: Int) {
      for index in 0..<bytes { image[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8)) }
    }
    put(0x464C_457F, bytes: 4, at: 0)
    image[4] = 1
    image[5] = 1
    image[6] = 1
    put(2, bytes: 2, at: 16)
    put(3, bytes: 2, at: 18)
    put(52, bytes: 4, at: 28)
    put(32, bytes: 2, at: 42)
    put(2, bytes: 2, at: 44)
    let load = [1, 0x100, 0x10_0000, 0x10_0000, code.count, code.count + bss, 7, 0x1000]
    for (index, value) in load.enumerated() { put(UInt32(value), bytes: 4, at: 52 + index * 4) }
    for (index, value) in [4, 0xC0, 0, 0, 20, 20, 4, 4].enumerated() {
      put(UInt32(value), bytes: 4, at: 84 + index * 4)
    }
    put(4, bytes: 4, at: 0xC0)
    put(4, bytes: 4, at: 0xC4)
    put(18, bytes: 4, at: 0xC8)
    put(0x006E_6558, bytes: 4, at: 0xCC)
    put(entry, bytes: 4, at: 0xD0)
    return image
  }

  /// mov $0x3400, %ax; mov $0x604, %dx; out %ax, %dx; hlt: power off by ACPI.
  public static let powerOff: [UInt8] = [0x66, 0xB8, 0x00, 0x34, 0x66, 0xBA, 0x04, 0x06, 0x66, 0xEF, 0xF4]

  /// Prints `up`, waits for what is typed on the serial port, powers off at `q` and resets at `r`.
  public static var commands: [UInt8] {
    var code: [UInt8] = []
    for byte in "up".utf8 { code += [0x66, 0xBA, 0xF8, 0x03, 0xB0, byte, 0xEE] }
    // Until a byte has come; echo it unless it is one of the two.
    code += [0x66, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF7, 0x66, 0xBA, 0xF8, 0x03, 0xEC]
    code += [0x3C, 0x71, 0x74, 0x07, 0x3C, 0x72, 0x74, 0x0E, 0xEE, 0xEB, 0xE7]
    return code + powerOff + [0x66, 0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE, 0xF4]
  }

  /// Reads the first sector of the first IDE disk, prints its first byte, echoes what is typed on the serial port, and
  /// powers off at `q`.
  public static var echo: [UInt8] {
    var code: [UInt8] = []
    // READ SECTORS of one sector from 0: mov $port, %dx; mov $value, %al; out.
    for (port, value) in [(0xF6, 0xE0), (0xF2, 1), (0xF3, 0), (0xF4, 0), (0xF5, 0), (0xF7, 0x20)] as [(UInt8, UInt8)] {
      code += [0x66, 0xBA, port, 0x01, 0xB0, value, 0xEE]
    }
    // Until there is data; its first word.
    code += [0x66, 0xBA, 0xF7, 0x01, 0xEC, 0xA8, 0x08, 0x74, 0xF7, 0x66, 0xBA, 0xF0, 0x01, 0x66, 0xED]
    code += [0x66, 0xBA, 0xF8, 0x03, 0xEE]
    // Until a byte has come; echo it unless it is the last.
    code += [0x66, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF7, 0x66, 0xBA, 0xF8, 0x03, 0xEC]
    code += [0x3C, 0x71, 0x74, 0x03, 0xEE, 0xEB, 0xEB]
    return code + powerOff
  }
}
