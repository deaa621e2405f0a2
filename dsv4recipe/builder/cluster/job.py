"""Floor 4, builder, cluster. Describes a build to its workers, and what a worker must see exactly as the client
does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import dsv4recipe
from dsv4recipe.builder import lease
from dsv4recipe.builder.preflight import check_memory
from dsv4recipe.bundle.manifest import PLAN_NAME
from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.formats.selftest import encoders_digest
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.records.read import load_guide
from dsv4recipe.version import VERSION

_LOOKS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Seconds between checks for a file that another machine wrote, because network file systems cache absent files."""


NO_FOLDER = "the output folder"
"""This fact is listed only if the folder is missing."""

IMPORTANCE = "the importance file"
"""This fact is the sha256 of the importance file; for the client, of what it has read."""


@dataclass(frozen=True, slots=True)
class Job:
    """Describes a build to its workers in a few hundred bytes. `folder` is OUT.partial, which all share. `token` is
    that of the lease on it; a worker that finds another token there must stop. `importance` is a file and its sha256,
    both "" without one. `zeros` allows a matrix of the source to be all zeros."""

    source: str
    folder: str
    token: str
    sha256: tuple[tuple[str, str], ...]
    importance: tuple[str, str] = ("", "")
    zeros: bool = False

    @property
    def topic(self) -> str:
        """Returns the topic of the workers' messages, which also groups the tasks' keys."""
        return f"dsv4recipe-{self.token[:12]}"


@lru_cache(maxsize=2)
def opened(job: Job) -> tuple[Plan, Checkpoint, Guide | None]:
    """Returns the plan in the shared folder, and the checkpoint and importance file as this machine sees them. Raises
    RecipeError."""
    path = Path(job.folder, PLAN_NAME)
    with disk.named_errors(path, "reading the plan"):
        text = disk.read_small(path)
    if text is None:
        raise RecipeError("B054", "the output folder is missing, or is another one", Where(job.folder))
    importance = load_guide(job.importance[0]) if job.importance[0] else None
    return load_plan(text.decode(), str(path)), open_checkpoint(job.source), importance


def facts(job: Job, threads: int) -> dict[str, str]:
    """Returns what must be the same on every machine of a build, by its name in messages. A fact that cannot be read is
    replaced by the reason; nothing is raised."""
    found = {"dsv4recipe": VERSION, "its program files": _program(), "the encoders' version": ENCODER_VERSION}
    try:
        plan, checkpoint, importance = opened(job)
        check_memory(plan, threads)
    except RecipeError as error:
        what = NO_FOLDER if error.diagnostics[0].code == "B054" else "plan and source"
        return found | {what: "; ".join(f"{each.code}: {each.message}" for each in error.diagnostics)}
    return found | {
        "plan and source": "readable",
        "the plan": plan.digest,
        "config.json of the source": checkpoint.folder.config_digest,
        "the shard headers of the source": checkpoint.folder.header_digest,
        IMPORTANCE: importance.sha256 if importance else "",
        "what the encoders make of fixed blocks": encoders_digest((m.format, m.source) for m in plan.modules),
    }


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Returns one line per fact that differs, with the client's value first."""
    return [
        f"{name}: {here.get(name, 'unknown')[:300]} here, {there.get(name, 'unknown')[:300]} there"
        for name in dict.fromkeys((*here, *there))
        if here.get(name) != there.get(name) and name in there
    ]


def appeared(path: Path) -> bytes | None:
    """Returns the content of a small file that another machine has just written, or None if it does not appear. Raises
    RecipeError."""
    for pause in _LOOKS:
        time.sleep(pause)
        with disk.named_errors(path, "reading"):
            found = disk.read_small(path)
        if found is not None:
            return found
    return None


def is_ours(job: Job) -> bool:
    """Returns whether this build still holds the folder. Raises RecipeError B011."""
    return lease.token_of(Path(job.folder)) == job.token


@cache
def _program() -> str:
    """Returns the sha256 over the program's own source files, because a version number may be wrong."""
    root = Path(dsv4recipe.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
