"""Floor 3, plan. Shows the changes of a diff in few lines: similar groups are merged, long layer lists are cut. This
module is pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dsv4recipe.plan.diff import Change

ROWS = 16
"""How many groups and facts the text form shows, largest byte delta first; `--json` has all of them."""

_LISTS = re.compile(r"\{([\w,-]+)\}")


def merged(changes: Iterable[Change]) -> list[Change]:
    """Merges groups whose names differ only in the last part: `attn.{wo_a,wo_b} ×86`."""
    found: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        found.setdefault((change.pattern.rpartition(".")[0], change.before, change.after), []).append(change)
    return [_one(head, each) for (head, _, _), each in found.items()]


def _one(head: str, changes: Sequence[Change]) -> Change:
    if len(changes) == 1:
        return changes[0]
    names = ",".join(sorted(change.pattern.rpartition(".")[2] for change in changes))
    return replace(
        changes[0],
        pattern=f"{head}.{{{names}}}".removeprefix("."),
        count=sum(change.count for change in changes),
        bytes_before=sum(change.bytes_before for change in changes),
        bytes_after=sum(change.bytes_after for change in changes),
    )


def _short(match: re.Match[str]) -> str:
    """ "{2,4,6,8,10,42}" → "{2,4,…,42}"."""
    runs = match[1].split(",")
    return match[0] if len(runs) < 6 else f"{{{runs[0]},{runs[1]},…,{runs[-1]}}}"


def named(change: Change) -> str:
    """Returns the pattern with its count: `model.layers.{0-42}.mlp.switch_mlp.gate_proj ×43`. Long lists are cut."""
    return short_lists(change.pattern) + (f" ×{change.count}" if change.count > 1 else "")


def short_lists(pattern: str) -> str:
    """Returns a pattern with its long lists cut: "{2,4,…,42}"."""
    return _LISTS.sub(_short, pattern)
