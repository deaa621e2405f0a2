"""Floor 6, cli. `inspect PATH` prints what a checkpoint or bundle holds, from its headers."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import json_option, source_type


@click.command("inspect")
@click.argument("path", type=source_type)
@json_option
def command(path: str, as_json: bool) -> None:
    """Say what the checkpoint or bundle at PATH (a folder, or hf://org/repo@revision) holds. Only headers are read."""
    from dsv4recipe import inspect
    from dsv4recipe.cli.colours import rendered
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.tables import print_table
    from dsv4recipe.errors import Diagnostic, Where
    from dsv4recipe.units import counted, human_size

    found = inspect(path)
    if as_json:
        print_json(found)
        return
    shards = counted(found["shards"], "file" if Path(path).is_file() else "shard")
    click.echo(f"{found['kind']} of family {found['family']}: {found['tensors']:,} tensors in {shards}")
    click.echo(human_size(found["bytes"]))
    if found.get("dialect"):
        click.echo(f"names: {found['dialect']}; read as those of the release")
    rows = [(row["name"], f"{row['tensors']:,}", f"{row['bytes']:,}") for row in found["by"]]
    print_table((found["grouped"], "tensors", "bytes"), rows, (1, 2))
    for note in found.get("notes", ()):
        click.echo(rendered(Diagnostic(**{**note, "where": Where(**note["where"])})))
