/// OpenSSH's server in the control domain, where the recipe has the package `openssh-server`. It lets in who has a key
/// that the stick's identity names (or that the image brought along), and nobody by password.
enum SecureShell {
  static let server = "/usr/sbin/sshd"
  /// An empty directory of root's, where the server keeps who is not logged in yet (sshd(8)).
  static let privilegeDirectory = "/run/sshd"
  static let keyDirectory = "/run/roost/ssh"

  /// The host's key is made at each start: what is on the medium is everybody's.
  static let services = [
    Service(
      name: "ssh-key",
      command: ["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "\(keyDirectory)/host_key"],
      kind: .once),
    Service(
      name: "sshd",
      command: [
        server, "-D", "-e", "-o", "HostKey=\(keyDirectory)/host_key", "-o", "PidFile=none",
        "-o", "PermitRootLogin=prohibit-password", "-o", "PasswordAuthentication=no",
        "-o", "KbdInteractiveAuthentication=no",
        // `roost mosaic --host` has a session for each console over one login.
        "-o", "MaxSessions=100",
      ], kind: .always, after: ["ssh-key"]),
  ]
}
