"""Floor 4, builder, cluster. A client of a scheduler: somebody's, or one of our own. Imports distributed."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.comm.addressing import get_address_host_port

from dsv4recipe.errors import RecipeError, Where

OWN = {
    "distributed.worker.daemon": True,
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
}
"""Of a cluster of our own: nothing may kill or pause a worker for its memory, which the build bounds by itself, nothing
samples its stacks a hundred times a second, and malloc may keep what it has, which Dask's environment for workers
forbids (new pages cost more than what is put into them)."""


@contextlib.contextmanager
def connected(scheduler: str, processes: int) -> Iterator[Client]:
    """Yields a client. `scheduler` is an address or a scheduler file; "" starts one with `processes` workers here, each
    of one thread, and ends it again. Raises RecipeError B051."""
    with _quiet(), contextlib.ExitStack() as stack:
        if not scheduler:
            stack.enter_context(dask.config.set(OWN))
            cluster = stack.enter_context(_own(processes))
            yield stack.enter_context(Client(cluster, set_as_default=False))
            return
        try:
            where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
            if "address" in where:
                get_address_host_port(scheduler)
            client = Client(**where, set_as_default=False, timeout="10s")
        except (OSError, ValueError, TypeError) as error:
            raise RecipeError(
                "B051", f"no Dask scheduler answers: {str(error) or type(error).__name__}", Where(scheduler),
                "start it (dask scheduler), or leave --scheduler out for workers on this machine",
            ) from None  # fmt: skip
        yield stack.enter_context(client)


def _own(processes: int) -> LocalCluster:
    """Workers here, deaf to the terminal's Ctrl-C: it is for the build, which then ends them. They inherit the mask of
    the thread that starts them, also those that a nanny starts later. The resource tracker, which would lift the
    mask when it starts, is started first."""
    resource_tracker.ensure_running()
    deaf = {signal.SIGINT, signal.SIGHUP} if hasattr(signal, "pthread_sigmask") else set()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, deaf) if deaf else set()
    try:
        return LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    finally:
        if deaf:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Yields what distributed logs of workers that come and go is told as events of the build. Its loggers have levels
    of their own, so each is told."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
