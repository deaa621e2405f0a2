"""Floor 4, files. Writes small files, completely or not at all."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.readback import DamagedError, ReadBack, span


def write_file(path: Path, data: bytes) -> tuple[int, str]:
    """Writes a small file atomically: temporary file, fsync, read back, rename, fsync of the folder. After a failed
    fsync it writes once more. Returns (size, sha256) as read back."""
    disk.make_folder(path.parent)
    with disk.named_errors(path, "flushing"):
        try:
            return _write_file(path, data)
        except disk.LostWritesError:
            return _write_file(path, data)


def _write_file(path: Path, data: bytes) -> tuple[int, str]:
    temp = disk.temporary(path)
    try:
        with disk.named_errors(path, "writing"):
            handle = disk.create(temp, len(data))
        try:
            with disk.named_errors(path, "writing"):
                disk.write_at(handle, data, 0)
            disk.sync_file(handle)
            disk.forget_pages(handle)
            with disk.named_errors(path, "reading back"):
                found = ReadBack(handle)
                found.check([span(data, 0)])
                size, digest = found.end()
        finally:
            disk.close(handle)
        disk.publish(temp, path)
    except DamagedError as damage:
        disk.discard(temp)
        raise RecipeError("B013", f"{path.name} on disk is damaged: {damage}", Where(str(path))) from None
    except BaseException:
        disk.discard(temp)
        raise
    return size, digest
