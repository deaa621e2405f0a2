"""Floor 5, api. `evaluate` measures on text what a recipe, plan or bundle loses compared with its source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.api.in_runtime import InRuntime
from dsv4recipe.api.named import Planner
from dsv4recipe.api.subjects import is_bundle_on_hub
from dsv4recipe.bundle.manifest import shard_path
from dsv4recipe.bundle.places import may_be_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.evaluation.bound import weights_digest
from dsv4recipe.evaluation.evidence import FORMAT_VERSION, KIND, recipe_digest
from dsv4recipe.evaluation.run import SOURCE, Evaluation, Named, Told
from dsv4recipe.evaluation.text import DEFAULT, Text, read_text
from dsv4recipe.evaluation.unseen import check_unseen
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.forward.needs import Needs, check, needs
from dsv4recipe.forward.run import Settings
from dsv4recipe.forward.states import Kept
from dsv4recipe.forward.stored import BundleWeights
from dsv4recipe.forward.weights import PlannedWeights, SourceWeights
from dsv4recipe.paths import as_path
from dsv4recipe.plan.model import Plan
from dsv4recipe.records.model import Record
from dsv4recipe.version import VERSION

if TYPE_CHECKING:
    from os import PathLike


@dataclass(frozen=True)
class Wishes:
    """How to measure. `length` is the tokens of a sequence, `tokens` the most tokens used. `by` is "role", "layer" or
    "module". `runtime` is set if the figures of a bundle come from a real runtime and not from the reference
    implementation. `work` is a folder from which a killed evaluation continues (None: no folder). `every` is the
    seconds between two writes to it."""

    length: int = 512
    tokens: int | None = None
    by: str | None = None
    runtime: InRuntime | None = None
    work: Path | None = None
    every: float = 30.0
    settings: Settings = field(default_factory=Settings)


def evaluate(
    subject: str | PathLike[str],
    source: str | PathLike[str],
    *,
    text: Sequence[str | PathLike[str]] = (),
    against: str | PathLike[str] | None = None,
    importance: str | PathLike[str] | None = None,
    wishes: Wishes | None = None,
    told: Told = lambda what, done, total: None,
    before: Callable[[Needs, Text], None] = lambda needs, text: None,
) -> dict[str, Any]:
    """Returns what `subject` (a recipe, plan, bundle, also one on the hub, or the source) loses against the source, or
    against `against`.

    `text` names files (see `evaluation.text.read_text`); the default is the text that ships with the package. `before`
    is called with what the run needs, `told` with its progress. The result is the content of quality.json.

    Raises RecipeError M0xx before any work, K024 for text that the record has seen, and what plans and bundles raise.
    """
    wishes = wishes or Wishes()
    planner = Planner(str(source), None if importance is None else as_path(importance))
    checkpoint = planner.checkpoint
    a = _side("a", subject, planner)
    b = None if against is None else _side("b", against, planner)
    read = read_text([as_path(path) for path in text] or DEFAULT, checkpoint, wishes.length, wishes.tokens)
    runs = None if wishes.runtime is None else wishes.runtime.check(a.named.weights, wishes.by)
    if isinstance(planner.importance, Record):
        check_unseen(planner.importance, read)
    asked = [side.identity for side in (a, b) if side is not None]
    kept = _kept(wishes, checkpoint, read, asked)
    with Evaluation(checkpoint, read, wishes.settings, kept, told) as evaluation:
        named = [side.named for side in (None if runs else a, b) if side is not None]
        models = [SourceWeights(checkpoint), *(each.weights for each in named if each.weights is not None)]
        copies = 2 if wishes.by in (None, "role") else min(checkpoint.dims.layers, 64)
        found = needs(evaluation.run, models, copies if wishes.by else 0, wishes.work is not None)
        if wishes.runtime is not None and runs is not None:
            found = wishes.runtime.needs(found, runs, checkpoint, read)
        check(found, checkpoint, wishes.work or wishes.settings.scratch)
        before(found, read)
        other = None if b is None else b.named
        if wishes.runtime is not None and runs is not None:
            told(wishes.runtime.name, 0, 1)
            with wishes.runtime.logits(runs, read, wishes.work or wishes.settings.scratch) as made:
                told(wishes.runtime.name, 1, 1)
                model = Named("a", None, lambda first, last: made.values[first:last].copy())
                data = evaluation.measure(model, other) | {"runtime": made.facts}
        else:
            data = evaluation.measure(a.named, other, wishes.by)
    data["versions"] = {"dsv4recipe": VERSION, "encoders": ENCODER_VERSION} | data["versions"]
    head: dict[str, Any] = {"format_version": FORMAT_VERSION, "kind": KIND, "a": a.facts}
    if b is not None:
        head["b"] = b.facts
    return head | data | {"source": _source(checkpoint), "text": read.data()}


@dataclass(frozen=True)
class _Side:
    """One side; `identity` names everything that decides its numbers."""

    named: Named
    facts: dict[str, Any]
    identity: str = SOURCE


def _side(name: str, subject: str | PathLike[str], planner: Planner) -> _Side:
    """Returns a side with the facts that the result repeats."""
    said = str(subject)
    path = as_path(said)
    checkpoint = planner.checkpoint
    if said in (SOURCE, planner.source) or (path.is_dir() and path.resolve() == _place(checkpoint)):
        return _Side(Named(name), {"kind": SOURCE, "name": SOURCE})
    if is_bundle_on_hub(said):
        return _on_hub(name, said, checkpoint)
    if may_be_bundle(path):
        stored = BundleWeights(path, checkpoint)
        facts = _facts("bundle", path.name, stored.read.plan, stored.read.built)
        files = [shard_path(path, shard.file) for shard in stored.view.shards]
        return _Side(Named(name, stored), facts, f"{stored.read.plan.digest} {_stamps(files)}")
    plan = planner.side(said).plan
    if plan.importance is not None and planner.importance is None:
        hint = "pass the file that the plan names with --importance"
        raise RecipeError("M014", f"{said} weighs errors by an importance file, but none is given", hint=hint)
    title = str(plan.recipe.get("name") or path.stem)
    kind = "plan" if path.suffix == ".json" else "recipe"
    named = Named(name, PlannedWeights(plan, checkpoint, planner.importance, title))
    return _Side(named, _facts(kind, title, plan), plan.digest)


def _on_hub(name: str, said: str, checkpoint: Checkpoint) -> _Side:
    """Returns the side of a bundle on the hub: what is computed is read by ranges when it is needed, and not kept."""
    from dsv4recipe.publish.remote import address_of, mirror

    address = address_of(said)
    assert address is not None  # `is_bundle_on_hub` says so
    found = mirror(address)
    stored = BundleWeights(found.root, checkpoint, found.read)
    facts = _facts("bundle", str(found.repository.address), stored.read.plan, stored.read.built)
    return _Side(Named(name, stored), facts, f"{stored.read.plan.digest} {found.repository.address}")


def _facts(kind: str, name: str, plan: Plan, built: bool = True) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "recipe": plan.recipe.get("name"),
        "recipe_digest": recipe_digest(plan.recipe) if built else None,
        "plan": plan.digest if built else None,
        "runtime": plan.target["runtime"],
        "bytes": plan.tensor_bytes,
        "bits_per_weight": plan.bits_per_weight,
    }


def _source(checkpoint: Checkpoint) -> dict[str, Any]:
    folder = checkpoint.folder
    return {
        "name": Path(folder.place).name if "://" not in folder.place else folder.place,
        "config_digest": folder.config_digest,
        "header_digest": folder.header_digest,
        "weights_digest": weights_digest(checkpoint),
        "tensors": folder.tensors,
        "bytes": folder.bytes,
    }


def _stamps(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Returns size and time of files, which must not have changed when a run continues."""
    return [(state.st_size, state.st_mtime_ns) for state in (path.stat() for path in files if path.exists())]


def _place(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.folder.place).resolve()


def _kept(wishes: Wishes, checkpoint: Checkpoint, text: Text, plans: list[str]) -> Callable[[str], Kept] | None:
    """Returns the place of each model's states. Its name covers what decides their digits: versions, numbers, text,
    batches."""
    folder = wishes.work
    if folder is None:
        return None

    files = [Path(checkpoint.folder.place) / header.file for header in checkpoint.folder.files]
    source = [checkpoint.folder.header_digest, _stamps(files)]

    def place(name: str) -> Kept:
        how = [wishes.settings.device, wishes.settings.batch]
        said = [VERSION, ENCODER_VERSION, source, text.digest, how, name, plans]
        identity = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        return Kept(folder / name, identity, wishes.every, hold=True)

    return place
