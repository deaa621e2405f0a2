"""Floor 6, cli. `decompile BUNDLE -o RECIPE`: a readable recipe that plans to the same bundle."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, force_option, json_option, source_type


@click.command("decompile")
@click.argument("bundle", type=PathType())
@click.option("-o", "--output", required=True, type=PathType(), help="The recipe to write.")
@click.option("--model", default="", help="ORG/NAME of the checkpoint, where the bundle does not say it.")
@click.option("--runtime", default="", help="The runtime to write for, where the bundle's names fit several.")
@click.option("--source", type=source_type, help="Plan the recipe against this checkpoint and compare.")
@force_option
@json_option
def command(
    bundle: Path, output: Path, model: str, runtime: str, source: str | None, force: bool, as_json: bool
) -> None:
    """Write a recipe that plans to the same modules, formats and bytes as BUNDLE, whoever built it.

    Reads headers and small files, never weights. The recipe is planned again and compared before it is written.
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
