"""Floor 4, builder, cluster. Connects to a given scheduler, or starts one. Imports distributed."""

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
"""Settings for a cluster that this build starts. Dask must not kill or pause a worker for its memory, because the build
limits memory itself. It must not sample stacks a hundred times a second. malloc may keep its memory, which Dask's
default environment forbids, because new pages cost more than filling them."""


@contextlib.contextmanager
def connected(scheduler: str, processes: int) -> Iterator[Client]:
    """Yields a client. `scheduler` is an address or a scheduler file. If it is "", `processes` workers with one thread
    each are started here, and stopped at the end. Raises RecipeError B051."""
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
                "start it (dask scheduler), or leave out --scheduler to use workers on this machine",
            ) from None  # fmt: skip
        yield stack.enter_context(client)


def _own(processes: int) -> LocalCluster:
    """Starts workers that ignore Ctrl-C, because the build handles it and then stops them. They inherit the signal mask
    of the thread that starts them, also if a nanny starts them later. The resource tracker would reset the mask when it
    starts, so it is started first."""
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
    """Silences distributed's log messages about workers that come and go, which the build reports as events. Its
    loggers have levels of their own, so each one is set."""
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
