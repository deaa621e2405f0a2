"""Workers as processes of their own: killed, left without a scheduler, or not what the build needs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build
from dsv4recipe.builder.cluster.engine import DaskEngine
from dsv4recipe.builder.cluster.patience import Patience
from dsv4recipe.checkpoint.synth import synthesize
from tests.cluster.pool import Pool
from tests.cluster.test_engine import Told, build_with
from tests.faults.world import World, partial


def test_a_killed_worker_costs_one_shard_and_a_killed_scheduler_the_rest_of_the_run(
    world: World, tmp_path: Path
) -> None:
    with Pool(tmp_path) as pool:
        first, _ = pool.add(2)

        def kill_one() -> None:
            os.kill(first.pid, signal.SIGKILL)

        told = Told(_1=lambda: wait_for_workers(pool, 2), _5=kill_one)
        build_with(world, tmp_path / "out", pool.address, told)
        world.check_finished(tmp_path / "out")
        (lost,) = told.of("worker_lost")
        assert len(lost["shards"]) <= 1

        told = Told(_5=lambda: os.kill(pool.scheduler.pid, signal.SIGKILL))
        with pytest.raises(RecipeError) as refused:
            build_with(world, tmp_path / "again", pool.address, told)
        assert refused.value.diagnostics[0].code == "B051"
        assert "--engine local" in refused.value.diagnostics[0].hint
    told = Told()
    build(world.plan, world.checkpoint, tmp_path / "again", workers=1, on_event=told)
    assert told.of("resumed")[0]["shards"] >= 5
    world.check_finished(tmp_path / "again")


def wait_for_workers(pool: Pool, count: int) -> None:
    from distributed import Client

    with Client(pool.address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=30)


def mounted(*mounts: str) -> list[str]:
    """What starts a program that sees these mounts, and nobody else does."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{" && ".join(mounts)} && exec "$@"', "sh"]


def can_mount() -> bool:
    found = shutil.which("unshare")
    probe = [*mounted("mount -t tmpfs none /mnt"), "true"]
    return found is not None and not subprocess.run(probe, capture_output=True, check=False).returncode


def test_workers_that_differ_are_refused_by_name_before_the_first_task(world: World, tmp_path: Path) -> None:
    source = world.checkpoint.folder.root
    shared = tmp_path / "shared"
    shared.mkdir()
    other = tmp_path / "other"
    synthesize(other, layers=3)
    odd: list[tuple[str, str, Sequence[str], dict[str, str]]] = [
        ("version", "dsv4recipe", (), {"ODD": "version"}),
        ("bytes", "what the encoders make of fixed blocks", (), {"ODD": "bytes"}),
        ("files", "its program files", (), {"ODD": "files"}),
    ]
    if can_mount():
        odd.append(("source", "the shard headers of the source", mounted(f"mount --bind {other} {source}"), {}))
        odd.append(("absent", "plan and source", mounted(f"mount -t tmpfs none {source}"), {}))
        odd.append(("folder", "does not share the output folder", mounted(f"mount -t tmpfs none {shared}"), {}))
    with Pool(tmp_path) as pool:
        pool.add()
        for name, _, before, environment in odd:
            more = ["--name", name, *(["--preload", "tests.cluster.odd_worker"] if environment else [])]
            pool.add(before=before, more=more, environment=environment)
        wait_for_workers(pool, 1 + len(odd))
        told = Told()
        with pytest.raises(RecipeError) as refused:
            build_with(world, shared / "out", pool.address, told)
        found = {d.message.split()[1]: d for d in refused.value.diagnostics}
        assert len(refused.value.diagnostics) == len(found) == len(odd)
        lines = [" ".join((d.message, *d.notes)) for d in found.values()]
        for name, expected, *_ in odd:
            assert [line for line in lines if expected in line], f"{name}: {lines}"
        assert len(told.of("worker_joined")) == 1
        assert told.of("shard_started") == []
        assert {d.code for d in found.values()} == ({"B053", "B054"} if can_mount() else {"B053"})
        assert sorted(p.name for p in partial(shared / "out").iterdir()) == ["dsv4recipe.plan.json"]


def test_without_any_worker_the_build_waits_as_long_as_it_says(world: World, tmp_path: Path) -> None:
    with Pool(tmp_path) as pool, pytest.raises(RecipeError) as refused:
        build_with(world, tmp_path / "out", pool.address, Told(), Patience(workers=0.5))
    assert refused.value.diagnostics[0].code == "B052"


def test_the_command_starts_workers_of_its_own_and_ends_them_when_it_is_interrupted(
    world: World, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(world.plan_text)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "dsv4recipe", "build", plan, "--source", world.checkpoint.folder.root, "-o", out]
    command += ["--engine", "dask", "--workers", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "shard_done":
                break
        os.killpg(child.pid, signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert child.returncode == 130, error.decode()
    assert b"Traceback" not in error
    assert not _group(child.pid)
    build(world.plan, world.checkpoint, out, workers=1)
    world.check_finished(out)


def _group(leader: int) -> bool:
    """Whether any process of a group is left, some seconds later."""
    for _ in range(50):
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def test_an_engine_needs_no_cluster_when_nothing_is_left_to_do(world: World, tmp_path: Path) -> None:
    build(world.plan, world.checkpoint, tmp_path / "out", workers=1)
    build(world.plan, world.checkpoint, tmp_path / "out", workers=1, engine=DaskEngine("tcp://127.0.0.1:1"))
