"""Records the golden answers, or says where answers differ from them.

    python -m tests.golden.record [plans bundles full commands]

Without names all four are recorded (about ten minutes on two cores); each is a JSON file beside this one. Record only
where a difference is meant, look at `git diff`, and say in CHANGELOG.md what changed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden.cells import (
    Cell,
    Sources,
    answer,
    bundle_files,
    cells,
    commands,
    plan_line,
    planned,
)

Golden = dict[str, Any]
Wanted = Callable[[Cell], bool]
HERE = Path(__file__).parent


def plans(sources: Sources, wanted: Wanted) -> Golden:
    """Of every cell: the plan's digest, text and lock, or the codes of its refusal."""
    return {str(cell): plan_line(cell, sources.of(cell)) for cell in cells() if wanted(cell)}


def full(sources: Sources, wanted: Wanted) -> Golden:
    """The same of every recipe as it is shipped, on headers of its release at full size."""
    return {
        str(cell): plan_line(cell, sources.get(cell.release, "full", headers_only=True))
        for cell in cells(own_release=True)
        if wanted(cell)
    }


def bundles(sources: Sources, wanted: Wanted) -> Golden:
    """Of every cell that has a plan: each file of its bundle."""
    found = {}
    for cell in filter(wanted, cells()):
        plan = planned(cell, sources.of(cell))
        if not isinstance(plan, str):
            with tempfile.TemporaryDirectory() as folder:
                found[str(cell)] = bundle_files(plan, sources.of(cell), Path(folder))
    return found


def asked(sources: Sources, _: Wanted) -> Golden:
    """The answers of the command line."""
    tiny, v41 = (sources.get(release).folder.root for release in ("v4-flash", "v4.1-flash"))
    with tempfile.TemporaryDirectory(dir=sources.root) as folder:
        return {
            name: answer(arguments, sources.root, Path(folder)) for name, arguments in commands(tiny, v41, Path(folder))
        }


PARTS: dict[str, Callable[[Sources, Wanted], Golden]] = {
    "plans": plans,
    "bundles": bundles,
    "full": full,
    "commands": asked,
}


def golden(part: str) -> Golden:
    found: Golden = json.loads((HERE / f"{part}.json").read_text(encoding="utf-8"))
    return found


def differences(part: str, found: Golden) -> list[str]:
    """One line per answer that is not the golden one."""
    expected = golden(part)
    return [f"{name}: {expected.get(name)} → {value}" for name, value in found.items() if expected.get(name) != value]


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        sources = Sources(Path(root))
        for part in names or PARTS:
            text = json.dumps(PARTS[part](sources, lambda _: True), indent=0, sort_keys=True)
            (HERE / f"{part}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
