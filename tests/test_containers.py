"""What a bundle is in (a folder of shards, one GGUF file) is asked by one strategy on each floor, nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import dsv4recipe
from dsv4recipe.builder.containers import MAKINGS
from dsv4recipe.bundle.open import READINGS
from dsv4recipe.bundle.places import PLACES
from dsv4recipe.plan.containers import CONTAINERS
from dsv4recipe.runtimes import targets
from dsv4recipe.verifier.contract.check import STRUCTURES

ROOT = Path(dsv4recipe.__file__).parent
STRATEGIES = {
    "plan": {"containers.py", "gguf_file.py", "gguf_judged.py", "make.py"},
    "bundle": {"places.py", "open.py", "as_planned.py", "gguf_view.py"},
    "builder": {"containers.py", "publish.py"},
    "verifier": {"contract/check.py", "contract/gguf_laws.py"},
}
"""The strategies with what they are made of; make.py and check.py look one up by `target.container`."""
QUESTION = re.compile(
    r"""one_file|\bONE_FILE\b|\.container\b|['"]\.?gguf['"]|GGUF_SUFFIX|\bopened is not\b|isinstance\([^)]*Container"""
)


def test_no_module_asks_for_the_container_outside_the_strategies() -> None:
    asked = []
    for room in ("plan", "bundle", "allocation", "advice", "builder", "verifier", "reports", "api", "cli", "files"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT / room).as_posix()
            if name in STRATEGIES.get(room, set()) or "/probe/" in name:
                continue
            lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            asked += [f"{room}/{name}:{number}: {line.strip()}" for number, line in lines if QUESTION.search(line)]
    assert asked == []


def test_every_floor_has_a_strategy_for_every_container() -> None:
    names = set(CONTAINERS)
    assert {target.container for target in targets()} == names
    assert set(PLACES) == set(STRUCTURES) == names
    for strategies in (READINGS, MAKINGS):
        assert [each.places for each in strategies] == list(PLACES.values())  # type: ignore[attr-defined]
