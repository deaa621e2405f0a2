"""A Dask deployment of real processes for tests: a scheduler, workers with or without a nanny, each killable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}


class Pool:
    """A context manager. `address` is that of its scheduler, which listens on `host`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", before: Sequence[str] = ()) -> None:
        self.file = folder / "scheduler.json"
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.log = (folder / "pool.log").open("ab")
        options = ["--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file)]
        self.scheduler = self._start([*before, sys.executable, "-m", "distributed.cli.dask_scheduler", *options])

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.log.close()

    @property
    def address(self) -> str:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                return str(json.loads(self.file.read_text())["address"])
            except (OSError, ValueError):
                time.sleep(0.05)
        raise AssertionError("the scheduler did not start")

    def add(
        self,
        count: int = 1,
        nanny: bool = False,
        threads: int = 1,
        host: str = "127.0.0.1",
        before: Sequence[str] = (),
        more: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> list[subprocess.Popen[bytes]]:
        """Starts workers; `before` is what they are started by, such as `ip netns exec NAME`."""
        options = ["--nthreads", str(threads), "--memory-limit", "0", "--no-dashboard", "--host", host, *more]
        options += ["--local-directory", str(self.folder / "dask"), "--nanny" if nanny else "--no-nanny"]
        command = [*before, sys.executable, "-m", "distributed.cli.dask_worker", self.address, *options]
        made = [self._start(command, environment) for _ in range(count)]
        self.workers += made
        return made

    def _start(self, command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).parent.parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        more = {**os.environ, **QUIET, "PYTHONPATH": path, **(environment or {})}
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, env=more, start_new_session=True)


def pids(address: str) -> dict[str, int]:
    """The process of each worker, by its address."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        found: dict[str, int] = client.run(os.getpid, on_error="ignore")
        return found
