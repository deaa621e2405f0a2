"""Floor 4, builder. Handles the work folder OUT.partial, and OUT: every state that a build may find, and what it does.

`STATES` is the contract in words, and the table of the reliability page is generated from it. `WorkFolder` is the only
code that looks at OUT and OUT.partial as a whole, and that gives OUT its name. Reads, writes and renames files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.builder import journal, lease, resumable
from dsv4recipe.builder.containers import making_of
from dsv4recipe.builder.lease import Lease
from dsv4recipe.builder.publish import BESIDE
from dsv4recipe.bundle.files import check_files
from dsv4recipe.bundle.manifest import PLAN_NAME, manifest_path, read_manifest
from dsv4recipe.bundle.places import NAME
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.units import counted


@dataclass(frozen=True, slots=True)
class State:
    """What `build` may find at OUT and OUT.partial, and what it does then; `code` is that of an error."""

    found: str
    does: str
    code: str = ""


STATES = (
    State("nothing", "makes `OUT.partial/` and takes the lease"),
    State(
        "`OUT.partial/` of this plan, lease free or stale",
        "sweeps temporaries, hashes every journaled shard again, goes on",
    ),
    State("`OUT.partial/` of another plan, with nothing finished in it", "makes it its own"),
    State("`OUT.partial/` of another plan", "refuses (B003): which plan, how many shards it had finished", "B003"),
    State("`OUT.partial/` with files but no plan", "refuses (B003): no build of this plan made them", "B003"),
    State("`OUT.partial/` with a live lease", "exit 1 (B032): host and process of the other builder", "B032"),
    State("`OUT.partial/` with a complete manifest", "checks every byte, takes out its own files, renames"),
    State("`OUT` of this plan", "says so, exit 0; removes what a GGUF build left beside it, touches nothing else"),
    State("`OUT` of this plan, without the evidence that is given now", "refuses (B034)", "B034"),
    State("`OUT` an empty folder", "takes its place"),
    State("`OUT` of anything else, or a link", "refuses (B001)", "B001"),
    State("no `OUT.gguf`, but the manifest of another file beside it", "refuses (B001)", "B001"),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of OUT.partial that is not part of the bundle: who writes it, and what the next build does with it."""

    name: str
    writer: str
    next: str


KEPT = (
    Kept(PLAN_NAME, "the build, before anything else", "must be the plan's own bytes; part of a folder bundle"),
    Kept(lease.NAME, "whoever holds the folder", "honours a live one, takes over a stale one"),
    Kept(journal.NAME, "the build, one line per finished file", "believes a line whose file hashes as it says"),
    Kept(resumable.NAME, "the thread that proves a GGUF", "goes on behind the last line that still holds"),
    Kept(".FILE.part", "the threads that write a GGUF", "reads it back up to what is proven"),
    Kept(".NAME.*.tmp", "any thread or worker, until it renames", "removes it"),
    Kept(NAME, "the build, when everything else is there", "publishes, after checking every byte"),
    Kept(BESIDE, "the build, while it publishes a GGUF", "writes it again"),
)


