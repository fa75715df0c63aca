from stacks import program  # noqa: D100 - the module says it

program.run()
