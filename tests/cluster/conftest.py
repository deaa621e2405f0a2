"""A small world, and clusters for it: workers in this process where that is enough, real processes where it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from tests.faults.world import World, make_world


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), "64KB")


@pytest.fixture(scope="package")
def three_workers() -> Iterator[str]:
    """The address of a scheduler with three workers, one of two threads, all in this process."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
    ) as cluster:
        cluster.scale(3)
        yield str(cluster.scheduler_address)
