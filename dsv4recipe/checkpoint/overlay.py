"""Floor 1, checkpoint. An index against the shards beside it: what it supersedes, and whether it is theirs at all. This
module is pure.

A release that changes a few tensors of another one often adds a file with them and an index that names it; the old
copies stay where they were. The index is what loaders go by, so it decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsv4recipe.checkpoint.listing import INDEX
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.headers.safetensors import Header

_SHOWN = 8


def settled(
    weight_map: Mapping[str, str], headers: Sequence[Header], place: str
) -> tuple[tuple[Header, ...], tuple[Diagnostic, ...]]:
    """Returns the headers without the tensors that the index takes from another file, which holds them; and C029, a
    warning, where there are such."""
    held = {header.file: {entry.name for entry in header.tensors} for header in headers}
    old: dict[str, list[str]] = {}
    kept = []
    for header in headers:
        others = [
            entry.name
            for entry in header.tensors
            if (file := weight_map.get(entry.name, header.file)) != header.file and entry.name in held.get(file, ())
        ]
        if not others:
            kept.append(header)
            continue
        old[header.file] = others
        gone = frozenset(others)
        kept.append(replace(header, tensors=tuple(entry for entry in header.tensors if entry.name not in gone)))
    if not old:
        return tuple(headers), ()
    names = [name for some in old.values() for name in some]
    new = sorted({weight_map[name] for name in names})
    message = (
        f"{INDEX} takes {_tensors(len(names))} from {', '.join(new[:3])}{' …' * (len(new) > 3)}; older copies in "
        f"{len(old):,} other file{'s' * (len(old) > 1)} are not used, first {names[0]}"
    )
    hint = "loaders that read every file instead of the index may take the older copies; a bundle has one of each"
    notes = [f"{name}: {weight_map[name]}, not {file}" for file, some in old.items() for name in some]
    where = Where(f"{place}/{INDEX}", subject=names[0])
    return tuple(kept), (Diagnostic("C029", message, where, hint, "warning", tuple(notes)),)


def refuse_stale(weight_map: Mapping[str, str], headers: Sequence[Header], place: str) -> None:
    """Raises RecipeError C068 where the files of a complete set hold every tensor that the index names, each once, and
    the index says other files: it is left from before the set was written. `headers` are those of the whole set."""
    names = [entry.name for header in headers for entry in header.tensors]
    if len(set(names)) != len(names) or not set(weight_map) <= set(names):
        return
    wrong = sum(entry.name in weight_map and weight_map[entry.name] != h.file for h in headers for entry in h.tensors)
    message = (
        f"{INDEX} is not that of these files: of the {_tensors(len(names))} that they hold, it names another file for "
        f"{wrong:,} and none for {len(names) - len(weight_map):,}; the files are a complete set without it"
    )
    hint = f"remove {INDEX}: a complete set needs none"
    raise RecipeError("C068", message, Where(f"{place}/{INDEX}"), hint)


def _tensors(count: int) -> str:
    return f"{count:,} tensor{'s' * (count != 1)}"
