"""What the fault tests build: small checkpoints of the real layout, cut into many shards or few."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe import build, make_plan, open_checkpoint
from dsv4recipe.builder import journal, lease, shard, side
from dsv4recipe.bundle.files import check_files
from dsv4recipe.bundle.manifest import read_manifest
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import changed


@dataclass(frozen=True)
class World:
    """A plan with its checkpoint, and the digests of the bundle that an undisturbed build makes of it."""

    plan: Plan
    checkpoint: Checkpoint
    plan_text: str
    whole: Path
    digests: dict[str, str]
    guide: Guide | None = None

    def build(self, out: Path, workers: int = 1) -> Path:
        with self.in_small():
            return build(self.plan, self.checkpoint, out, workers=workers, importance=self.guide)

    @contextlib.contextmanager
    def in_small(self) -> Iterator[None]:
        """Shards as small as these are read back in several steps too; and the text of the plan, which takes half the
        time of such a build and is the same each time, is made once."""
        before = side.dump_plan, shard.EXTENT
        side.dump_plan, shard.EXTENT = lambda plan: self.plan_text, 64 << 10
        try:
            yield
        finally:
            side.dump_plan, shard.EXTENT = before

    def check_finished(self, out: Path) -> None:
        """Raises AssertionError unless `out` is the whole bundle, to the byte, and no other file lies around it."""
        found = digests(out)
        differing = sorted(n for n in {*found, *self.digests} if found.get(n) != self.digests.get(n))
        if differing:
            raise AssertionError(f"{out} differs from an undisturbed build in {differing}")
        beside = [p.name for p in out.parent.iterdir() if p.name.startswith((out.name + ".", "." + out.name))]
        if beside:
            raise AssertionError(f"left beside the bundle: {beside}")

    def check_names(self, out: Path) -> None:
        """Raises AssertionError if a file under a final name is torn, or a manifest stands over bad data."""
        for folder in (out, partial(out)):
            for path in folder.glob("model-*.safetensors"):
                if sha256(path) != self.digests[path.name]:
                    raise AssertionError(f"{path} is torn")
            manifest = read_manifest(folder)
            if manifest is not None:
                findings = check_files(folder, manifest, frozenset((journal.NAME, lease.NAME)))
                findings = [f for f in findings if not f.message.startswith(".")]
                if findings:
                    raise AssertionError(f"a manifest over bad data: {findings}")


def partial(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def make_world(folder: Path, shard_size: str, layers: int = 2, experts: int | None = None) -> World:
    """A world whose source, and one undisturbed bundle, lie in `folder`."""
    synthesize(folder / "source", layers=layers, experts=experts)
    checkpoint = open_checkpoint(folder / "source")
    plan = make_plan(parse_recipe(changed("5GiB", shard_size), "recipe.yaml"), checkpoint)
    whole = build(plan, checkpoint, folder / "whole", workers=1)
    return World(plan, checkpoint, dump_plan(plan), whole, digests(whole))


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Leases that are found stale within milliseconds."""
    before, lease.PACE = lease.PACE, lease.Pace(beat=0.02, patience=0.1, settle=0.001)
    try:
        yield
    finally:
        lease.PACE = before
