"""Floor 4, builder. Identifies this process on this machine, and says whether another one still runs. Reads /proc or
ps."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """Identifies a process, distinct from every other process that had, has or will have its number.

    `machine` is a hash of the system's own id, `boot` identifies its run since the last start, and `namespace` the set
    of process numbers. Each is "" if the system has none. `started` is the start time as the system writes it.
    """

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: str

    @staticmethod
    def current() -> Process:
        pid = os.getpid()
        return Process(*_machine(), pid, started(pid))


@cache
def _machine() -> tuple[str, str, str, str]:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return socket.gethostname(), _hash("/etc/machine-id"), _hash("/proc/sys/kernel/random/boot_id"), namespace


def _hash(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def started(pid: int) -> str:
    """Returns when a process started, as the system writes it, or "" if it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    state, _, since = shown.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else since.strip()
