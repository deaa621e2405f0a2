"""A small world, and clusters for it: workers in this process where that is enough, real processes where it is not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from tests.faults.world import World, make_world


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), "64KB")


@pytest.fixture(scope="package")
def three_workers() -> Iterator[str]:
    """The address of a scheduler with three workers of one thread, all in this process."""
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "protocol": "tcp", "host": "127.0.0.1"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Creating scratch directories")  # of a busy machine
        cluster = LocalCluster(n_workers=2, processes=False, **options)
    with cluster:
        cluster.scale(3)
        yield str(cluster.scheduler_address)
