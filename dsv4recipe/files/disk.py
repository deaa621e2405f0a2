"""Floor 4, files. Performs every effect of a build on the file system, and names what goes wrong.

docs/explanation/reliability.md has the protocol. Nothing else in this room opens, writes or renames a file. Every call
goes through `fs`, so that tests can count calls, let any of them fail, and record what a power cut would leave.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.units import human_size

fs = os
"""The calls that reach the disk: `os`, or a replacement in tests."""
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS}
_NO_LINKS = _UNSUPPORTED | {errno.EPERM, errno.EMLINK}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CHUNK = 1 << 20


class LostWritesError(OSError):
    """A failed fsync. The kernel may have dropped the pages and cleared the error: the file must be written again."""


@contextlib.contextmanager
def named_errors(path: Path, doing: str) -> Iterator[None]:
    """Turns an OSError into a RecipeError that names the path: B010 for a full disk, B011 for the rest."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise RecipeError(
                "B010",
                f"the disk is full while {doing}",
                Where(str(path)),
                f"only {human_size(free_bytes(path.parent))} are free; make room and run the same command again",
            ) from error
        raise RecipeError("B011", f"{os.strerror(error.errno or 0)} while {doing}", Where(str(path))) from error


def free_bytes(folder: Path) -> int:
    """Returns the free bytes of the file system that holds `folder` (or its nearest existing parent)."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def same_disk(one: Path, other: Path) -> bool:
    """Returns whether two existing folders share a file system."""
    with named_errors(one, "looking at the folder"):
        return fs.stat(one).st_dev == fs.stat(other).st_dev


def room_for(sizes: Sequence[int], folder: Path) -> int:
    """Returns the bytes that new files of these sizes take in `folder`, in whole blocks of its file system."""
    block = max(1, os.statvfs(folder).f_frsize)
    return sum(-(-size // block) * block for size in sizes)


def sync_file(handle: int, drive: bool = True) -> None:
    """Calls fsync. With `drive` it also empties the drive's own cache (F_FULLFSYNC on macOS), and falls back if a file
    system does not support that.

    Raises LostWritesError, but OSError for a full disk, because writing again would not help there.
    """
    try:
        if drive and sys.platform == "darwin" and _full_sync(handle):
            return
        fs.fsync(handle)
    except OSError as error:
        if error.errno in _FULL:
            raise
        raise LostWritesError(error.errno, error.strerror) from error


def _full_sync(handle: int) -> bool:
    """Returns whether macOS flushed the drive; False if the file system does not support the call."""
    import fcntl

    try:
        fcntl.fcntl(handle, getattr(fcntl, "F_FULLFSYNC", 51))
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable. It tolerates file systems that cannot sync a folder, but no errors."""
    handle = fs.open(folder, os.O_RDONLY)
    try:
        fs.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        fs.close(handle)


def is_empty_folder(path: Path) -> bool:
    """Returns whether the path is an empty folder and not a link, so that it may be replaced."""
    try:
        return not path.is_symlink() and path.is_dir() and not any(path.iterdir())
    except OSError:
        return False


def make_folder(folder: Path) -> None:
    """Creates the folder if it does not exist. Raises RecipeError B003 for a link, which would redirect writes."""
    with named_errors(folder, "creating the folder"):
        if not folder.parent.exists():
            make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            fs.mkdir(folder)
    if folder.is_symlink() or not folder.is_dir():
        raise RecipeError("B003", "a link or file is where the build needs a folder", Where(str(folder)), "remove it")


def create(path: Path, size: int) -> int:
    """Creates a file of `size` bytes, reserves its space now, and returns its descriptor."""
    with named_errors(path, f"reserving {human_size(size)}"):
        handle = create_new(path)
        try:
            if size:
                _reserve(handle, size)
            fs.ftruncate(handle, size)
        except OSError:
            close(handle)
            raise
        return handle


def create_new(path: Path) -> int:
    """Creates a new, empty file and returns its descriptor. Raises FileExistsError and other OSErrors."""
    return fs.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o644)


