"""Bundles in the runtimes' own loaders: strict load at full size, a run at tiny size, name maps against `sanitize`.

The runtimes are looked for in the interpreters that `scripts/runtimes` makes and names; without one, its tests are
skipped. oMLX and the mlx-lm branch of the Q3 bundle are in no package registry: oMLX's names are those of Rapid-MLX,
the branch's are held against a table in `test_names`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import build, make_plan
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.targets import get
from dsv4recipe.verifier.contract import check_contract
from tests.targets.bundles import hollow_bundle, moved

CHILD = Path(__file__).with_name("runtime_child.py")
VARIABLE = {
    "mlx-vlm": "DSV4RECIPE_MLX_VLM_PYTHON",
    "rapid-mlx": "DSV4RECIPE_RAPID_MLX_PYTHON",
    "jang": "DSV4RECIPE_JANG_PYTHON",
}
DIALECT = {"mlx-vlm": get("mlx-vlm"), "rapid-mlx": get("rapid-mlx"), "jang": get("vmlx")}
"""The target whose module paths a runtime has."""

BUNDLES = [
    ("native", "mlx-vlm", "mlx-vlm"),
    ("native", "rapid-mlx", "rapid-mlx"),
    ("q3-mixed", "mlx-vlm", "mlx-vlm"),
    ("q3-mixed", "rapid-mlx", "rapid-mlx"),
    ("universal", "universal", "mlx-vlm"),
    ("universal", "universal", "rapid-mlx"),
    ("universal", "universal", "jang"),
]
"""Recipe, target, and the runtime that loads the bundle."""

TOKENS = 136
"""Longer than the sliding window of the tiny checkpoint (128) and than what its indexer picks (8 × 4)."""


def child(runtime: str, *arguments: str | Path) -> Any:
    python = os.environ.get(VARIABLE[runtime])
    if not python:
        pytest.skip(f'{VARIABLE[runtime]} is not set: eval "$(sh scripts/runtimes)"')
    command = [python, str(CHILD), runtime, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


def placed(plan: Plan, checkpoint: Checkpoint) -> list[tuple[Slot, PlannedModule]]:
    slots = {group.names: group.slot for group in checkpoint.groups}
    return [(slots[module.sources], module) for module in plan.modules]


def fused(runtime: str, slot: Slot) -> bool:
    """Rapid-MLX puts the rows of up behind those of gate when it loads."""
    return runtime == "rapid-mlx" and slot.row.role == "routed-expert" and slot.row.projection == "up"


@pytest.mark.parametrize(("recipe", "target", "runtime"), [*BUNDLES, ("q4q8", "vmlx", "jang")])
def test_a_full_size_bundle_loads_strictly(
    full: Checkpoint, tmp_path: Path, recipe: str, target: str, runtime: str
) -> None:
    """Every name and shape of V4-Flash, with all 256 experts, through the runtime's own loader; no weight is read."""
    plan = make_plan(moved(recipe, target), full)
    seen = child(runtime, "load", hollow_bundle(plan, full, tmp_path / "bundle"), 0)
    assert (seen["strict"], seen["missing"], seen["unexpected"], seen["misshapen"]) == (True, [], [], [])
    loaded = [(slot, module) for slot, module in placed(plan, full) if module.path is not None]
    kept = [(slot, module) for slot, module in loaded if not fused(runtime, slot)]
    assert seen["parameters"] == sum(len(module.parts) for _, module in kept)  # a loader may drop what has no weights
    assert seen["quantized"] == {
        DIALECT[runtime].path(slot): [entry["bits"], entry["group_size"], entry["mode"]]
        for slot, module in kept
        if (entry := module.format.quantization())
    }


@pytest.fixture(scope="module")
def run(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Any]:
    """What a runtime says of a recipe's tiny bundle; each is built and run once."""

    @cache
    def bundle(recipe: str, target: str) -> Path:
        out = build(make_plan(moved(recipe, target), tiny), tiny, tmp_path_factory.mktemp("tiny") / recipe)
        assert check_contract(out, get(target)).findings == ()
        return out

    return cache(lambda recipe, target, runtime: child(runtime, "load", bundle(recipe, target), TOKENS))