class WorkFolder:
    """`path` is OUT.partial for the bundle of `plan` at `out`."""

    def __init__(self, out: Path, plan: Plan):
        self.out = out
        self.plan = plan
        self.path = out.with_name(out.name + ".partial")
        self.making = making_of(plan)

    def check_name(self) -> None:
        """Raises RecipeError B009 if the name of the output means a folder but the bundle is a file, or the reverse."""
        places = self.making.places
        if not places.suits(self.out):
            hint = f"write -o {places.proposed(self.out)}"
            raise RecipeError("B009", f"the bundle is {places.noun}", Where(str(self.out)), hint)

    def finished(self) -> bool:
        """Returns whether the bundle of this plan is at OUT. Raises RecipeError B001 if something else is there."""
        out, digest = self.out, self.plan.digest
        hint = "choose another output, or move this folder away"
        if disk.is_empty_folder(out):
            return False
        found = read_manifest(out)
        if not os.path.lexists(out):
            beside = manifest_path(out)
            if os.path.lexists(beside) and (found is None or found.get("plan") != digest):
                what = "a file that is not a manifest" if found is None else "the manifest of another file"
                hint = "choose another output, or move this file away"
                raise RecipeError("B001", f"{what} is in the way", Where(str(beside)), hint)
            return False
        if found is None:
            message = "the output exists and is not a finished dsv4recipe bundle"
            raise RecipeError("B001", message, Where(str(out)), hint)
        if found.get("plan") != digest:
            notes = (f"it was built from plan {found.get('plan')}", f"this is plan {digest}")
            raise RecipeError("B001", "the output holds the bundle of another plan", Where(str(out)), hint, notes)
        return True

    def held(self) -> AbstractContextManager[Lease]:
        """Returns the lease on the folder, which is created if necessary. Raises RecipeError B003, B032."""
        disk.make_folder(self.path)
        return lease.held(self.path)

    def adopt(self, text: bytes) -> None:
        """Makes sure that the folder belongs to this plan, whose file is `text`, and removes what a killed build left
        in it. The plan is the first file written, so a folder without it is foreign. Raises RecipeError B003."""
        path = self.path / PLAN_NAME
        with disk.named_errors(path, "reading"):
            found = disk.read_small(path)
        if found is not None and found != text:
            if not self.give_up():
                raise self._of_another_plan(found)
            found = None
        known = (lease.NAME, PLAN_NAME)
        strays = [p.name for p in self.path.iterdir() if p.name not in known and not p.name.startswith(".")]
        if found is None and strays:
            message = f"the folder holds files that no build of this plan made: {', '.join(sorted(strays)[:5])}"
            raise RecipeError("B003", message, Where(str(self.path)), "remove the folder")
        disk.sweep(self.path)
        if found is None:
            write_file(path, text)

    def give_up(self) -> bool:
        """Removes plan and journal if a build left nothing worth keeping: no shard and no proven part of one. Returns
        whether it did."""
        books = (journal.NAME, resumable.NAME)
        known = {lease.NAME, PLAN_NAME, *books}
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
        if names - known or any((self.path / name).stat().st_size for name in names & set(books)):
            return False
        for name in (*books, PLAN_NAME):
            disk.remove(self.path / name)
        return True

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """Removes the folder at the end, if nothing is left in it."""
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def complete(self) -> bool:
        """Returns whether a build died between its manifest and its last rename, with every byte in place."""
        found = read_manifest(self.path)
        if found is None or found.get("plan") != self.plan.digest:
            return False
        return not check_files(self.path, found, self.making.own)

    def check_evidence(self, place: Path, evidence: Mapping[str, Any] | None) -> None:
        """Raises RecipeError B034 where evidence was given that the finished bundle at `place` does not hold: nothing
        of a finished bundle is ever changed."""
        held = (read_manifest(place) or {}).get("evidence")
        if evidence is not None and held != evidence:
            message = "the bundle is finished, and it holds " + ("other evidence" if held else "no evidence")
            hint = "remove it and build again with --evidence, or name another output"
            raise RecipeError("B034", message, Where(str(place)), hint)

    def remove_all_but(self, finished: Iterable[str]) -> None:
        """Removes the shards that are not in the journal."""
        with disk.named_errors(self.path, "removing unfinished shards"):
            for file in {shard.file: None for shard in self.plan.shards if shard.file not in finished}:
                disk.remove(self.path / file)

    def publish(self, mine: Lease) -> None:
        """Gives the complete work the name that the user asked for. Raises RecipeError B010, B011, B033."""
        mine.check()
        self.making.publish(self.path, self.out, self.plan, mine, self.finished)

    def tidy(self) -> None:
        """Removes what may be left of the work once OUT is complete."""
        self.making.tidy(self.path, self.plan)

    def leave(self, mine: Lease) -> None:
        """Releases the folder, because another builder has finished in the meantime."""
        mine.release()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _of_another_plan(self, found: bytes) -> RecipeError:
        source = ""
        try:
            other = load_plan(found.decode(), str(self.path / PLAN_NAME))
            name = f"plan {other.digest}"
            if other.source.revision != self.plan.source.revision:
                source = f" of {other.source.model} at {other.source.revision or 'no revision'}"
        except (RecipeError, ValueError):
            name = "a plan that this version cannot read"
        shards = counted(journal.lines(self.path), "finished shard")
        notes = (f"it is of {name}{source}, with {shards}", f"this is plan {self.plan.digest}")
        hint = "finish that build, or remove the folder"
        return RecipeError("B003", "unfinished work of another plan is in the way", Where(str(self.path)), hint, notes)
