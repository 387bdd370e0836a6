import Platform

/// Recipes that have every key of the schema between them.
enum CompleteRecipe {
  private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB pupil"
  private static let digest = String(repeating: "a", count: 64)

  static let text = """
    include: []
    variables: {course: os-101, size: 512}
    name: complete
    control-domain:
      suite: trixie
      hostname: roost
      command-line: nomodeset
      drivers: pc
      userland: busybox
      at-start: [modprobe zram]
      packages: [openssh-server]
      files: [{path: /etc/motd, text: "${course}"}]
      users: [{name: root, ssh-keys: ["\(key)"]}]
      sysctl: {kernel.panic: 5}
    image: {compression: zstd, level: 19, secure-boot: {key: db.key, certificate: db.pem}}
    storage:
      ram: 256 MiB
      remotes: {data: {address: "nbd://192.0.2.1/data", use: disk, attach: debian}}
    network: {subnet: 10.77.0.0/24}
    networks:
      lab: {mode: isolated, subnet: 10.80.1.0/24, router: 10.80.1.10}
      out: {mode: bridged, card: eth0}
    api:
      listen: 0.0.0.0:8443
      certificate: cert.pem
      key: key.pem
      tokens: [{name: ada, role: viewer, sha256: \(digest)}]
    balancer: true
    sources:
      base: {url: "https://example.org/base.txz", sha256: \(digest), signature: "https://example.org/sig", key: own}
      kernel: {file: kernel.txz}
      tree: {git: "https://example.org/plan9", commit: \(digest.prefix(40))}
      firmware: {debian-file: {package: ipxe, path: usr/lib/ipxe/ipxe.efi, suite: trixie}}
    domains:
      - name: debian
        os: Debian 13
        cpus: {start: 1, max: 2}
        cpu: host
        memory: {start: "${size} MiB", min: 256 MiB, max: 1 GiB}
        disk: 2 GiB
        disk-bus: virtio
        cdrom: {from: firmware}
        network:
          - lab
          - network: lab
            address: 10.80.1.12
            vlan: 2
            filter: false
            link: {delay: 20 ms, jitter: 5 ms, loss: 1 %, rate: 10 Mbit, down: false}
          - {network: lab, vlans: [3, 4]}
        nic: virtio
        display: vga
        vnc: {password: secret}
        hotplug: true
        limits:
          cpu-weight: 100
          cpu-cap: 50
          cpus: 0-1
          disk-rate: 10 MiB
          disk-operations: 100
          network-rate: 10 Mbit
        boot: linux
        command-line: debug
        autostart: {after: [plan9]}
        ready: {console: "login:", timeout: 300 s}
        on-reboot: restart
        on-crash: preserve
        source:
          debian:
            suite: trixie
            hostname: debian
            packages: [sudo]
            files:
              - {path: /etc/one, text: one, mode: 0600, owner: "root:adm"}
              - {path: /etc/two, from: own}
              - {path: /etc/three, template: template}
            users:
              - name: ada
                ssh-keys: ["\(key)"]
                password-hash: "*"
                groups: [adm]
                shell: /bin/bash
                sudo: true
            services: {enable: [fstrim.timer], disable: [ssh]}
            first-boot: [apt-get update]
            sysctl: {vm.swappiness: 10}
      - name: freebsd
        memory: 256 MiB
        disk: 2 GiB
        source: {freebsd: {base: base, kernel: kernel, hostname: freebsd}}
      - name: plan9
        memory: 256 MiB
        network: true
        vnc: off
        autostart: false
        source: {plan9: {tree: tree, kernel: 9pcgz, hostname: gnot}}
      - name: hatchling
        cpus: 1
        memory: 32 MiB
        source: {hatchling: {}}
      - name: files
        memory: 64 MiB
        boot: multiboot
        ready: {console: x}
        source: {kernel: kernel, modules: [{file: m, command-line: a}], command-line: b, root: {from: base, path: a}}
      - name: linux
        memory: 64 MiB
        boot: linux
        ready: {console: x}
        source: {kernel: kernel, initrd: initrd}
      - name: image
        memory: 128 MiB
        disk: 256 MiB
        source:
          oci:
            image: {from: base}
            reference: app:1
            suite: trixie
            hostname: app
            command: [/bin/app]
            environment: {LANG: C.UTF-8}
            start: auto
            restart: on-failure
      - name: folder
        memory: 128 MiB
        disk: 256 MiB
        source:
          directory:
            path: tree
            owner: "0:0"
            suite: trixie
            hostname: app
            command: [/bin/app]
            environment: {LANG: C.UTF-8}
            start: command
            restart: always
      - {name: program, memory: 64 MiB, source: {efi: p.efi}, boot: uefi, ready: {console: x}}
      - {name: disk, memory: 64 MiB, floppy: f.img, boot: bios, source: {image: d.img}, ready: {console: x}}

    """

  /// Calls `body` with a folder that has the files that the recipe wants.
  static func within<Value>(_ body: (String) throws -> Value) throws -> Value {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-schema.")
    defer { try? Files.removeTree(directory) }
    try Files.makeDirectories("\(directory)/tree")
    try Files.write("own", to: "\(directory)/own")
    try Files.write("for ${course}", to: "\(directory)/template")
    return try body(directory)
  }
}