@pytest.mark.parametrize(("recipe", "target", "runtime"), BUNDLES)
def test_a_tiny_bundle_runs(run: Callable[[str, str, str], Any], recipe: str, target: str, runtime: str) -> None:
    seen = run(recipe, target, runtime)
    assert (seen["strict"], seen["missing"], seen["unexpected"], seen["misshapen"]) == (True, [], [], [])
    assert seen["finite"]
    assert all(0.5 < max(abs(value) for value in row) < 100 for row in seen["logits"])


@pytest.mark.parametrize("recipe", ["native", "q3-mixed", "universal"])
def test_a_recipe_gives_the_same_logits_in_two_runtimes(run: Callable[[str, str, str], Any], recipe: str) -> None:
    first, second = [run(*row)["logits"] for row in BUNDLES if row[0] == recipe and row[2] != "jang"]
    assert first == second


def test_another_implementation_agrees_on_the_universal_bundle(run: Callable[[str, str, str], Any]) -> None:
    first, other = (run("universal", "universal", runtime)["logits"] for runtime in ("mlx-vlm", "jang"))
    assert all(cosine(a, b) > 0.995 for a, b in zip(first, other, strict=True))


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


@pytest.mark.parametrize("runtime", ["mlx-vlm", "rapid-mlx"])
def test_the_name_map_is_what_sanitize_does_to_the_source(full: Checkpoint, tmp_path: Path, runtime: str) -> None:
    """All 69,187 names of V4-Flash in; out comes each once under the path that our map gives, experts in order."""
    tensors, expected = [], {}
    for group in full.groups:
        path = DIALECT[runtime].path(group.slot)
        named = ".weight" if group.slot.row.pattern.endswith(".weight") else ""
        numbers = range(len(tensors), len(tensors) + len(group.members))
        tensors += [[t.name, group.source.stored, n] for n, t in zip(numbers, group.members, strict=True)]
        if path is not None:
            expected[path + named] = list(numbers)
        if group.source.stored in ("fp4", "fp8"):
            scales = [t.name.removesuffix(".weight") + ".scale" for t in group.members]
            numbers = range(len(tensors), len(tensors) + len(scales))
            tensors += [[name, f"{group.source.stored}.scale", n] for n, name in zip(numbers, scales, strict=True)]
            if path is not None:
                expected[path + ".scales"] = list(dict.fromkeys(n % 251 for n in numbers))
    assert len(tensors) == len({name for name, _, _ in tensors}) == 69_187
    assert renamed(runtime, full, tensors, tmp_path) == (fuse(expected) if runtime == "rapid-mlx" else expected)


@pytest.mark.parametrize(("target", "runtime"), [("mlx-vlm", "mlx-vlm"), ("rapid-mlx", "rapid-mlx"),
                                                 ("universal", "mlx-vlm"), ("universal", "rapid-mlx"),
                                                 ("universal", "jang"), ("vmlx", "jang")])  # fmt: skip
def test_names_on_disk_become_the_paths_of_the_plan(
    full: Checkpoint, tmp_path: Path, target: str, runtime: str
) -> None:
    plan = make_plan(moved("universal", target), full)
    rows = [(slot, module, part.suffix) for slot, module in placed(plan, full) for part in module.parts]
    tensors = [[module.disk + suffix, module.source.stored.replace("fp", ""), n]
               for n, (_, module, suffix) in enumerate(rows)]  # fmt: skip
    expected = {f"{DIALECT[runtime].path(slot)}{suffix}": [n] for n, (slot, _, suffix) in enumerate(rows)}
    assert len(expected) == len(tensors)
    assert renamed(runtime, full, tensors, tmp_path) == (fuse(expected) if runtime == "rapid-mlx" else expected)


def renamed(runtime: str, checkpoint: Checkpoint, tensors: list[Any], folder: Path) -> dict[str, list[int]]:
    (folder / "tensors.json").write_text(json.dumps(tensors))
    result = child(runtime, "rename", checkpoint.folder.root / "config.json", folder / "tensors.json")
    return {name: [int(value) for value in values] for name, values in result.items()}


def fuse(expected: dict[str, list[int]]) -> dict[str, list[int]]:
    """Gate and up of each routed expert, one behind the other, under gate's name."""
    found = dict(expected)
    for name in [name for name in found if ".switch_mlp.up_proj." in name]:
        gate = name.replace("up_proj", "gate_proj")
        pairs = zip(found[gate], found.pop(name), strict=True)
        found[gate] = list(dict.fromkeys(number for pair in pairs for number in pair))
    return found
