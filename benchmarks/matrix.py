"""Every shipped recipe × target × runtime: builds at tiny size and proves them; writes docs/evidence/compatibility.md.

    python -m benchmarks.matrix [-o docs/evidence/compatibility.md] [--work DIR] [--recipe NAME]...

`sh scripts/matrix` makes the environments first; llama.cpp runs where DSV4RECIPE_LLAMA_CPP_PYTHON names its interpreter
(scripts/llama-cpp). --work keeps the checkpoints, the bundles and one result file per cell: a second run with the same
folder goes on where the first was. --recipe runs the cells of those recipes alone and writes no page. A runtime without
a known interpreter is skipped by name.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compatibility_page import page
from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.weighed import uses_importance
from dsv4recipe.recipe.shipped import recipe_path, shipped_recipes
from dsv4recipe.runtimes import Target, known, running
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar
from dsv4recipe.verifier.contract.check import check_contract
from dsv4recipe.verifier.runtime.child import REFERENCE, probe_runtime
from dsv4recipe.verifier.runtime.choose import ALL, Asked, Chosen, choose
from dsv4recipe.verifier.runtime.findings import runtime_findings
from dsv4recipe.verifier.runtime.probe.likeness import compare
from dsv4recipe.verifier.runtime.probe.prompt import long_enough, token_ids
from dsv4recipe.verifier.runtime.probe_result import Forward, ProbeResult

TORCH = "DSV4RECIPE_TORCH_PYTHON"
LLAMA = "DSV4RECIPE_LLAMA_CPP_PYTHON"
LLAMA_CHILD = Path(__file__).parents[1] / "tests" / "gguf" / "llama_child.py"

NOWHERE = {
    "mlx-lm-fork": "the branch is in no package registry, and no other runtime has its names",
    "ds4": "no ds4 binary is built here, and it takes models of the real size alone",
}
"""Targets whose bundles nothing here loads, and why."""

Sources = Callable[[str], Checkpoint]
"""A shipped recipe's name → the tiny checkpoint that it can be planned against."""


@dataclass(frozen=True)
class Legal:
    """A recipe that plans for a target on its checkpoint, or the codes of the refusal."""

    recipe: str
    target: Target
    source: Checkpoint
    plan: Plan | None
    refused: tuple[str, ...] = ()


def allocated(recipe: str) -> bool:
    """Whether `allocate` made it."""
    return "# Made by:" in recipe_path(recipe).read_text(encoding="utf-8")


def matrix_recipes() -> tuple[str, ...]:
    """The shipped recipes but those that `allocate` made: these name all 43 layers, more than a minute in each runtime
    at any width, and hold no format that the others lack. What needs a record stores the formats of what it extends."""
    return tuple(n for n in shipped_recipes() if not allocated(n) and not uses_importance(load_recipe(n)))


def one_file(recipe: str) -> bool:
    """Whether it is for an engine of GGUF files."""
    return any(target.container == "gguf" for target in known(load_recipe(recipe).target.runtime))


def legal(sources: Sources, recipes: tuple[str, ...]) -> Iterator[Legal]:
    """Every recipe with `target.runtime` set to every target of its release's family and of its container, nothing else
    changed."""
    for name in recipes:
        recipe, source = load_recipe(name), sources(name)
        for target in running(source.family.name).values():
            if (target.container == "gguf") != one_file(name):
                continue
            if target.engine is not None and target.engine.values:  # one size of model is compiled in
                yield Legal(name, target, source, None)
                continue
            moved = replace(recipe.target, runtime=target.name, backends=())  # backends are those of its own runtime
            try:
                yield Legal(name, target, source, make_plan(replace(recipe, target=moved), source))
            except RecipeError as error:
                yield Legal(name, target, source, None, tuple(sorted({each.code for each in error.diagnostics})))


def chosen_for(case: Legal) -> tuple[Chosen, ...]:
    """The runtimes of `verify --runtime` that load a case's bundle."""
    if case.plan is None or case.target.container == "gguf":
        return ()
    mxtq = any(module.format.kind == "mxtq" for module in case.plan.modules)
    return choose(ALL, Asked(Path(case.recipe), (case.target.name,), case.source.family.name, mxtq), {})


def runtimes_of(case: Legal) -> tuple[str, ...]:
    """The names of what a case's bundle is run in; "—" where there is nothing."""
    if case.refused:
        return ()
    if case.target.name in NOWHERE:
        return ("—",)
    return (case.target.name,) if case.target.container == "gguf" else tuple(c.runtime.name for c in chosen_for(case))


