"""Floor 4, builder. Keeps the journal: one line per finished shard, which a resumed build checks and then trusts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file
from dsv4recipe.files.readback import hash_of

NAME = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished file. `task` is the digest of everything that decides its bytes. `zeros` names the source tensors with
    sectors of only zeros: how many, and out of how many."""

    task: str
    file: str
    size: int
    sha256: str
    zeros: dict[str, list[int]] = field(default_factory=dict)

    def line(self) -> str:
        said = asdict(self)
        if not self.zeros:
            del said["zeros"]
        return json.dumps(said, sort_keys=True)


def record(folder: Path, entry: Entry) -> None:
    """Appends a line and makes it durable. Raises RecipeError B010 or B011."""
    disk.append_line(folder / NAME, entry.line())


def mend(folder: Path) -> None:
    """Rewrites the journal without a torn last line after an append that failed, so that it does not matter what the
    failure left in memory or on disk. Raises RecipeError B010 or B011."""
    path = folder / NAME
    with disk.named_errors(path, "reading"):
        text = disk.read_small(path)
    if text:
        write_file(path, text[: text.rfind(b"\n") + 1])


def lines(folder: Path) -> int:
    """Returns how many files the journal lists as finished, for any plan."""
    with disk.named_errors(folder / NAME, "reading"):
        return (disk.read_small(folder / NAME) or b"").count(b"\n")


def finished(folder: Path, tasks: dict[str, str]) -> dict[str, Entry]:
    """Returns the journaled files that are still whole, by name. `tasks` maps file → task digest of this plan.

    A torn last line (no newline, or no valid entry) is dropped and its file is built again. A line of another task is
    an error (B031), as is any other broken line (B030). A file whose size or sha256 differs from its line is built
    again.
    """
    path = folder / NAME
    with disk.named_errors(path, "reading"):
        text = disk.read_small(path)
    if text is None:
        return {}
    found = text.split(b"\n")
    torn = found.pop()
    if not torn and found and _entry(found[-1]) is None:
        torn = found.pop() + b"\n"
    if torn:
        write_file(path, text[: len(text) - len(torn)])
    entries: dict[str, Entry] = {}
    for number, line in enumerate(found, 1):
        where = Where(str(path), number, 1, max(1, len(line)), line.decode(errors="replace"))
        entry = _entry(line)
        hint = f"remove {folder} and build again"
        if entry is None:
            raise RecipeError("B030", "the build journal holds a broken line", where, hint)
        if tasks.get(entry.file) != entry.task:
            raise RecipeError("B031", "the journal holds a file that this plan and version would not make", where, hint)
        entries[entry.file] = entry
    return {name: entry for name, entry in entries.items() if _whole(folder / name, entry)}


def _entry(line: bytes) -> Entry | None:
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (entry.task, entry.file, entry.sha256)
    whole = type(entry.size) is int and all(isinstance(text, str) for text in texts) and is_counts(entry.zeros)
    return entry if whole else None


def is_counts(zeros: object) -> bool:
    """Returns whether this is a valid value for `zeros` of an entry."""
    return isinstance(zeros, dict) and all(
        isinstance(two, list) and len(two) == 2 and all(type(each) is int for each in two) for two in zeros.values()
    )


def _whole(path: Path, entry: Entry) -> bool:
    return path.is_file() and not path.is_symlink() and hash_of(path) == (entry.size, entry.sha256)
