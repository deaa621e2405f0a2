"""Floor 4, builder. The last step: a complete folder of work gets the name that the user asked for. Renames files.

A folder bundle is renamed whole. A bundle that is one file gets its manifest beside it first, and then its name: so a
file under its name is finished, and a manifest alone is the work of a build that comes again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from dsv4recipe.builder import journal, lease, resumable
from dsv4recipe.builder.lease import Lease
from dsv4recipe.bundle.manifest import PLAN_NAME, manifest_path
from dsv4recipe.bundle.places import NAME
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file

OWN = frozenset((journal.NAME, lease.NAME))
"""What a build keeps in its folder and takes out at the end."""
BESIDE = "beside.json"
OWN_OF_FILE = OWN | {resumable.NAME, PLAN_NAME, BESIDE}
"""The same, of a bundle that is one file."""


def publish_folder(partial: Path, out: Path, mine: Lease, finished: Callable[[], bool]) -> None:
    """Takes the build's own files out of a complete folder, durably, then gives the folder its name.

    The lease goes first, or a power cut could leave it in the bundle. A builder that comes in this instant finds
    nothing left to do but the same rename.
    """
    with disk.named_errors(out, "renaming the finished bundle"):
        disk.remove(partial / journal.NAME)
        mine.release()
        disk.sync_folder(partial)
        try:
            if disk.is_empty_folder(out):
                out.rmdir()
            if os.path.lexists(out):
                raise FileExistsError
            disk.rename(partial, out)
        except OSError:
            if finished():
                return
            raise
        disk.remove(out / lease.NAME)
        disk.sync_folder(out.parent)


def publish_file(partial: Path, out: Path, file: str, mine: Lease, finished: Callable[[], bool]) -> None:
    """Puts a copy of the manifest beside `out`, gives the file in `partial` its name, and removes the folder of work.
    Whatever is written is written in there: nothing else is ever left beside the file."""
    with disk.named_errors(out, "naming the finished file"):
        write_file(partial / BESIDE, disk.read_small(partial / NAME) or b"")
        disk.rename(partial / BESIDE, manifest_path(out))
        try:
            if not disk.link(partial / file, out):
                if os.path.lexists(out):
                    raise FileExistsError
                disk.rename(partial / file, out)
        except OSError:
            if not finished():
                raise
        disk.sync_folder(out.parent)
    tidy(partial, file, mine)


def tidy(partial: Path, file: str, mine: Lease) -> None:
    """Removes the folder of work of a finished file; whatever is not the build's own stays, and so does the folder."""
    with contextlib.suppress(OSError):
        for name in (file, NAME, *sorted(OWN_OF_FILE - {lease.NAME})):
            disk.remove(partial / name)
    mine.release()
    with contextlib.suppress(OSError):
        partial.rmdir()
