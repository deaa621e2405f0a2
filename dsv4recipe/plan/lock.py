"""Floor 3, plan. Writes the lock, which holds everything a build depends on, and finds what changed since. Pure.

It holds no time, host, user or path: the same recipe and source give the same bytes on any machine. A lock is stale if
and only if locking again would write different bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.plan.content import canonical_json
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.version import VERSION

LOCK_VERSION = 1
Moved = tuple[str, str, str]
_GONE = "none"


def lock_text(plan: Plan, checkpoint: Checkpoint, parents: Sequence[tuple[str, str]], encoders: str) -> str:
    """Returns the text of recipe.lock. `parents` are (reference as written, digest of its content), nearest first.
    `encoders` is the version of the encoders, which affects the bytes."""
    source = plan.source
    model, revision = claimed(plan.source)
    data: dict[str, Any] = {
        "lock": LOCK_VERSION,
        "plan": plan.digest,
        "recipe": dict(plan.recipe),
        "parents": [{"extends": reference, "sha256": digest} for reference, digest in parents],
        "source": {
            "model": model,
            "revision": revision,
            "family": source.family,
            "config": source.config_digest,
            "files": {
                header.file: {"size": header.size, "header": header.digest} for header in checkpoint.folder.files
            },
        },
        "tool": {"name": "dsv4recipe", "version": VERSION, "encoders": encoders},
    }
    if plan.importance is not None:
        data["importance"] = plan.importance.data()
    return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def content_digest(data: Any) -> str:
    """Returns the sha256 of plain data: what a recipe says, without comments and layout."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def read_lock(text: str, file: str) -> dict[str, Any]:
    """Returns the lock in `text`. Raises RecipeError P051 if it is not a lock, or has another version."""
    try:
        data = parse_json(text.encode())
        version = data["lock"]
        if not isinstance(data["recipe"]["rules"], list) or not isinstance(data["source"]["files"], dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecipeError("P051", "this is not a lock", Where(file), "`dsv4recipe lock` writes one") from None
    if version != LOCK_VERSION:
        message = f"the lock has version {version!r}, but this version reads {LOCK_VERSION}"
        raise RecipeError("P051", message, Where(file), "run `dsv4recipe lock` again")
    return dict(data)


def moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Moved, ...]:
    """Returns (what, before, after) of every value that differs between two locks. Causes come before the plan, which
    follows from them."""
    found = list(_walk("", old, new))
    return tuple(sorted(found, key=lambda each: (each[0] == "plan", each[0])))


def check_lock(locked: str, now: str, file: str, consequences: Iterable[str] = ()) -> None:
    """Raises RecipeError P050 unless `now`, the lock that locking again would write, equals `locked`. `consequences`
    are lines that say what the changes mean for the bundle."""
    if locked == now:
        return
    lines = [_line(*each) for each in moved(read_lock(locked, file), json.loads(now))]
    lines = lines or ["only its text was edited; its content is the same"]
    shown = [*lines[:_SHOWN], *([f"and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else [])]
    hint = "run `dsv4recipe lock` to pin the present state, or restore the locked one"
    raise RecipeError("P050", "the lock is stale", Where(file), hint, [*shown, *consequences])


_SHOWN = 20


def _line(what: str, before: str, after: str) -> str:
    if before == _GONE:
        return f"+ {what}: {after}"
    return f"- {what}: {before}" if after == _GONE else f"~ {what}: {before} → {after}"


def _walk(path: str, old: Any, new: Any) -> Iterator[Moved]:
    if old == new and type(old) is type(new):
        return
    left, right = _table(old), _table(new)
    if left is None or right is None:
        yield path, _short(old), _short(new)
        return
    for key in dict.fromkeys([*left, *right]):
        inside = f"{path}.{key}" if path else str(key)
        yield from _walk(inside, left.get(key, _Absent), right.get(key, _Absent))
    shared = [key for key in left if key in right]
    if isinstance(old, list) and shared != [key for key in right if key in left]:
        yield f"{path} (order)", ", ".join(map(str, left)), ", ".join(map(str, right))


class _Absent:
    """Marks a value that one side does not have."""


def _table(value: Any) -> Mapping[str, Any] | None:
    """Returns a mapping unchanged, and a list of rules or parents as a mapping by name."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        names = [str(each.get("id", each.get("extends", number))) for number, each in enumerate(value)]
        return dict(zip(names, value, strict=True)) if len(set(names)) == len(names) else None
    return None


def _short(value: Any) -> str:
    if value is _Absent:
        return _GONE
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:12]
    return text if len(text) <= 100 else f"{text[:97]}…"
