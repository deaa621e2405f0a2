"""Floor 6, cli. `diff A B`: two plans, grouped by module pattern."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dsv4recipe.cli.arguments import importance_option, json_option, release_option, source_type
from dsv4recipe.cli.complete import complete_side
from dsv4recipe.cli.screen import raw

DIFFERENT = 2


@click.command("diff")
@click.argument("before", type=source_type, shell_complete=complete_side)
@click.argument("after", type=source_type, shell_complete=complete_side)
@click.option("--source", type=source_type, help="The checkpoint, where a side is a recipe.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 if there are differences.")
@click.option("--all", "every", is_flag=True, help="Show every group of modules and every fact.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    help="Markdown is never cut: for a review.",
)
@release_option
@importance_option
@json_option
def command(
    before: str,
    after: str,
    source: str | None,
    exit_code: bool,
    every: bool,
    form: str,
    release: str | None,
    importance_file: Path | None,
    as_json: bool,
) -> int:
    """Compare BEFORE and AFTER: recipes, plan files or bundles, also bundles that others built.

    Of a bundle only headers and small files are read. Between two bundles, side files are compared too.
    """
    from dsv4recipe import diff
    from dsv4recipe.cli.diff_view import markdown, print_diff
    from dsv4recipe.cli.output import print_json

    found = diff(
        before,
        after,
        checkpoint=source,
        release=release,
        importance=importance_file,
        on_note=lambda note: click.echo(f"note: {note}", err=True),
    )
    if as_json:
        print_json(found.data())
    elif form == "markdown":
        click.echo(markdown(found, before, after), nl=False, file=raw(sys.stdout))
    else:
        print_diff(found, every)
    return DIFFERENT if exit_code and not found.empty else 0
