internal import Devices
internal import Platform

extension Machine {
  /// Loads the kernel by its protocol; how the first CPU starts.
  func loadKernel(_ board: Board) throws(HypervisorError) -> BootState {
    guard let path = configuration.kernel else { throw HypervisorError(.configuration, "there is no kernel to boot") }
    let kernel = try FileImage(path)
    var modules: [BootModule<FileImage>] = []
    if let initrd = configuration.initrd { modules.append(BootModule(try FileImage(initrd))) }
    for module in configuration.modules {
      modules.append(BootModule(try FileImage(module.path), commandLine: module.commandLine))
    }
    do throws(HypervisorError) {
      let chosen = configuration.bootMethod
      let method = chosen == .auto ? try BootLoader.method(for: kernel) : chosen
      let request = try BootLoader.framebufferRequest(of: kernel, method: method)
      // Kernels of the first Multiboot take the first word for their own file's name, and leave it out.
      var name = ""
      if method == .multiboot, try MultibootHeader(kernel).version == 1 {
        name = "\(path.split(separator: "/").last ?? "kernel") "
      }
      let loaded = try BootLoader.load(
        method: method, kernel: kernel, modules: modules, commandLine: name + configuration.commandLine,
        rsdp: AddressMap.tables, framebuffer: try board.framebuffer(for: request), into: memory)
      if loaded.method == .linux, board.display != nil { ZeroPage.describeTextScreen(in: memory) }
      return loaded.state
    } catch {
      throw error.about(path)
    }
  }
}

extension Board {
  /// Puts the display into the mode that a kernel asks for; the mode it is in, nil without a display.
  func framebuffer(for request: FramebufferRequest?) throws(HypervisorError) -> Framebuffer? {
    guard let display else {
      guard request?.isRequired != true else {
        throw HypervisorError(.configuration, "this kernel needs a screen; give the domain 'display: vga'")
      }
      return nil
    }
    guard let request, !request.isText else {
      return Framebuffer(address: 0xB_8000, pitch: 160, width: 80, height: 25, depth: 16, isText: true)
    }
    let (width, height) = (request.width == 0 ? 1024 : request.width, request.height == 0 ? 768 : request.height)
    let depth = [16, 24, 32].contains(request.depth) ? request.depth : 32
    guard width <= Picture.maximumWidth, height <= Picture.maximumHeight, width % 8 == 0,
      let address = display.windows.first(where: { $0.bar == Display.framebufferBar })?.base
    else {
      throw HypervisorError(.image, "the kernel asks for a screen of \(width) by \(height) pixels, which there is not")
    }
    // Bochs's VBE registers: off, width, height, depth, then on with the linear framebuffer.
    let ports = Display.DispiPorts(display)
    for (index, value) in [(4, 0), (1, width), (2, height), (3, depth), (4, 0x41)] {
      ports.write(UInt64(index), at: 0, width: .word)
      ports.write(UInt64(value), at: 1, width: .word)
    }
    return Framebuffer(address: address, pitch: width * depth / 8, width: width, height: height, depth: depth)
  }
}
