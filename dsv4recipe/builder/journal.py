"""Floor 4, builder. The journal: one line per finished shard; a resumed build believes it after checking it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dsv4recipe.builder import disk
from dsv4recipe.errors import RecipeError, Where

NAME = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished file. `task` is the digest of everything that decides its bytes."""

    task: str
    file: str
    size: int
    sha256: str


def record(folder: Path, entry: Entry) -> None:
    disk.append_line(folder / NAME, json.dumps(asdict(entry), sort_keys=True))


def finished(folder: Path, tasks: dict[str, str]) -> dict[str, Entry]:
    """The journaled files that are still whole, by name. `tasks` maps file → task digest of this plan.

    A torn last line is dropped; a line of another task is an error (B031), as is any other broken line (B030). A file
    whose size or sha256 differs from its line is built again.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    text = path.read_bytes()
    lines = text.split(b"\n")
    torn = lines.pop()
    if torn:
        disk.write_file(path, text[: len(text) - len(torn)])
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        where = Where(str(path), number, 1, max(1, len(line)), line.decode(errors="replace"))
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            raise RecipeError(
                "B030", "a broken line in the build journal", where, f"remove {folder} and build again"
            ) from None
        if tasks.get(entry.file) != entry.task:
            hint = f"remove {folder} and build again"
            raise RecipeError("B031", "the journal holds a file that this plan and version would not make", where, hint)
        entries[entry.file] = entry
    return {name: entry for name, entry in entries.items() if _whole(folder / name, entry)}


def _whole(path: Path, entry: Entry) -> bool:
    return path.is_file() and disk.read_back(path) == (entry.size, entry.sha256)
