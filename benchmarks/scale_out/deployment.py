"""A real scheduler in a process of its own, and simulated workers in a few more."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROCESSES = 4
"""That the workers are shared out to."""
_QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}
"""What 128 workers in one process would each do beside the others. The scheduler has its defaults otherwise."""


@contextlib.contextmanager
def deployment(work: Path, workers: int) -> Iterator[tuple[str, int, float]]:
    """(address, process of the scheduler, seconds until all workers were there)"""
    from distributed import Client

    environment = {**os.environ, **_QUIET, "PYTHONPATH": str(Path(__file__).parents[2])}
    file = work / "scheduler.json"
    file.unlink(missing_ok=True)
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    begin = time.monotonic()
    with (work / "deployment.log").open("ab") as log:

        def start(*command: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)

        processes = [start("distributed.cli.dask_scheduler", *options)]
        try:
            address = _address(file)
            for number in range(min(PROCESSES, workers)):
                count = workers // PROCESSES + (number < workers % PROCESSES)
                processes.append(start("benchmarks.scale_out.hosts", address, str(count)))
            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=120)
            yield address, processes[0].pid, time.monotonic() - begin
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


def _address(file: Path) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise TimeoutError("the scheduler did not start")
