"""Floor 6, cli. `diff A B` compares two plans, grouped by module pattern."""

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
@click.option("--source", type=source_type, help="The checkpoint, if a side is a recipe.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 if there are differences.")
@click.option("--all", "every", is_flag=True, help="Show every group of modules and every fact.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    default="text",
    help="Markdown is for a review, html is the page of `report A B`; neither is ever cut.",
)
@click.option("--base", type=source_type, help="What both sides began as: says where they go together, and where not.")
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
    base: str | None,
    release: str | None,
    importance_file: Path | None,
    as_json: bool,
) -> int:
    """Compare BEFORE and AFTER: recipes, plan files or bundles, including bundles of other tools.

    With --base, the changes of both sides against it: what either changes alone, and where they conflict (exit code 2).
    Only headers and small files of a bundle are read. Between two bundles, side files are compared too.
    """
    if base is not None:
        return _three_way(base, before, after, source, release, importance_file, as_json or form == "json")
    from dsv4recipe import diff
    from dsv4recipe.api.report import report_diff
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
    if as_json or form == "json":
        print_json(found.data())
    elif form == "html":
        page = report_diff(before, after, checkpoint=source, importance=importance_file)
        click.echo(page, nl=False, file=raw(sys.stdout))
    elif form == "markdown":
        click.echo(markdown(found, before, after), nl=False, file=raw(sys.stdout))
    else:
        print_diff(found, every)
    return DIFFERENT if exit_code and not found.empty else 0


def _three_way(
    base: str, mine: str, theirs: str, source: str | None, release: str | None, importance: Path | None, as_json: bool
) -> int:
    """Returns 2 where both sides change a module in different ways."""
    from dsv4recipe.api.named import Planner
    from dsv4recipe.cli.diff_view import print_three_way
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.plan.three_way import three_way

    planner = Planner(source, importance, release)
    plans = [planner.side(name, other=True).plan for name in (base, mine, theirs)]
    found = three_way(*plans)
    if as_json:
        print_json(found.data())
    else:
        print_three_way(found, mine, theirs)
    return DIFFERENT if found.conflicting else 0
