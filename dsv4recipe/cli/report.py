"""Floor 6, cli. `report PLAN|BUNDLE -o HTML` writes a page about a plan."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, force_option, importance_option, json_option, source_type
from dsv4recipe.cli.complete import complete_side

_FILE = PathType()


@click.command("report")
@click.argument("plan", type=source_type, shell_complete=complete_side)
@click.argument("after", type=source_type, required=False, shell_complete=complete_side)
@click.option("-o", "--output", required=True, type=_FILE, help="The page to write; an older page is replaced.")
@click.option("--numbers", type=_FILE, help="What `verify BUNDLE --source SRC --json` printed: adds relative RMSE.")
@click.option("--allocation", type=_FILE, help="What `allocate … --json` printed: adds budget against error.")
@click.option("--evidence", type=_FILE, help="What `evaluate -o` measured of it: adds what the model loses.")
@click.option("--source", type=source_type, help="The checkpoint, where PLAN is a recipe.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@importance_option
@force_option
@json_option
def command(
    plan: str,
    after: str | None,
    output: Path,
    numbers: Path | None,
    allocation: Path | None,
    evidence: Path | None,
    source: str | None,
    show: bool,
    importance_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write one self-contained HTML page about PLAN: a plan file, a bundle (anyone's), or a recipe. With AFTER, a page
    about what differs between the two.

    The page needs no network and holds no time, host or path, so the same inputs give the same bytes.
    """
    from dsv4recipe import report
    from dsv4recipe.api.report import report_diff
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.files.outputs import PAGE, check_output, write_output

    check_output(output, PAGE, force)
    if after is not None:
        if numbers or allocation or evidence:
            raise click.UsageError("a page about two plans takes no --numbers, --allocation and --evidence")
        text = report_diff(plan, after, checkpoint=source, importance=importance_file)
        write_output(output, text, PAGE, force)
        if as_json:
            print_json({"format_version": 1, "file": str(output)})
        else:
            click.echo(f"wrote {output}: {len(text.encode()):,} B")
        _show(output, show)
        return
    made = report(
        plan,
        numbers=numbers,
        allocation=allocation,
        checkpoint=source,
        importance=importance_file,
        evidence=evidence,
    )
    write_output(output, made.html, PAGE, force)
    if as_json:
        print_json({"format_version": 1, "file": str(output), "plan": made.plan.digest, "findings": len(made.findings)})
    else:
        click.echo(f"wrote {output}: {len(made.html.encode()):,} B, plan {made.plan.digest[:12]}")
    _show(output, show)


def _show(page: Path, wanted: bool) -> None:
    """Opens a page in the browser of whoever asked; says so where there is none."""
    if wanted and click.launch(page.resolve().as_uri()) != 0:
        click.echo(f"no browser could be started: open {page} in one", err=True)
