import Testing

@testable import Init

@Suite("The start of processors")
struct ProcessorStartTests {
  @Test(
    "KVM's module is the one of the processor, with nested virtualisation",
    arguments: [
      ("svm", [["kvm_amd", "nested=1"]]), ("vmx", [["kvm_intel", "nested=1"]]), ("svmx", []), ("", []),
    ])
  func module(_ flag: String, _ modules: [[String]]) {
    let text = "processor\t: 0\nvmx flags\t: fpu\nflags\t\t: fpu vme \(flag) pae\nbugs\t: none\n"
    #expect(ProcessorStart.hypervisorModules(cpuinfo: text) == modules)
  }
}
