"""Floor 6, cli. `decompile BUNDLE -o RECIPE` writes a readable recipe that plans to the same bundle."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, force_option, json_option, source_type


@click.command("decompile")
@click.argument("bundle", type=PathType())
@click.option("-o", "--output", required=True, type=PathType(), help="Write the recipe to this file.")
@click.option("--model", default="", help="ORG/NAME of the checkpoint, if the bundle does not say it.")
@click.option("--runtime", default="", help="The runtime, if the bundle's tensor names match several.")
@click.option("--source", type=source_type, help="Also plan the recipe with this checkpoint and compare.")
@force_option
@json_option
def command(
    bundle: Path, output: Path, model: str, runtime: str, source: str | None, force: bool, as_json: bool
) -> None:
    """Write a recipe that plans to the same modules, formats and bytes as BUNDLE, even if another tool built it.

    Only headers and small files are read, never weights. The recipe is planned again and compared before it is written.
    """
    from dsv4recipe import decompile
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.files.outputs import RECIPE, check_output, write_output

    check_output(output, RECIPE, force)
    made = decompile(bundle, name=output.stem, model=model, runtime=runtime, checkpoint=source, file=str(output))
    write_output(output, made.text, RECIPE, force)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        ids = [rule.id for rule in made.recipe.rules]
        print_json({"format_version": 1, "recipe": str(output), "rules": ids, "notes": list(made.notes)})
    else:
        click.echo(f"wrote {output}")