def cell(case: Legal, chosen: Chosen, bundle: Path, reference: Path | None) -> dict[str, Any]:
    """One row: what a runtime says of a case's bundle."""
    row: dict[str, Any] = {"runtime": chosen.runtime.name}
    if chosen.skipped is not None:
        return row | {"skipped": chosen.skipped.message.removeprefix("skipped: ")}
    packed = (bundle / vmlx_sidecar.NAME).is_file()
    source = case.source.folder.root
    result = probe_runtime(
        bundle, chosen.runtime.name, chosen.python, dense=source, decoded=packed, reference=reference
    )
    return row | seen(result) | {"contract": [each.code for each in check_contract(bundle, case.target).findings]}


def llama_cell(case: Legal, file: Path, reference: Path | None) -> dict[str, Any]:
    """One row: what llama.cpp says of a GGUF file. It refuses a file that lacks a tensor or has one too many."""
    row: dict[str, Any] = {"runtime": "llama.cpp"}
    python = os.environ.get(LLAMA)
    if not python:
        return row | {"skipped": f"{LLAMA} names no interpreter"}
    config = case.source.folder.config
    prompt, out = token_ids(0, long_enough(config), int(config["vocab_size"])), file.with_suffix(".npy")
    command = [python, str(LLAMA_CHILD), "logits", str(file), str(out), *map(str, prompt)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    logits = np.load(out)
    run = Forward(len(prompt), True, bool(np.isfinite(logits).all()), None, None)
    return row | {
        "versions": {"llama.cpp": said.split()[-1]},
        "loaded": True,
        "missing": 0,
        "unexpected": 0,
        "forward": asdict(run),
        "findings": [],
        "replaced": [],
        "dense": None,
        "implementation": None,
        "reference": compare(logits, np.load(reference)) if reference else None,
        "contract": [found.code for step in verify(file).steps for found in step.findings],
    }


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


def torch_logits(source: Checkpoint) -> tuple[Path | None, dict[str, Any]]:
    """The reference's logits and what it is, or None and why it was skipped."""
    python = os.environ.get(TORCH)
    if not python:
        return None, {"skipped": f"{TORCH} names no interpreter"}
    if source.family.name != "deepseek_v4":
        return None, {"skipped": f"transformers 5.23 has no class for {source.family.name}"}
    logits = source.folder.root.with_suffix(".npy")
    result = probe_runtime(source.folder.root, REFERENCE, Path(python), logits=logits)
    if result.forward is None or not result.forward.finite or result.missing or result.unexpected:
        raise SystemExit(f"the reference did not run: {result.failures or result.detail}")
    return logits, {"versions": dict(result.versions), "tokens": result.forward.tokens}


def sources_in(work: Path) -> Sources:
    """Tiny checkpoints, made when they are asked for: one for each release, and one for GGUF files, with rows that
    ggml's blocks fill."""
    releases = {release.model: name for name, release in RELEASES.items()}

    @cache
    def made(folder: str, release: str, **size: Any) -> Checkpoint:
        if not (work / folder).exists():
            synthesize(work / folder, release, **size)
        return open_checkpoint(work / folder)

    def source(recipe: str) -> Checkpoint:
        release = releases[load_recipe(recipe).source.model]
        if one_file(recipe):
            return made(f"{release}-256", release, preset="tiny-256")
        return made(release, release)

    return source


def run(work: Path, recipes: tuple[str, ...]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All rows of some recipes, and what the reference is. Results in `work` are taken as they are."""
    cells = work / "cells"
    cells.mkdir(exist_ok=True)
    references: dict[Path, tuple[Path | None, dict[str, Any]]] = {}
    rows: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    for case in legal(sources_in(work), recipes):
        root = case.source.folder.root
        start = {"recipe": case.recipe, "target": case.target.name, "release": root.name}
        chosen = {each.runtime.name: each for each in chosen_for(case)}
        if case.refused:
            rows.append(start | {"refused": list(case.refused)})
            continue
        for name in runtimes_of(case):
            if name == "—":
                rows.append(start | {"runtime": "", "skipped": NOWHERE[case.target.name]})
                continue
            assert case.plan is not None
            bundle = work / f"{case.recipe} for {case.target.name}{'.gguf' if one_file(case.recipe) else ''}"
            stored = cells / f"{bundle.name} in {name}.json"
            if not stored.exists():
                if root not in references:
                    references[root] = torch_logits(case.source)
                logits, told = references[root]
                build(case.plan, case.source, bundle)
                row = cell(case, chosen[name], bundle, logits) if name in chosen else llama_cell(case, bundle, logits)
                stored.write_text(json.dumps(row | {"reference model": told}), encoding="utf-8")
                print(stored.stem, "skipped" if "skipped" in row else row["findings"] or "ok", flush=True)
            rows.append(start | json.loads(stored.read_text(encoding="utf-8")))
            about = about if "versions" in about else rows[-1].pop("reference model")
    return rows, about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/evidence/compatibility.md"))
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
