"""Floor 6, cli. `report PLAN|BUNDLE -o HTML`: a page to look at."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, force_option, importance_option, json_option, source_type
from dsv4recipe.cli.complete import complete_side

_FILE = PathType()


@click.command("report")
@click.argument("plan", type=source_type, shell_complete=complete_side)
@click.option("-o", "--output", required=True, type=_FILE, help="The page to write; an older page is replaced.")
@click.option("--numbers", type=_FILE, help="What `verify BUNDLE --source SRC --json` printed: adds relative RMSE.")
@click.option("--allocation", type=_FILE, help="What `allocate … --json` printed: adds budget against error.")
@click.option("--source", type=source_type, help="The checkpoint, where PLAN is a recipe.")
@importance_option
@force_option
@json_option
def command(
    plan: str,
    output: Path,
    numbers: Path | None,
    allocation: Path | None,
    source: str | None,
    importance_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write one self-contained HTML page about PLAN: a plan file, a bundle (anyone's), or a recipe with --source.

    The page needs no network and holds no time, host or path: same inputs, same bytes.
    """
    from dsv4recipe.api.named import Planner
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.files.outputs import PAGE, check_output, write_output
    from dsv4recipe.reports.curve import read_allocation
    from dsv4recipe.reports.numbers import read_numbers
    from dsv4recipe.reports.page import render_page
    from dsv4recipe.runtimes import get
    from dsv4recipe.verifier.contract.check import check_contract

    check_output(output, PAGE, force)
    side = Planner(source, importance_file).side(plan)
    measured = None
    if numbers is not None:
        measured = read_numbers(numbers.read_text(encoding="utf-8"), str(numbers), side.plan)
    target = get(side.plan.target["runtime"], side.plan.source.family)
    findings = () if side.folder is None else check_contract(side.folder, target).findings
    curve = None
    if allocation is not None:
        curve = read_allocation(allocation.read_text(encoding="utf-8"), str(allocation), side.plan)
    page = render_page(side.plan, measured, findings, side.notes, curve)
    write_output(output, page, PAGE, force)
    if as_json:
        print_json({"format_version": 1, "file": str(output), "plan": side.plan.digest, "findings": len(findings)})
    else:
        click.echo(f"wrote {output}: {len(page.encode()):,} B, plan {side.plan.digest[:12]}")
