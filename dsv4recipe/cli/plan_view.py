"""Floor 6, cli. Prints a plan: totals first, then role × format, then special cases."""

from __future__ import annotations

import click

from dsv4recipe.cli.colours import rendered
from dsv4recipe.cli.tables import print_table
from dsv4recipe.plan.cautions import cautions, never_seen, rounded
from dsv4recipe.plan.containers import placed
from dsv4recipe.plan.ledger import ledger
from dsv4recipe.plan.model import Plan, PlannedShard
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.runtimes import get
from dsv4recipe.units import counted, gigabytes, human_size


def print_plan(plan: Plan) -> None:
    """Prints totals, ledger, overrides, dropped tensors and digest."""
    model, revision = claimed(plan.source)
    if model:
        what = f"on {model.rsplit('/', 1)[-1]}" + (f" at {revision[:12]}" if revision else "")
    else:
        what = f"(written for {plan.recipe['source']['model'].rsplit('/', 1)[-1]})"
    click.echo(f"{plan.recipe['name']} {what} for {plan.target['runtime']}")
    click.echo(
        f"{plan.tensor_bytes:,} B   {gigabytes(plan.tensor_bytes)}   {plan.bits_per_weight:.3f} bits per weight   "
        f"{counted(len(plan.shards), 'shard')}"
    )
    for shard in plan.shards:
        if shard.header:
            _print_file(plan, shard)
    click.echo()
    rows = [
        (
            row.role,
            row.format + ("  exact" if row.lossless else ""),
            f"{row.modules:,}",
            f"{row.tensors:,}",
            f"{row.bytes:,}",
            f"{row.bytes / 2**30:.3f}",
            f"{row.bits_per_weight:.3f}",
        )
        for row in ledger(plan.modules)
    ]
    columns = ("role", "format", "modules", "tensors", "bytes", "GiB", "bits/w")
    print_table(columns, rows, range(2, 7), optional=("tensors", "modules", "GiB"))
    click.echo()
    top = {name: plan.overrides[name] for name in ("bits", "group_size", "mode") if name in plan.overrides}
    if top:
        entries = {name for name, value in plan.overrides.items() if isinstance(value, dict)}
        paths = {module.path for module in plan.modules if module.path in entries}
        words = f"{len(paths)} modules by runtime path"
        if len(entries) > len(paths):
            words += f", {len(entries) - len(paths)} entries under disk stems"
        click.echo(f"config.json: {top['bits']}-bit {top['mode']} g{top['group_size']} globally; overrides for {words}")
    target = get(plan.target["runtime"], plan.source.family)
    for name, size in target.sidecar((m.source, m.format) for m in plan.modules).items():
        click.echo(f"sidecar {name}: {human_size(size)} of signs and codebooks")
    for who, count in plan.dropped.items():
        click.echo(f"dropped by {who}: {count:,} tensors")
    for dtype, count, before in rounded(plan):
        click.echo(f"not exact: {count:,} tensors are kept as {dtype}, but the source has them in {before}")
    unseen, weighed = never_seen(plan)
    if weighed:
        click.echo(f"importance: {weighed:,} matrices are weighed, of which calibration never reached {unseen:,}")
    for caution in cautions(plan):
        click.echo(rendered(caution))
    click.echo(f"plan {plan.digest}")


def _print_file(plan: Plan, shard: PlannedShard) -> None:
    """Prints what the header of a file and the gaps between tensors add to the tensors."""
    header = min(tensor.offset for tensor in placed(plan, shard))
    gaps = shard.file_bytes - header - shard.tensor_bytes
    click.echo(f"{shard.file}: {shard.file_bytes:,} B, of it {header:,} B header and {gaps:,} B padding")
