import Testing

@testable import ImageBuilder

@Suite("What a build tells programs")
struct BuildEventTests {
  @Test("Each event is one line of JSON, with its step's name")
  func events() {
    let steps = ["root \"a\"", "ISO image"]
    let events: [BuildEvent] = [
      .planned(steps), .remark("tar is\nother"), .started(0), .progress(0, "50 %"),
      .finished(0, reused: false, seconds: 1.5, bytes: 7), .failed(1), .started(2),
    ]
    #expect(
      events.map { $0.json(steps: steps) } == [
        #"{"event":"planned","steps":["root \"a\"","ISO image"]}"#, #"{"event":"remark","text":"tar is\nother"}"#,
        #"{"event":"started","name":"root \"a\"","step":0}"#,
        #"{"event":"progress","name":"root \"a\"","step":0,"text":"50 %"}"#,
        #"{"bytes":7,"event":"finished","name":"root \"a\"","reused":false,"seconds":1.5,"step":0}"#,
        #"{"event":"failed","name":"ISO image","step":1}"#, #"{"event":"started","step":2}"#,
      ])
  }

  @Test("The last line is the image, or why there is none")
  func ends() {
    let image = ImageBuild.Image(
      path: "a/b.iso", size: 9, reused: true, seconds: 0.25, largest: [.init(path: "/roost/vmlinuz", bytes: 5)])
    #expect(
      image.json == #"{"bytes":9,"event":"image","largest":[{"bytes":5,"path":"/roost/vmlinuz"}],"path":"a/b.iso","#
        + #""reused":true,"seconds":0.25}"#)
    #expect(
      BuildError(.noSpace, "full", hint: "free some", details: ["a"]).json
        == #"{"code":"noSpace","details":["a"],"event":"error","hint":"free some","message":"full"}"#)
    #expect(BuildError.cancelled.json == #"{"code":"cancelled","event":"error","message":"interrupted"}"#)
  }
}
