"""Floor 1, checkpoint. A download that is not complete, in one line. Lists names of a folder."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.checkpoint.source import FolderSource, Source
from dsv4recipe.errors import Diagnostic, Problems, Where

_UNFINISHED = (".incomplete", ".part", ".aria2", ".crdownload", ".download", ".!qB", ".partial")
"""What clients call a file while it comes."""
_CUT = "download it again"
"""The mend of a file that ends before its header says."""
_SHOWN = 8


def in_one_line(source: Source, files: int, problems: Problems) -> None:
    """Puts one C006 in place of the findings about files that are missing or cut short, where there are several, and
    says what a client has left unfinished. `files` is how many there should be."""
    missing = [each for each in problems.found if each.code == "C006"]
    cut = [each for each in problems.found if each.code in ("C040", "C047") and each.hint == _CUT]
    left = unfinished(source.root) if isinstance(source, FolderSource) else []
    if not (missing or cut) or (len(missing) + len(cut) < 2 and not left):
        return
    first = (missing or cut)[0]
    others = [each for each in problems.found if each not in missing and each not in cut]
    words = [f"{len(missing):,} of {files:,} files are not there"] * bool(missing)
    words += [f"{len(cut):,} {'is' if len(cut) == 1 else 'are'} cut short"] * bool(cut)
    message = f"the download is not complete: {' and '.join(words)}, first {first.where.file}"
    notes = [f"{each.where.file}: {each.message}" for each in (*missing, *cut)]
    more = [f"and {len(notes) - _SHOWN:,} more"] if len(notes) > _SHOWN else []
    hint = "run the same download again: it continues"
    if left:
        hint += f"; {left[0]} is what it was at"
    problems.found[:] = [
        Diagnostic("C006", message, Where(first.where.file), hint, notes=(*notes[:_SHOWN], *more)),
        *others,
    ]


def unfinished(root: Path) -> list[str]:
    """Returns the files of a folder, relative to it, that a download client has begun and not finished."""
    places = (root, root / ".cache" / "huggingface" / "download")
    found = (path for place in places if place.is_dir() for path in place.iterdir() if path.name.endswith(_UNFINISHED))
    return sorted(path.relative_to(root).as_posix() for path in found)
