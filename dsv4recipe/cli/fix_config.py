"""Floor 6, cli. `verify BUNDLE --fix-config OUT.json` writes the corrected config.json, completely or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsv4recipe.cli.output import print_json
from dsv4recipe.files.outputs import CONFIG, check_output, write_output
from dsv4recipe.verifier.contract.fix_config import mend_config

_SHOWN = 12


def write_config(bundle: Path, out: Path, force: bool, as_json: bool) -> int:
    """Writes the config and prints what changed. Raises RecipeError if the tensors do not decide."""
    check_output(out, CONFIG, force)
    mended = mend_config(bundle)
    write_output(out, json.dumps(mended.config, indent=2, ensure_ascii=False) + "\n", CONFIG, force)
    if as_json:
        changed = [{"key": key, "before": before, "after": after} for key, before, after in mended.changed]
        print_json({"format_version": 1, "file": str(out), "runtimes": list(mended.runtimes), "changed": changed})
        return 0
    for key, before, after in mended.changed[:_SHOWN]:
        click.echo(f"  {key}: {before or 'no entry'} → {after or 'no entry'}")
    if len(mended.changed) > _SHOWN:
        click.echo(f"  and {len(mended.changed) - _SHOWN:,} more entries")
    done = (
        f"{len(mended.changed):,} entries corrected"
        if mended.changed
        else "its quantization section was already correct"
    )
    click.echo(f"wrote {out} for {', '.join(mended.runtimes)}: {done}; nothing else was changed")
    return 0
