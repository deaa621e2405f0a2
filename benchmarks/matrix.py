"""Every shipped recipe × every target × every runtime: builds at tiny size, proves, writes docs/compatibility.md.

    python -m benchmarks.matrix [-o docs/compatibility.md] [--work DIR] [--recipe NAME]...

`sh scripts/matrix` makes the environments first. --work keeps the checkpoint, the bundles and one result file per cell:
a second run with the same folder goes on where the first was. --recipe runs the cells of those recipes alone and writes
no page. A runtime without a known interpreter is skipped by name.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.compatibility_page import page
from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.shipped import recipe_path, shipped_recipes
from dsv4recipe.targets import get, known, running, vmlx_sidecar
from dsv4recipe.verifier.contract import check_contract
from dsv4recipe.verifier.probe_result import ProbeResult
from dsv4recipe.verifier.runtime import REFERENCE, probe_runtime
from dsv4recipe.verifier.runtime_findings import runtime_findings
from dsv4recipe.verifier.runtimes import ALL, Asked, Chosen, choose

TORCH = "DSV4RECIPE_TORCH_PYTHON"


@dataclass(frozen=True)
class Legal:
    """A recipe that plans for a target, or the codes of the refusal."""

    recipe: str
    target: str
    plan: Plan | None
    refused: tuple[str, ...] = ()


def legal(checkpoint: Checkpoint, recipes: tuple[str, ...]) -> Iterator[Legal]:
    """Every recipe with `target.runtime` set to every target of the checkpoint's family, nothing else changed. Engines
    of GGUF files are not in it: they run in tests/gguf."""
    for name in recipes:
        recipe = load_recipe(name)
        for target, found in running(checkpoint.family.name).items():
            if found.container != "safetensors":
                continue
            try:
                moved = replace(recipe, target=replace(recipe.target, runtime=target))
                yield Legal(name, target, make_plan(moved, checkpoint))
            except RecipeError as error:
                yield Legal(name, target, None, tuple(sorted({each.code for each in error.diagnostics})))


def matrix_recipes() -> tuple[str, ...]:
    """The shipped recipes for V4-Flash that were written by hand. Those that `allocate` made name its 43 layers, and
    hold no format that the others lack; those of other releases run in tests/targets/test_other_releases.py."""
    made = [name for name in shipped_recipes() if "# Made by:" in recipe_path(name).read_text(encoding="utf-8")]
    return tuple(
        name
        for name in shipped_recipes()
        if name not in made
        and load_recipe(name).source.model == "deepseek-ai/DeepSeek-V4-Flash"
        and all(target.container == "safetensors" for target in known(load_recipe(name).target.runtime))
    )


def chosen_for(case: Legal) -> tuple[Chosen, ...]:
    """The runtimes that load a case's bundle."""
    assert case.plan is not None
    mxtq = any(module.format.kind == "mxtq" for module in case.plan.modules)
    return choose(ALL, Asked(Path(case.recipe), (case.target,), "deepseek_v4", mxtq), {})


def cell(case: Legal, chosen: Chosen, bundle: Path, source: Path, reference: Path | None) -> dict[str, Any]:
    """One row: what a runtime says of a case's bundle."""
    row: dict[str, Any] = {"recipe": case.recipe, "target": case.target, "runtime": chosen.runtime.name}
    if chosen.skipped is not None:
        return row | {"skipped": chosen.skipped.message.removeprefix("skipped: ")}
    packed = (bundle / vmlx_sidecar.NAME).is_file()
    result = probe_runtime(
        bundle, chosen.runtime.name, chosen.python, dense=source, decoded=packed, reference=reference
    )
    return (
        row
        | seen(result)
        | {"contract": [f.code for f in check_contract(bundle, get(case.target, "deepseek_v4")).findings]}
    )


def seen(result: ProbeResult) -> dict[str, Any]:
    """A probe's result as plain data, figures only."""
    alike = {name: getattr(result, name) for name in ("dense", "reference", "implementation")}
    return {
        "versions": dict(result.versions),
        "loaded": result.loaded,
        "missing": len(result.missing),
        "unexpected": len(result.unexpected),
        "forward": asdict(result.forward) if result.forward else None,
        "findings": sorted({finding.code for finding in runtime_findings(result)}),
        "replaced": list(result.replaced),
        **{name: asdict(found) if found else None for name, found in alike.items()},
    }


def torch_logits(source: Path, work: Path) -> tuple[Path | None, dict[str, Any]]:
    """The reference's logits and what it is, or None and why it was skipped."""
    python = os.environ.get(TORCH)
    if not python:
        return None, {"skipped": f"{TORCH} names no interpreter"}
    logits = work / "reference.npy"
    result = probe_runtime(source, REFERENCE, Path(python), logits=logits)
    if result.forward is None or not result.forward.finite or result.missing or result.unexpected:
        raise SystemExit(f"the reference did not run: {result.failures or result.detail}")
    return logits, {"versions": dict(result.versions), "tokens": result.forward.tokens}


def run(work: Path, recipes: tuple[str, ...]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All rows of some recipes, and what the reference is. Results in `work` are taken as they are."""
    source, cells = work / "source", work / "cells"
    if not source.exists():
        synthesize(source)
    cells.mkdir(exist_ok=True)
    checkpoint = open_checkpoint(source)
    reference, about = torch_logits(source, work)
    rows = []
    for case in legal(checkpoint, recipes):
        if case.plan is None:
            rows.append({"recipe": case.recipe, "target": case.target, "refused": list(case.refused)})
            continue
        chosen = chosen_for(case)
        if not chosen:
            rows.append({"recipe": case.recipe, "target": case.target, "runtime": "", "skipped": NOWHERE[case.target]})
        bundle = work / f"{case.recipe} for {case.target}"
        for each in chosen:
            stored = cells / f"{bundle.name} in {each.runtime.name}.json"
            if not stored.exists():
                build(case.plan, checkpoint, bundle)
                row = cell(case, each, bundle, source, reference)
                stored.write_text(json.dumps(row), encoding="utf-8")
                print(stored.stem, "skipped" if "skipped" in row else row["findings"] or "ok", flush=True)
            rows.append(json.loads(stored.read_text(encoding="utf-8")))
    return rows, about


NOWHERE = {"mlx-lm-fork": "the branch is in no package registry, and no other runtime has its names"}
"""Targets whose bundles no installable runtime loads, and why."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/compatibility.md"))
    parser.add_argument("--work", type=Path, help="keep everything here and go on from it")
    parser.add_argument("--recipe", action="append", choices=matrix_recipes(), help="only its cells, and no page")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matrix-") as own:
        work = args.work or Path(own)
        work.mkdir(parents=True, exist_ok=True)
        rows, about = run(work, tuple(args.recipe or matrix_recipes()))
    if not args.recipe:
        args.output.write_text(page(rows, about), encoding="utf-8")
        print(f"written: {args.output}")


if __name__ == "__main__":
    main()
