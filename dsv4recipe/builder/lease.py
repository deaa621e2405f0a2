"""Floor 4, builder. The lease: one builder per output. An O_EXCL file with host, process and a random token.

A lease is stale when its process is gone from this host; a lease of another host is never taken over by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsv4recipe.builder import disk
from dsv4recipe.errors import RecipeError, Where

NAME = "lease.json"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lease of an output folder. Raises RecipeError B032 naming the builder that holds it."""
    path = folder / NAME
    mine = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "token": secrets.token_hex(16),
    }
    if path.exists() and _stale(other := _read(path)):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, folder / f".{NAME}.{other.get('token', 'broken')}.tmp")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        other = _read(path)
        who = f"process {other.get('pid')} on {other.get('host')}"
        hint = f"wait for it; if that machine is gone for good, remove {path}"
        raise RecipeError("B032", f"another builder is at work here: {who}", Where(str(folder)), hint) from None
    with os.fdopen(handle, "w") as file:
        json.dump(mine, file, sort_keys=True)
    try:
        yield
    finally:
        if _read(path).get("token") == mine["token"]:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        disk.sweep(folder) if folder.exists() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _stale(lease: dict[str, Any]) -> bool:
    """Whether the holder is a process of this host that is gone (or whose number another process has now)."""
    if lease.get("host") != socket.gethostname():
        return False
    pid = lease.get("pid")
    return not isinstance(pid, int) or _started(pid) != lease.get("started")


def _started(pid: int) -> str:
    """When a process started, in the system's own words; "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"
