"""Floor 4, builder. Gives a complete work folder the name that the user asked for, as the last step. Renames files.

A folder bundle is renamed as a whole. A bundle that is one file gets its manifest beside it first, and then its name.
So a file under its name is finished, and a manifest alone belongs to a build that will be resumed.
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
"""What a build keeps in its folder and removes at the end."""
BESIDE = "beside.json"
OWN_OF_FILE = OWN | {resumable.NAME, PLAN_NAME, BESIDE}
"""The same for a bundle that is one file."""


def publish_folder(partial: Path, out: Path, mine: Lease, finished: Callable[[], bool]) -> None:
    """Removes the build's own files from a complete folder, durably, then gives the folder its name.

    The lease goes first, because otherwise a power cut could leave it in the bundle. A builder that comes at this
    moment has nothing left to do but the same rename.
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
    """Puts a copy of the manifest beside `out`, gives the file in `partial` its name, and removes the work folder.
    Everything is first written in the work folder, so nothing else is ever left beside the file."""
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
    """Removes the work folder of a finished file. Foreign files stay, and then so does the folder."""
    with contextlib.suppress(OSError):
        for name in (file, NAME, *sorted(OWN_OF_FILE - {lease.NAME})):
            disk.remove(partial / name)
    mine.release()
    with contextlib.suppress(OSError):
        partial.rmdir()
