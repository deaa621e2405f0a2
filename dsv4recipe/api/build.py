"""Floor 5, api. `build` turns a plan and its checkpoint into a finished bundle, or leaves nothing under its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.api.lock import held_to, lock_path
from dsv4recipe.api.named import AnyPlan, Planner
from dsv4recipe.api.subjects import AnyCheckpoint
from dsv4recipe.builder import run
from dsv4recipe.builder.engine import Engine
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.options import BuildOptions
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.evaluation.bound import check_evidence
from dsv4recipe.evaluation.evidence import Evidence, load_evidence
from dsv4recipe.paths import as_path
from dsv4recipe.plan.model import Plan

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


def build(
    plan: AnyPlan,
    checkpoint: AnyCheckpoint,
    out: str | Path,
    *,
    workers: int | None = None,
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    source_sha256: Mapping[str, str] | None = None,
    importance: Guide | str | Path | None = None,
    scratch: int | None = None,
    scratch_dir: str | Path | None = None,
    engine: Engine = run_shards,
    locked: bool = False,
    allow_zeros: bool = False,
    evidence: str | Path | None = None,
) -> Path:
    """Builds a bundle at `out` and returns its path. Run again, it continues; if finished, it does nothing.

    `plan` is a plan, or a recipe or file that is planned with `checkpoint`. With `locked`, a recipe must have a lock
    that matches the present state. `workers` threads encode (default: one per core). `on_event` gets the events of the
    build as plain dicts, as `build --json` prints them (schema: `dsv4recipe schema events`). Their `work` is what a
    progress bar should count; it adds up to that of plan_loaded. `source_sha256` maps source files to the digests that
    they must have. `importance` is the file that the plan was made with. If the source is on the hub, at most `scratch`
    bytes (default: 20 GiB) of it lie in `scratch_dir` (default: beside `out`) at a time. `engine` makes the shards:
    threads here, or a `builder.cluster.engine.DaskEngine`. `allow_zeros` permits a matrix of the source to be all
    zeros.
    `evidence` is a file of `evaluate -o` about this recipe: the manifest keeps it, and the card says what was measured,
    and on what.

    Raises RecipeError (B0xx, F00x, H0xx, I020, M03x, with `locked` P05x), and what planning raises. KeyboardInterrupt,
    which SIGTERM raises too, leaves a folder that the next build continues, with either engine.
    """
    planner = Planner(checkpoint, importance)
    made = plan_to_build(plan, planner, locked)
    measured = None if evidence is None else evidence_for(as_path(evidence), made, planner.checkpoint)
    options = BuildOptions(
        workers=workers,
        on_event=on_event,
        source_sha256=source_sha256 or {},
        importance=planner.importance,
        scratch=scratch,
        scratch_dir=scratch_dir,
        engine=engine,
        allow_zeros=allow_zeros,
        evidence=None if measured is None else measured.data,
        quality="" if measured is None else measured.sentence_for(made),
    )
    return run.build(made, planner.checkpoint, out, options)


def evidence_for(path: Path, plan: Plan, checkpoint: Checkpoint | None = None) -> Evidence:
    """Returns the evidence in a file, which must be about this plan or its recipe. Raises RecipeError M030, M031."""
    found = load_evidence(path)
    check_evidence(found, plan, path, checkpoint)
    return found


def plan_to_build(plan: AnyPlan, planner: Planner, locked: bool = False) -> Plan:
    """Returns what is to be built. Raises RecipeError P050 to P053 if it must be `locked` and is not, P022 for a bundle
    that holds no plan."""
    if locked:
        return held_to(str(plan), planner.source_for(str(plan)), lock_path(str(plan)), planner.importance)
    return planner.plan(plan)
