"""Bundles in the runtimes' own loaders: strict load at full size, a run at tiny size, name maps against `sanitize`.

The runtimes are looked for in the interpreters that `scripts/runtimes` makes and names; without one, its tests are
skipped. oMLX and the mlx-lm branch of the Q3 bundle are in no package registry: oMLX's names are those of Rapid-MLX,
the branch's are held against a table in `test_names`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsv4recipe import build, make_plan
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.runtimes import get, probes
from dsv4recipe.verifier.contract.check import check_contract
from dsv4recipe.verifier.runtime import probe
from dsv4recipe.verifier.runtime.child import probe_runtime
from dsv4recipe.verifier.runtime.findings import runtime_findings
from dsv4recipe.verifier.runtime.probe.likeness import compare
from dsv4recipe.verifier.runtime.probe_result import ProbeResult
from tests.targets.bundles import moved

CHILD = Path(__file__).with_name("sanitize_child.py")
PROBE = Path(probe.__file__).parent
DIALECT = {
    "mlx-vlm": get("mlx-vlm", "deepseek_v4"),
    "rapid-mlx": get("rapid-mlx", "deepseek_v4"),
    "jang-strict": get("vmlx", "deepseek_v4"),
}
"""The target whose module paths a runtime has."""

BUNDLES = [
    ("native", "mlx-vlm", "mlx-vlm"),
    ("native", "rapid-mlx", "rapid-mlx"),
    ("q3-mixed", "mlx-vlm", "mlx-vlm"),
    ("q3-mixed", "rapid-mlx", "rapid-mlx"),
    ("universal", "universal", "mlx-vlm"),
    ("universal", "universal", "rapid-mlx"),
    ("universal", "universal", "jang-strict"),
]
"""Recipe, target, and the runtime that loads the bundle."""


def interpreter(runtime: str) -> Path:
    variable = probes()[runtime].variable
    if variable not in os.environ:
        pytest.skip(f'{variable} is not set: eval "$(sh scripts/runtimes)"')
    return Path(os.environ[variable])


def placed(plan: Plan, checkpoint: Checkpoint) -> list[tuple[Slot, PlannedModule]]:
    slots = {group.names: group.slot for group in checkpoint.groups}
    return [(slots[module.sources], module) for module in plan.modules]


def fused(runtime: str, slot: Slot) -> bool:
    """Rapid-MLX puts the rows of up behind those of gate when it loads."""
    return runtime == "rapid-mlx" and slot.row.role == "routed-expert" and slot.row.projection == "up"


@pytest.mark.parametrize(("recipe", "target", "runtime"), [*BUNDLES, ("q4q8", "vmlx", "jang-strict")])
def test_a_full_size_bundle_loads_strictly(
    full: Checkpoint, tmp_path: Path, recipe: str, target: str, runtime: str
) -> None:
    """Every name and shape of V4-Flash, with all 256 experts, through the runtime's own loader; no weight is read."""
    plan = make_plan(moved(recipe, target), full)
    bundle = build_headers(plan, full, tmp_path / "bundle")
    seen = probe_runtime(bundle, runtime, interpreter(runtime), tokens=0)
    assert [finding.message for finding in runtime_findings(seen)] == []
    assert (seen.loaded, seen.missing, seen.unexpected, seen.misshapen) == (True, (), (), ())
    loaded = [(slot, module) for slot, module in placed(plan, full) if module.path is not None]
    kept = [(slot, module) for slot, module in loaded if not fused(runtime, slot)]
    assert seen.parameters == sum(len(module.parts) for _, module in kept)  # a loader may drop what has no weights
    assert {module.path: (module.bits, module.group_size, module.mode) for module in seen.modules} == {
        DIALECT[runtime].path(slot): (entry["bits"], entry["group_size"], entry["mode"])
        for slot, module in kept
        if (entry := module.format.quantization())
    }


@pytest.fixture(scope="module")
def run(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[ProbeResult, np.ndarray]]:
    """What a runtime says of a recipe's tiny bundle, and its logits; each is built and run once."""

    @cache
    def bundle(recipe: str, target: str) -> Path:
        out = build(make_plan(moved(recipe, target), tiny), tiny, tmp_path_factory.mktemp("tiny") / recipe)
        assert check_contract(out, get(target, "deepseek_v4")).findings == ()
        return out

    @cache
    def result(recipe: str, target: str, runtime: str) -> tuple[ProbeResult, np.ndarray]:
        logits = tmp_path_factory.mktemp("logits") / "logits.npy"
        found = probe_runtime(bundle(recipe, target), runtime, interpreter(runtime), logits=logits)
        return found, np.load(logits)

    return result


Run = Callable[[str, str, str], tuple[ProbeResult, np.ndarray]]


@pytest.mark.parametrize(("recipe", "target", "runtime"), BUNDLES)
def test_a_tiny_bundle_runs_past_the_window_and_the_indexer(run: Run, recipe: str, target: str, runtime: str) -> None:
    seen, logits = run(recipe, target, runtime)
    assert [finding.message for finding in runtime_findings(seen)] == []
    assert (seen.loaded, seen.missing, seen.unexpected, seen.misshapen) == (True, (), (), ())
    assert seen.forward is not None
    assert (seen.forward.tokens, seen.forward.long, seen.forward.decoded) == (136, True, 4)
    assert logits.shape == (136, 512)
    assert np.isfinite(logits).all()
    assert (logits.std(axis=1) > 0.5).all()


@pytest.mark.parametrize("recipe", ["native", "q3-mixed", "universal"])
def test_a_recipe_gives_the_same_logits_in_two_runtimes(run: Run, recipe: str) -> None:
    first, second = [run(*row)[1] for row in BUNDLES if row[0] == recipe and row[2] != "jang-strict"]
    assert np.array_equal(first, second)


def test_another_implementation_agrees_on_the_universal_bundle(run: Run) -> None:
    first, other = (run("universal", "universal", runtime)[1] for runtime in ("mlx-vlm", "jang-strict"))
    assert compare(first, other)["cosine"] > 0.99


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
                                                 ("universal", "jang-strict"), ("vmlx", "jang-strict")])  # fmt: skip
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
    config = checkpoint.folder.root / "config.json"
    command = [*map(str, (interpreter(runtime), CHILD, PROBE)), runtime, str(config), str(folder / "tensors.json")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    result = json.loads(ended.stdout.splitlines()[-1])
    return {name: [int(value) for value in values] for name, values in result.items()}


def fuse(expected: dict[str, list[int]]) -> dict[str, list[int]]:
    """Gate and up of each routed expert, one behind the other, under gate's name."""
    found = dict(expected)
    for name in [name for name in found if ".switch_mlp.up_proj." in name]:
        gate = name.replace("up_proj", "gate_proj")
        pairs = zip(found[gate], found.pop(name), strict=True)
        found[gate] = list(dict.fromkeys(number for pair in pairs for number in pair))
    return found
