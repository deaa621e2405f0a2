"""The session of a newcomer, in a pseudo-terminal: `python -m tests.cli.newcomer FOLDER` runs the tasks one by one."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TASKS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "newcomer.yaml").read_text(encoding="utf-8"))
_END = "\x1e"
"""Stands on the screen between two tasks."""


@dataclass(frozen=True)
class Seen:
    """What a task left on the screen, control sequences and all, and its exit code."""

    screen: str
    code: int


def session(folder: Path, columns: int, **variables: str) -> list[Seen]:
    """Runs all tasks in one process on a terminal of so many columns."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    root = Path(__file__).parent.parent.parent
    away = ("NO_COLOR", "COLUMNS", "CI")
    env = {name: value for name, value in os.environ.items() if name not in away and not name.startswith("DSV4")}
    env |= {"TERM": "xterm-256color", "PYTHONPATH": str(root), **variables}
    command = [sys.executable, "-m", "tests.cli.newcomer"]
    with subprocess.Popen(command, cwd=folder, env=env, stdin=there, stdout=there, stderr=there) as child:
        os.close(there)
        said = b""
        while True:
            try:
                block = os.read(here, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not block:
                break
            said += block
    os.close(here)
    assert child.returncode == 0, said.decode(errors="replace")[-2000:]
    found = []
    for part in said.decode().replace("\r\n", "\n").split(_END)[:-1]:
        screen, _, code = part.rpartition("\x1f")
        found.append(Seen(screen, int(code)))
    return found


def _main() -> None:
    from dsv4recipe.cli.main import main

    for task in TASKS:
        for name, text in task.get("write", {}).items():
            Path(name).write_text(text, encoding="utf-8")
        code: Any = 0
        try:
            main(shlex.split(task["do"]))
        except SystemExit as leave:
            code = leave.code
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout.write(f"\x1f{code or 0}{_END}")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
