"""Runs the command line as `python -m dsv4recipe`."""

from dsv4recipe.cli.main import main

main()
