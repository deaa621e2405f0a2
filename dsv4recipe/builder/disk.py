"""Floor 4, builder. Every effect on the file system that a build has, and the names of what goes wrong.

Protocol and reasons: docs/reliability.md. Nothing else in this room opens, writes or renames a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dsv4recipe.bundle.files import hash_file
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.units import human_size

_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOTTY, errno.ENOSYS}


@contextlib.contextmanager
def named_errors(path: Path, doing: str) -> Iterator[None]:
    """Turns an OSError into a RecipeError that names the path: B010 for a full disk, B011 for the rest."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecipeError(
                "B010",
                f"the disk is full while {doing}",
                Where(str(path)),
                f"{human_size(free_bytes(path.parent))} are free; make room and run the same command again",
            ) from error
        raise RecipeError("B011", f"{os.strerror(error.errno or 0)} while {doing}", Where(str(path))) from error


def free_bytes(folder: Path) -> int:
    """Free bytes of the file system that holds `folder` (or its nearest existing parent)."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def sync_file(handle: int) -> None:
    """fsync that reaches the drive: F_FULLFSYNC on macOS, falling back where a file system has none."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable. File systems that cannot sync a folder are tolerated, errors are not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def create(path: Path, size: int) -> int:
    """A new file of `size` bytes, its space reserved now rather than found missing later. Returns its descriptor."""
    with named_errors(path, f"reserving {human_size(size)}"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            if size and hasattr(os, "posix_fallocate"):
                try:
                    os.posix_fallocate(handle, 0, size)
                except OSError as error:
                    if error.errno not in _UNSUPPORTED:
                        raise
            os.ftruncate(handle, size)
        except OSError:
            os.close(handle)
            raise
        return handle


def write_at(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of `data` at `offset`, through short writes."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def read_at(handle: int, start: int, end: int, path: str) -> bytearray:
    """Bytes [start, end). Raises RecipeError B012 if the file has become shorter."""
    data = bytearray(end - start)
    view, position = memoryview(data), start
    while view:
        count = os.preadv(handle, [view], position)
        if not count:
            raise RecipeError("B012", "the source file became shorter while it was read", Where(path))
        view, position = view[count:], position + count
    return data


def read_back(path: Path) -> tuple[int, str]:
    """(size, sha256) of a file as it is on disk."""
    with named_errors(path, "reading back"):
        return hash_file(path)


def temporary(path: Path) -> Path:
    """A sibling name that no loader's glob matches."""
    return path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"


def publish(temp: Path, path: Path) -> None:
    """Gives a finished, synced temporary file its name, durably."""
    with named_errors(path, "renaming"):
        os.replace(temp, path)
        sync_folder(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Writes a small file atomically: temporary, fsync, rename, fsync of the folder."""
    temp = temporary(path)
    with named_errors(path, "writing"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = create(temp, len(data))
        try:
            write_at(handle, data, 0)
            sync_file(handle)
        except OSError:
            temp.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
    publish(temp, path)


def append_line(path: Path, line: str) -> None:
    """Appends one line and makes it durable."""
    with named_errors(path, "writing"):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            view = memoryview((line + "\n").encode())
            while view:
                view = view[os.write(handle, view) :]
            sync_file(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Removes the temporaries that a killed build left."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
