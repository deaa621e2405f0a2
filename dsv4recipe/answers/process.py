"""Floor 4, answers. Runs a server as a child process: starts it, waits, measures, and ends it whatever happens.

`keeper` holds the server in its own process group, and ends the group when our end of its pipe closes. So even a crash
or SIGKILL of this process leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dsv4recipe.answers import keeper
from dsv4recipe.errors import RecipeError, Where

_TAIL = 15
_EVERY = 0.2
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Requests to loopback never use a proxy."""
Tell = Callable[[str], None]


class ServerError(RecipeError):
    """The server did not start, get ready, or stay alive: S002 to S005. Its last lines are the notes."""


@dataclass
class Child:
    """A running server. `url` is its root, without the path of an API."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    where: Where
    peak: int = 0
    told: int = field(default=0, repr=False)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self, lines: int = _TAIL) -> tuple[str, ...]:
        """Returns the last non-empty lines of its log."""
        return tuple(line[:300] for line in self._text()[-20_000:].splitlines() if line.strip())[-lines:]

    def news(self, tell: Tell) -> None:
        """Reports every line that was logged since the last call."""
        text = self._text()
        end = text.rfind("\n") + 1
        for line in text[self.told : end].splitlines():
            if line.strip():
                tell(line.rstrip())
        self.told = max(self.told, end)

    def measure(self) -> int:
        """Returns the most resident bytes of the server and its children so far."""
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.process.pid).children(recursive=True)
            sizes = []
            for member in family:
                with contextlib.suppress(psutil.Error):
                    sizes.append(member.memory_info().rss)
            self.peak = max(self.peak, sum(sizes))
        return self.peak

    def died(self, doing: str) -> ServerError:
        """Returns the error for a server that ended by itself."""
        code = self.process.wait()
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        message = f"the server ended while {doing} ({how}); its last lines are below"
        return ServerError("S003", message, self.where, advice(self.tail()), self.tail())

    def late(self, seconds: float, doing: str) -> ServerError:
        """Returns the error for a server that took too long."""
        message = f"the server was still {doing} after {seconds:g} s"
        hint = "raise --time-limit, or pass --log FILE to keep its output"
        return ServerError("S004", message, self.where, hint, self.tail())

    def _text(self) -> str:
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def advice(lines: Sequence[str]) -> str:
    """Returns what to do about a server whose last `lines` these are."""
    said = "\n".join(lines)
    if "No Metal back-end" in said:
        return "a format of this bundle (MXTQ) is decoded by a Metal kernel: ask it on a Mac"
    if "ModuleNotFoundError" in said or "ImportError" in said:
        return "its environment is not complete; run `dsv4recipe runtimes install NAME` to make one that works"
    if "ddress already in use" in said:
        return "another program took the port; run the same command again, or choose one with --port"
    if "SIGKILL" in said or "emory" in said:
        return "the machine must hold the whole bundle and its cache"
    return "run `dsv4recipe verify BUNDLE` to see what this runtime would make of the bundle"


def free_port(wanted: int | None, where: Where) -> int:
    """Returns `wanted` if it is free, or any free port. Raises ServerError S005 if `wanted` is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if wanted:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            message = f"port {wanted} cannot be used: {error.strerror or error}"
            raise ServerError("S005", message, where, "choose another --port, or leave it out") from None
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, log: Path, where: Where, environment: Mapping[str, str]
) -> Iterator[Child]:
    """Yields the server that `command` starts. When the block ends, its whole process group is gone."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(Path(keeper.__file__).resolve()), *command],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        yield Child(process, f"http://127.0.0.1:{port}", log, where)
    finally:
        _release(process)


def _release(process: subprocess.Popen[bytes]) -> None:
    """Closes the pipe and waits until the keeper has ended its group. A second ctrl-C does not interrupt this."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    end = time.monotonic() + 2 * keeper.PATIENCE
    while process.poll() is None:
        with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            process.wait(timeout=max(0.1, end - time.monotonic()))
        if time.monotonic() > end:
            process.kill()


def wait_until_ready(child: Child, path: str, key: str, seconds: float, tell: Tell) -> float:
    """Waits until `path` answers 200, with `key` true in its JSON if one is given. Returns the seconds that it took.

    Raises ServerError S003 if the server ends first, S004 if it takes longer than `seconds`.
    """
    start = time.monotonic()
    while True:
        child.news(tell)
        if not child.alive:
            raise child.died("loading the bundle")
        if _answers(child.url + path, key):
            child.measure()
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise child.late(seconds, "loading the bundle")
        child.measure()
        time.sleep(_EVERY)


def _answers(url: str, key: str) -> bool:
    try:
        with _OPENER.open(url, timeout=5) as response:
            if response.status != 200:
                return False
            found: Any = json.loads(response.read()) if key else {}
    except (OSError, ValueError):
        return False
    return not key or (isinstance(found, dict) and bool(found.get(key)))
