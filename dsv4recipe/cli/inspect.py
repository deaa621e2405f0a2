"""Floor 6, cli. `inspect PATH`: what a checkpoint or bundle holds, from its headers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from dsv4recipe.cli.arguments import json_option, source_type


@click.command("inspect")
@click.argument("path", type=source_type)
@json_option
def command(path: str, as_json: bool) -> None:
    """Say what the checkpoint or bundle at PATH holds: a folder, or hf://org/repo@revision. Reads headers only."""
    found = _bundle(Path(path)) if _is_bundle(Path(path)) else _checkpoint(path)
    from dsv4recipe.cli.output import console, print_json, table
    from dsv4recipe.units import counted, human_size

    if as_json:
        print_json({"format_version": 1, **found})
        return
    shards = counted(found["shards"], "file" if Path(path).is_file() else "shard")
    click.echo(f"{found['kind']} of family {found['family']}: {found['tensors']:,} tensors in {shards}")
    click.echo(human_size(found["bytes"]))
    rows = [(row["name"], f"{row['tensors']:,}", f"{row['bytes']:,}") for row in found["by"]]
    console().print(table((found["grouped"], "tensors", "bytes"), rows, right=(1, 2)))


def _is_bundle(path: Path) -> bool:
    from dsv4recipe.bundle.manifest import NAME, is_one_file

    return is_one_file(path) or (path / NAME).is_file() or (path / "jang_config.json").is_file()


def _checkpoint(path: str) -> dict[str, Any]:
    from dsv4recipe import open_checkpoint

    checkpoint = open_checkpoint(path)
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for tensor in checkpoint.tensors:
        label = f"{tensor.slot.row.role} ({tensor.source.stored})"
        count[label] += 1 if tensor.scale is None else 2
        size[label] += tensor.weight.end - tensor.weight.start
        size[label] += 0 if tensor.scale is None else tensor.scale.end - tensor.scale.start
    return {
        "kind": "checkpoint",
        "family": checkpoint.family.name,
        "tensors": checkpoint.folder.tensors,
        "bytes": checkpoint.folder.bytes,
        "shards": len(checkpoint.folder.files),
        "layers": checkpoint.dims.layers,
        "mtp_stages": checkpoint.dims.stages,
        "experts": checkpoint.dims.experts,
        "grouped": "role (stored as)",
        "by": [{"name": n, "tensors": count[n], "bytes": size[n]} for n, _ in size.most_common()],
    }


def _bundle(path: Path) -> dict[str, Any]:
    from dsv4recipe.bundle.view import open_bundle
    from dsv4recipe.errors import Problems

    view, findings = open_bundle(path)
    problems = Problems(findings)
    problems.raise_if_any()
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for header in view.shards:
        for entry in header.tensors:
            count[entry.dtype] += 1
            size[entry.dtype] += entry.end - entry.start
    return {
        "kind": "bundle",
        "family": str(view.config.get("model_type")),
        "tensors": sum(count.values()),
        "bytes": sum(size.values()),
        "shards": len(view.shards),
        "grouped": "dtype",
        "by": [{"name": n, "tensors": count[n], "bytes": size[n]} for n, _ in size.most_common()],
    }
