"""Floor 4, verifier (step 3). Decodes the stored tensors and compares them with their source.

It works for bundles that dsv4recipe built, and for others whose formats their headers show. It streams piece by piece
like a build, so memory is limited by workers × a piece. It checks every tensor, or a sample that a seed reproduces.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dsv4recipe.bundle.read import BundlePlan
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.files.streamed import open_sources
from dsv4recipe.hub.scratch import Scratch, scratch_for
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.plan.weighed import check_same_importance, guide_words
from dsv4recipe.verifier.numbers.gap import Gap, Pair, measure
from dsv4recipe.verifier.numbers.pairs import chosen, comparable, other_source, pairs
from dsv4recipe.verifier.result import Step
from dsv4recipe.verifier.sees import told

_AHEAD = 8
"""Pieces per worker that wait or are measured, which limits memory for a bundle of any size."""


@dataclass(slots=True)
class Measured:
    """One module, with the gap of each measured source tensor by name (one for each routed expert)."""

    module: PlannedModule
    tensors: dict[str, Gap] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.module.path or self.module.disk

    @property
    def whole(self) -> Gap:
        """Returns the gap of all its tensors together."""
        found = Gap()
        for gap in self.tensors.values():
            found.add(gap)
        return found

    @property
    def worst(self) -> str:
        return max(self.tensors, key=lambda name: (not self.tensors[name].finite, self.tensors[name].rel_rmse))

    def data(self) -> dict[str, Any]:
        """Returns a row of `verify --json`. Numbers that are not finite are null."""
        module, whole = self.module, self.whole
        return {
            "module": self.name,
            "role": module.role,
            "projection": module.projection,
            "layer": module.layer,
            "format": module.format.label,
            "weights": whole.weights,
            "rel_rmse": _number(whole.rel_rmse),
            "max_error": _number(whole.max_error),
            "lossless": module.lossless,
            "worst": self.worst,
            "tensors": [
                {"tensor": name, "rel_rmse": _number(gap.rel_rmse), "max_error": _number(gap.max_error)}
                for name, gap in self.tensors.items()
            ],
        }


@dataclass(slots=True)
class Numbers:
    """The step and its table."""

    step: Step
    rows: list[Measured] = field(default_factory=list)

    def by_role(self) -> list[dict[str, Any]]:
        """Returns one row per role × format: the relative RMSE over all tensors, that of the worst, and the expected
        range."""
        alike: dict[tuple[str, str], list[Measured]] = {}
        for row in self.rows:
            alike.setdefault((row.module.role, row.module.format.label), []).append(row)
        return [_summary(role, name, rows) for (role, name), rows in alike.items()]


def _summary(role: str, name: str, rows: Sequence[Measured]) -> dict[str, Any]:
    whole, worst = Gap(), ("", Gap())
    for row in rows:
        whole.add(row.whole)
        found = row.worst
        if row.tensors[found].rel_rmse >= worst[1].rel_rmse:
            worst = (found, row.tensors[found])
    lossless = all(row.module.lossless for row in rows)
    expected = (0.0, 0.0) if lossless else rows[0].module.format.error_band()
    return {
        "role": role,
        "format": name,
        "modules": len(rows),
        "tensors": sum(len(row.tensors) for row in rows),
        "weights": whole.weights,
        "rel_rmse": _number(whole.rel_rmse),
        "max_error": _number(whole.max_error),
        "worst": worst[0],
        "worst_rel_rmse": _number(worst[1].rel_rmse),
        "band": None if expected is None else list(expected),
        "lossless": lossless,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_numbers(
    view: BundleView,
    read: BundlePlan,
    checkpoint: Checkpoint,
    *,
    sample: int = 0,
    seed: int = 0,
    workers: int | None = None,
    importance: Guide | None = None,
    scratch: Scratch | None = None,
    on_tensors: Callable[[int, int], None] = lambda done, of: None,
) -> Numbers:
    """Compares the tensors of a bundle with those of the checkpoint that it was made from.

    `scratch` is for a source on the hub. `sample`: that many source tensors, drawn by `seed` (0: all); mlx's decoder
    then reads every row of them. Findings:
    V300 another source, V301 tensors that are not stored as planned, V302 a lossless step that is not, V303 other bytes
    than the encoder gives (bundles of ours), V304 an error outside the band of its format, V305 mlx reads other
    numbers, V306 modules of a format that this version does not know, V307 numbers of another tensor, V308 NaN or Inf,
    V309 weighed by an importance file or activation record that is not given: those modules are not encoded again.
    V310 outputs that err more than without a record. `on_tensors` hears how many source tensors of how many are begun.
    Raises RecipeError I020 for another one than the plan's.
    """
    findings = list(other_source(read, checkpoint))
    if findings:
        return Numbers(Step("numbers", tuple(told(findings))))
    groups = {group.names: group for group in checkpoint.groups}
    modules, findings = comparable(view, read, groups)
    if read.plan.importance is None or importance is not None:
        check_same_importance(read.plan, importance)
    else:
        what, option = guide_words(read.plan.importance)
        message = f"modules that were weighed by {what} are not encoded again or judged by it, because it was not given"
        findings.append(Diagnostic("V309", message, Where(str(view.root)), f"add {option}", "warning"))
    names, total = chosen(modules, groups, sample, seed)
    rows = {module.disk: Measured(module) for module in modules}

    def work(by_source: bool) -> Iterable[tuple[str, Pair]]:
        found = pairs(view, modules, groups, names, judge_all=bool(sample))
        return sorted(found, key=lambda each: each[1].piece.place) if by_source else found

    source = open_sources(
        checkpoint.folder.source,
        lambda by_source: (pair.piece for _, pair in work(by_source)),
        scratch or scratch_for(view.root),
    )
    count = workers or (os.cpu_count() or 1) + 2  # some wait for the disk while others decode
    with ThreadPoolExecutor(count) as pool, source:
        jobs = (
            (disk, pair.piece.tensor, pool.submit(measure, pair, source, view.root, importance))
            for disk, pair in work(source.by_source)
        )
        begun = set[str]()
        for disk, tensor, job in _ahead(jobs, count * _AHEAD):
            begun.add(tensor)
            on_tensors(len(begun), len(names))
            rows[disk].tensors.setdefault(tensor, Gap()).add(job.result())
    measured = [row for row in rows.values() if row.tensors]
    for row in measured:
        findings += _judge(row, view, built=read.built)
    return Numbers(Step("numbers", tuple(told(findings)), _facts(measured, len(names), total, sample, seed)), measured)


def _ahead(jobs: Iterable[Any], count: int) -> Iterator[Any]:
    """Yields the jobs in order, `count` of them submitted ahead."""
    jobs = iter(jobs)
    waiting = list(islice(jobs, count))
    while waiting:
        yield waiting.pop(0)
        waiting += islice(jobs, 1)


def _facts(rows: Sequence[Measured], chosen: int, total: int, sample: int, seed: int) -> tuple[str, ...]:
    gaps = [gap for row in rows for gap in row.tensors.values()]
    weights = sum(gap.weights for gap in gaps)
    exact = sum(all(gap.max_error == 0 for gap in row.tensors.values()) for row in rows)
    said = f"{len(rows):,} modules, {weights:,} weights decoded; {exact:,} modules equal their source exactly"
    drawn = f"a sample: {chosen:,} of {total:,} source tensors (seed {seed}), every row of them also read by mlx"
    return (drawn, said) if sample else (said,)


def _judge(row: Measured, view: BundleView, *, built: bool) -> Iterator[Diagnostic]:
    """Yields each law, over the tensors of a module; a finding names the worst of those that break it."""
    module = row.module
    expected, most = module.format.error_band(), module.format.error_limit()
    laws = {
        "V308": [name for name, gap in row.tensors.items() if not gap.finite],
        "V303": [name for name, gap in row.tensors.items() if built and not gap.same_bytes],
        "V302": [name for name, gap in row.tensors.items() if module.lossless and gap.max_error],
        "V305": [name for name, gap in row.tensors.items() if not gap.judged],
        "V310": [name for name, gap in row.tensors.items() if gap.output > gap.plain],
    }
    lossy = {n: gap for n, gap in row.tensors.items() if gap.finite and not module.lossless}
    laws["V307"] = [name for name, gap in lossy.items() if gap.rel_rmse > most]
    if expected is not None:
        laws["V304"] = [
            n for n, gap in lossy.items() if not expected[0] <= gap.rel_rmse <= expected[1] and gap.rel_rmse <= most
        ]
    for code, names in laws.items():
        if names:
            worst = max(names, key=lambda name: row.tensors[name].rel_rmse if row.tensors[name].finite else math.inf)
            yield _finding(code, row, worst, len(names), view)


def _finding(code: str, row: Measured, worst: str, count: int, view: BundleView) -> Diagnostic:
    name, gap, fmt = row.name, row.tensors[worst], row.module.format.label
    low, high = row.module.format.error_band() or (0.0, 0.0)
    again = "build the bundle again"
    message, hint = {
        "V302": (f"planned lossless, but off by up to {gap.max_error:g}", again),
        "V303": ("the stored bytes are not those that the encoder gives for this source", again),
        "V304": (f"relative RMSE {gap.rel_rmse:.4g} is outside {low:.4g} to {high:.4g}, what {fmt} does",
                 "look at its source: heavy outliers, zeros, or a damaged tensor"),
        "V305": ("mlx reads other numbers from the stored bytes than we do", "report it"),
        "V307": (f"relative RMSE {gap.rel_rmse:.4g}: no {fmt} encoding of this source is so far off",
                 "another tensor, expert or projection lies here, or its parts were mixed up: build the bundle again"),
        "V310": ("for the recorded inputs its outputs err more than those of the same format without a record",
                 "look at the tokens that reach it: the record may hold too few of them"),
        "V308": ("NaN or Inf, stored or in the source", "a value left the range of its type: build with another one"),
    }[code]  # fmt: skip
    notes = (f"{count:,} of {len(row.tensors):,} experts, the worst {worst}",) if len(row.tensors) > 1 else ()
    where = Where(str(view.root), subject=name)
    return Diagnostic(
        code, f"{name}: {message}", where, hint, "warning" if code in ("V304", "V310") else "error", notes
    )