def _reserve(handle: int, size: int) -> None:
    """Reserves the blocks of a file: posix_fallocate, on macOS F_PREALLOCATE; other file systems are left alone."""
    try:
        if sys.platform == "darwin":
            import fcntl

            # struct fstore: F_ALLOCATEALL, F_PEOFPOSMODE, from 0, length, allocated
            request = struct.pack("=Iiqqq", 4, 3, 0, size, 0)
            fcntl.fcntl(handle, getattr(fcntl, "F_PREALLOCATE", 42), request)
        elif hasattr(os, "posix_fallocate"):
            fs.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def write_at(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of `data` at `offset`, repeating after short writes."""
    view = memoryview(data).cast("B")
    while view:
        written = fs.pwrite(handle, view, offset)
        if not written:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        view, offset = view[written:], offset + written


def read_at(handle: int, start: int, into: memoryview, path: str) -> None:
    """Fills `into` with the bytes from `start`. Raises RecipeError B012 if the file has become shorter."""
    while into:
        count = read_into(handle, into, start)
        if not count:
            raise RecipeError("B012", "the source file became shorter while it was read", Where(path))
        into, start = into[count:], start + count


def open_source(path: Path) -> int:
    return fs.open(path, os.O_RDONLY)


def open_again(path: Path, size: int) -> int:
    """Opens a file of the build itself for writing, following no links; -1 if none has that size. Raises OSError."""
    try:
        handle = fs.open(path, os.O_RDWR | _NOFOLLOW)
    except FileNotFoundError:
        return -1
    if fs.fstat(handle).st_size == size:
        return handle
    close(handle)
    return -1


def open_own(path: Path) -> int:
    """Opens a file of the build itself for reading, without following links."""
    return fs.open(path, os.O_RDONLY | _NOFOLLOW)


def close(handle: int) -> None:
    """Closes a descriptor whose data no longer matters or is synced, so that errors can be ignored."""
    with contextlib.suppress(OSError):
        fs.close(handle)


def read_small(path: Path) -> bytes | None:
    """Returns the content of a small file, or None if there is none. Follows no links. Raises OSError."""
    try:
        handle = open_own(path)
    except FileNotFoundError:
        return None
    try:
        data = bytearray()
        while piece := fs.pread(handle, _CHUNK, len(data)):
            data += piece
        return bytes(data)
    finally:
        close(handle)


def forget_pages(handle: int, start: int = 0, end: int = 0) -> None:
    """Asks the system, if possible, to read [start, end) from the drive next time and not from memory. An `end` of 0
    means the end of the file. Pages that are not yet written stay."""
    with contextlib.suppress(OSError):
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(handle, getattr(fcntl, "F_NOCACHE", 48), 1)
        elif hasattr(os, "posix_fadvise"):
            fs.posix_fadvise(handle, start, max(0, end - start), os.POSIX_FADV_DONTNEED)


def read_into(handle: int, buffer: memoryview, position: int) -> int:
    """Fills as much of `buffer` as one read gives. Returns the number of bytes, 0 at the end of the file."""
    return fs.preadv(handle, [buffer], position)


def temporary(path: Path, mark: str = "") -> Path:
    """Returns an unused sibling name that matches no loader's glob; `mark` becomes part of it."""
    return path.parent / f".{path.name}.{mark}{secrets.token_hex(6)}.tmp"


def rename(old: Path, new: Path) -> None:
    fs.replace(old, new)


def link(old: Path, new: Path) -> bool:
    """Gives a file a second name, which must be new (FileExistsError). Returns False if links are not supported."""
    try:
        fs.link(old, new)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def remove(path: Path) -> None:
    """Removes a file; a missing file is not an error. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(path)


def publish(temp: Path, path: Path) -> None:
    """Gives a finished, synced temporary file its name, durably."""
    with named_errors(path, "renaming"):
        rename(temp, path)
        sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Appends one line and makes it durable."""
    with named_errors(path, "writing"):
        handle = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NOFOLLOW, 0o644)
        try:
            view = memoryview((line + "\n").encode())
            while view:
                view = view[fs.write(handle, view) :]
            sync_file(handle)
        finally:
            close(handle)


def discard(temp: Path) -> None:
    """Removes a temporary file if possible; the next build removes what is left."""
    with contextlib.suppress(OSError):
        fs.unlink(temp)


def sweep(folder: Path, pattern: str = ".*.tmp") -> None:
    """Removes the temporary files that a killed build left."""
    for path in folder.rglob(pattern):
        discard(path)
