internal import ArgumentParser
internal import Platform
internal import Recipe

/// `roost schema`
struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema", abstract: "Print the JSON Schema of recipes, for editors.",
    discussion: """
      Editors complete and check a recipe by it. Those that use yaml-language-server find it by the recipe's first line:

        # yaml-language-server: $schema=recipe.schema.json

      EXAMPLES:
        roost schema > recipe.schema.json
      """)

  @ParentCommand var roost: Roost

  func validate() throws { try roost.appliance.refuse(for: "schema") }

  func run() { StandardStream.output.write(RecipeSchema.text) }
}
