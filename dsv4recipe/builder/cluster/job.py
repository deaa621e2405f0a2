"""Floor 4, builder, cluster. What a worker is told of a build, and what it must see as the client does."""

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
"""Seconds between looks for a file that another machine wrote: network file systems remember what was not there."""


NO_FOLDER = "the output folder"
"""Among the facts only where it is missing."""

IMPORTANCE = "the importance file"
"""Among the facts: the sha256 that a machine finds; of the client, that of what it has read."""


@dataclass(frozen=True, slots=True)
class Job:
    """A build as its workers know it: some hundred bytes. `folder` is OUT.partial, which all share; `token` that of the
    lease on it: whoever finds another one there has no more business in it. `importance` is a file
    and its sha256, both "" without one. `zeros`: a matrix of the source may be nothing but zeros."""

    source: str
    folder: str
    token: str
    sha256: tuple[tuple[str, str], ...]
    importance: tuple[str, str] = ("", "")
    zeros: bool = False

    @property
    def topic(self) -> str:
        """Under which workers send their messages; also the group of the tasks' keys."""
        return f"dsv4recipe-{self.token[:12]}"


@lru_cache(maxsize=2)
def opened(job: Job) -> tuple[Plan, Checkpoint, Guide | None]:
    """Returns the plan that lies in the shared folder; checkpoint and importance file as this machine sees them. Raises
    RecipeError."""
    path = Path(job.folder, PLAN_NAME)
    with disk.named_errors(path, "reading the plan"):
        text = disk.read_small(path)
    if text is None:
        raise RecipeError("B054", "the output folder is not there, or another one", Where(job.folder))
    importance = load_guide(job.importance[0]) if job.importance[0] else None
    return load_plan(text.decode(), str(path)), open_checkpoint(job.source), importance


def facts(job: Job, threads: int) -> dict[str, str]:
    """What must be the same on every machine of a build, by what it is called in messages. Raises nothing of ours: what
    cannot be seen is said in its place."""
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
    """Returns one line per fact that is not alike, here first."""
    return [
        f"{name}: {here.get(name, 'unknown')[:300]} here, {there.get(name, 'unknown')[:300]} there"
        for name in dict.fromkeys((*here, *there))
        if here.get(name) != there.get(name) and name in there
    ]


def appeared(path: Path) -> bytes | None:
    """Returns the content of a small file that another machine just wrote; None if it does not appear. Raises
    RecipeError."""
    for pause in _LOOKS:
        time.sleep(pause)
        with disk.named_errors(path, "reading"):
            found = disk.read_small(path)
        if found is not None:
            return found
    return None


def is_ours(job: Job) -> bool:
    """Returns whether the build still holds the folder. Raises RecipeError B011."""
    return lease.token_of(Path(job.folder)) == job.token


@cache
def _program() -> str:
    """Returns sha256 over the program's own source files: a version number may lie."""
    root = Path(dsv4recipe.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
