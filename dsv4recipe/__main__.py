"""`python -m dsv4recipe`: the command line."""

from dsv4recipe.cli.main import main

main()
