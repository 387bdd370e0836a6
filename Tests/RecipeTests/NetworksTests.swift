import Manifest
import Testing
@testable import Recipe

@Suite("Networks of a recipe")
struct NetworksTests {
  private func recipe(networks: String, domains: String) throws -> Recipe {
    try Recipe.parse(
      """
      name: lab
      control-domain: {suite: trixie}
      networks: \(networks)
      domains:
      \(domains)
      """, file: "lab.yaml")
  }

  private func domain(_ name: String, _ network: String) -> String {
    "  - {name: \(name), memory: 64 MiB, disk: 64 MiB, source: {debian: {suite: trixie}}, network: \(network)}\n"
  }

  private func problems(networks: String, _ network: String) throws -> String {
    let error = #expect(throws: RecipeError.self) { try recipe(networks: networks, domains: domain("a", network)) }
    return error.map { "\($0)" } ?? ""
  }

  @Test("Cards are connected to networks by name, with what is said of each; addresses are the next that are free")
  func cards() throws {
    let recipe = try recipe(
      networks: "{left: {mode: isolated, subnet: 10.80.1.0/24, router: 10.80.1.10}, wire: {mode: isolated}}",
      domains: domain("a", "left")
        + domain(
          "r", "[{network: left, address: 10.80.1.10, filter: false}, guests, {network: wire, vlans: [10, 20]}]")
        + domain("b", "{network: left, link: {delay: 20 ms, jitter: 500 us, loss: 0.5 %, rate: 10 Mbit}}")
        + domain("c", "true") + domain("d", "false"))
    let cards = recipe.networkCards
    #expect(cards["a"]?.map(\.address) == ["10.80.1.11"])
    #expect(cards["r"]?.map(\.address) == ["10.80.1.10", "10.77.0.10", nil])
    #expect(cards["r"]?.map(\.networkName) == ["left", "guests", "wire"])
    #expect(cards["r"]?.first?.filter == false && cards["r"]?.last?.vlans == [10, 20])
    #expect(cards["b"]?.first?.address == "10.80.1.12")
    #expect(
      cards["b"]?.first?.link == LinkConditions(delay: 20_000, jitter: 500, loss: 0.5, rate: 10_000_000))
    #expect(cards["c"]?.map(\.address) == ["10.77.0.11"] && cards["d"]?.isEmpty == true)
    #expect(Set(cards.values.joined().map(\.mac)).count == 6)
    #expect(
      recipe.domains.map { recipe.nameServer(of: $0)?.description } == [
        "10.80.1.1", "10.80.1.1", "10.80.1.1", "10.77.0.1", nil,
      ])
    let network = ApplianceManifest.VirtualNetwork(try #require(recipe.networks.first))
    #expect(
      network == .init(name: "left", mode: .isolated, address: "10.80.1.1/24", router: "10.80.1.10"))
  }

  @Test("The digest tells networks and cables apart")
  func digest() throws {
    let texts = [
      "true", "left", "{network: left, link: {delay: 1 ms}}", "{network: left, filter: false}", "[left, left]",
    ]
    let digests = try texts.map { try recipe(networks: "{left: {mode: isolated}}", domains: domain("a", $0)).digest }
    #expect(Set(digests).count == texts.count)
    #expect(
      try recipe(networks: "{left: {mode: isolated}}", domains: domain("a", "true")).digest
        != recipe(networks: "{left: {mode: isolated, subnet: 10.80.1.0/24}}", domains: domain("a", "true")).digest)
  }

  @Test(
    "Networks that cannot be are refused with words that help",
    arguments: [
      ("{left: {}}", "needs a 'subnet'"), ("{guests: {mode: isolated}}", "the network that all appliances have"),
      ("{left: {mode: bridged, subnet: 10.80.1.0/24}}", "leave 'subnet' out"),
      ("{left: {subnet: 10.77.0.0/16}}", "has addresses of 'guests'"),
      ("{left: {mode: isolated, card: eth0}}", "add 'mode: bridged'"),
      ("{left: {mode: isolated, subnet: 10.80.1.0/24, router: 10.80.2.1}}", "is no domain's address in"),
      ("{left: {mode: isolated, router: 10.80.2.1}}", "'router' tells the way out"),
      ("{left: {mode: open}}", "must be one of nat, isolated, bridged"),
      ("{Left: {mode: isolated}}", "the network 'Left'"), ("[left]", "must have a name for each network"),
    ])
  func networks(text: String, words: String) throws {
    let problems = try problems(networks: text, "true")
    #expect(problems.contains(words), "\(problems)")
  }

  @Test(
    "Cards that cannot be are refused with words that help",
    arguments: [
      ("rihgt", "did you mean 'right'?"), ("{network: right, address: 10.80.1.300}", "is no IPv4 address"),
      ("{network: right, address: 10.80.1.1}", "is no domain's in 'right'"),
      ("{network: right, address: 10.99.1.1}", "is no domain's in 'right'"),
      ("[{network: right, address: 10.80.1.9}, {network: right, address: 10.80.1.9}]", "that of 'a' and of 'a'"),
      ("{network: right, vlan: 4095}", "whole number from 1 to 4094"),
      ("{network: right, vlan: 5, vlans: [6]}", "in one 'vlan', or gets several"),
      ("{network: right, vlans: [6, 6]}", "named twice"), ("{network: right, vlans: [0]}", "1 to 4094"),
      ("{network: right, link: {loss: 101 %}}", "is not 0 % to 100 %"), ("{link: {delay: 20}}", "write one as"),
      ("{link: {jitter: 5 ms}}", "not larger than the delay"), ("{link: {rate: 1 kbit}}", "64 kbit"),
      ("[right, right, right, right, right, right, right, right, right]", "8 network cards at most"),
    ])
  func cards(text: String, words: String) throws {
    let problems = try problems(networks: "{right: {subnet: 10.80.1.0/24}}", text)
    #expect(problems.contains(words), "\(problems)")
  }

  @Test("A network without room for all is refused")
  func room() throws {
    let names = ["a", "b", "c", "d", "e", "f"]
    let error = #expect(throws: RecipeError.self) {
      try recipe(
        networks: "{left: {subnet: 10.80.1.0/28}}", domains: names.map { domain($0, "left") }.joined())
    }
    #expect(error.map { "\($0)" }?.contains("addresses for 5 domains") == true)
  }
}
