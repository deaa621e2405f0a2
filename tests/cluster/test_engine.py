"""The Dask engine against the real scheduler: the same bytes, told as they come, continued by either engine."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client

from dsv4recipe import RecipeError, build, make_plan, open_checkpoint
from dsv4recipe.builder import journal
from dsv4recipe.builder.cluster.engine import DaskEngine
from dsv4recipe.builder.cluster.job import Job
from dsv4recipe.builder.cluster.members import Members
from dsv4recipe.builder.cluster.patience import Patience
from dsv4recipe.builder.cluster.worker import StoppedError, _fenced, _Pulse
from dsv4recipe.builder.engine import Work
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.tasks import shard_tasks
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.files.sources import Sources
from dsv4recipe.importance.read import load_importance
from dsv4recipe.recipe.load import parse_recipe
from tests.faults.calls import Calls, instead_of_os
from tests.faults.world import World, digests, partial
from tests.importance.files import stacks, write_dat
from tests.recipes import changed


class Told:
    """Collects events; calls `at_shard[n]` when the n-th shard is done."""

    def __init__(self, **at_shard: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.at_shard = {int(name.strip("_")): action for name, action in at_shard.items()}

    def __call__(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["event"] == "shard_done":
            self.at_shard.get(len(self.of("shard_done")), lambda: None)()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]


def build_with(world: World, out: Path, scheduler: str, told: Told, patience: Patience | None = None) -> Path:
    with world.in_small():
        engine = DaskEngine(scheduler, told, patience or Patience(workers=20))
        return build(world.plan, world.checkpoint, out, workers=1, on_event=told, engine=engine)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_the_same_bytes_by_three_workers_and_every_byte_told_once(
    world: World, three_workers: str, tmp_path: Path
) -> None:
    told = Told()
    build_with(world, tmp_path / "out", three_workers, told)
    world.check_finished(tmp_path / "out")
    assert [event["event"] for event in told.events[:2]] == ["plan_loaded", "cluster"]
    joined = {event["worker"] for event in told.of("worker_joined")}
    assert len(joined) == 3
    done = told.of("shard_done")
    assert Counter(event["file"] for event in done) == Counter(shard.file for shard in world.plan.shards)
    assert {event["worker"] for event in done} == joined
    assert sum(event["bytes"] for event in told.of("written")) == told.events[0]["bytes"]
    assert Counter(event["file"] for event in told.of("shard_started")) == Counter(event["file"] for event in done)


def test_an_interrupted_build_is_continued_by_the_other_engine(
    world: World, three_workers: str, tmp_path: Path
) -> None:
    for first, out in (("dask", tmp_path / "one"), ("local", tmp_path / "two")):
        told = Told(_5=interrupt)
        engine = DaskEngine(three_workers, told) if first == "dask" else run_shards
        with pytest.raises(KeyboardInterrupt):
            build(world.plan, world.checkpoint, out, workers=1, on_event=told, engine=engine)
        assert journal.lines(partial(out)) == 5
        assert not list(partial(out).glob(".*"))
        again = Told()
        if first == "dask":
            build(world.plan, world.checkpoint, out, workers=1, on_event=again)
        else:
            build_with(world, out, three_workers, again)
        assert again.of("resumed")[0]["shards"] == 5
        assert len(again.of("shard_done")) == len(world.plan.shards) - 5
        world.check_finished(out)


def test_no_worker_is_taken_for_lost_because_the_client_forgets_them(
    world: World, three_workers: str, tmp_path: Path
) -> None:
    """A client asks for the scheduler's identity without workers, every two seconds; here, all the time."""
    job = Job(str(world.checkpoint.folder.root), str(tmp_path), "a token", ())
    with (
        dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}),
        Client(three_workers, set_as_default=False) as client,
    ):
        members = Members(client, three_workers, job, queue.SimpleQueue(), 60, lambda event: None)
        for _ in range(200):
            members.look_again()
            assert len(members.present()) == 3


def test_an_importance_file_is_read_by_the_workers_and_must_be_the_same_there(
    tiny: Checkpoint, three_workers: str, tmp_path: Path
) -> None:
    weighed = changed("bits: 4, group-size: 32", "bits: 4, group-size: 32, fit: mse, importance: file")
    importance = load_importance(write_dat(tmp_path / "good.dat", stacks(tiny)))
    plan = make_plan(parse_recipe(weighed, "recipe.yaml"), tiny, importance=importance)
    here = build(plan, tiny, tmp_path / "here", workers=1, importance=importance)
    engine = DaskEngine(three_workers)
    there = build(plan, tiny, tmp_path / "there", workers=1, importance=importance, engine=engine)
    assert digests(there) == digests(here)

    write_dat(tmp_path / "good.dat", stacks(tiny, seed=1))
    with pytest.raises(RecipeError) as refused:
        build(plan, tiny, tmp_path / "never", workers=1, importance=importance, engine=engine)
    assert len(refused.value.diagnostics) == 3
    for found in refused.value.diagnostics:
        assert found.code == "B053"
        assert [note.split(":")[0] for note in found.notes] == ["the importance file"]
        assert importance.sha256 in found.notes[0]


class _Away:
    """Storage that answers EIO to every call that names or holds a file below a folder, while `away` is set."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.away = threading.Event()

    def __call__(self, _number: int, _name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
        path = str(arguments[0]) if arguments and not isinstance(arguments[0], int) else ""
        if self.away.is_set() and path.startswith(self.folder):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)


@contextlib.contextmanager
def away_for(folder: Path, seconds: float) -> Iterator[Any]:
    """A function that takes the storage below a folder away, for so many seconds."""
    storage = _Away(folder)

    def take() -> None:
        storage.away.set()
        timer = threading.Timer(seconds, storage.away.clear)
        timer.daemon = True
        timer.start()

    with instead_of_os(Calls(storage)):
        yield take


def test_storage_that_comes_back_costs_time_and_nothing_else(world: World, three_workers: str, tmp_path: Path) -> None:
    with away_for(tmp_path / "out.partial", 1.5) as take:
        told = Told(_3=take)
        build_with(world, tmp_path / "out", three_workers, told)
    world.check_finished(tmp_path / "out")
    assert told.of("storage_away")


def test_storage_that_stays_away_is_a_clear_error_and_what_is_done_stays(
    world: World, three_workers: str, tmp_path: Path
) -> None:
    with away_for(tmp_path / "out.partial", 4.0) as take, pytest.raises(RecipeError) as refused:
        build_with(world, tmp_path / "out", three_workers, Told(_3=take), Patience(storage=1.0))
    assert refused.value.diagnostics[0].code == "B056"
    assert "with either engine" in refused.value.diagnostics[0].hint
    told = Told()
    build(world.plan, world.checkpoint, tmp_path / "out", workers=1, on_event=told)
    assert told.of("resumed")[0]["shards"] >= 3
    world.check_finished(tmp_path / "out")


def test_a_journal_whose_last_append_failed_is_mended(tmp_path: Path) -> None:
    entries = [journal.Entry("t", f"f{n}", 1, "0") for n in range(3)]
    for entry in entries[:2]:
        journal.record(tmp_path, entry)
    with (tmp_path / journal.NAME).open("a") as stream:
        stream.write(entries[2].line()[:20])
    journal.mend(tmp_path)
    journal.record(tmp_path, entries[2])
    assert (tmp_path / journal.NAME).read_text().splitlines() == [entry.line() for entry in entries]


def test_what_is_wrong_with_the_source_is_said_with_the_workers_name(
    world: World, three_workers: str, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(world.checkpoint.folder.root, tmp_path / "source"))
    checkpoint = open_checkpoint(source)
    tensor = next(t for t in checkpoint.tensors if t.source.stored == "bf16")
    with (source / tensor.file).open("r+b") as stream:
        stream.seek(tensor.weight.start)
        stream.write(b"\xff\x7f")
    told = Told()
    with pytest.raises(RecipeError) as refused:
        build(
            world.plan, checkpoint, tmp_path / "out", workers=1, on_event=told, engine=DaskEngine(three_workers, told)
        )
    (found,) = refused.value.diagnostics
    assert found.code == "B020"
    assert tensor.name in found.message
    assert any(event["worker"] in found.notes[-1] for event in told.of("worker_joined"))
    assert not list(partial(tmp_path / "out").glob(".*"))


def test_a_source_that_changes_during_the_build_is_noticed_by_the_client(
    world: World, three_workers: str, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(world.checkpoint.folder.root, tmp_path / "source"))
    checkpoint = open_checkpoint(source)
    name = checkpoint.folder.files[0].file
    told = Told(_5=lambda: os.utime(source / name, ns=(1, 1)))
    with pytest.raises(RecipeError) as refused:
        build(
            world.plan, checkpoint, tmp_path / "out", workers=1, on_event=told, engine=DaskEngine(three_workers, told)
        )
    assert refused.value.diagnostics[0].code == "B005"
    assert name in refused.value.diagnostics[0].message


def test_an_attempt_at_a_folder_in_other_hands_writes_nothing_there(world: World, tmp_path: Path) -> None:
    """A worker that was cut off comes back when another build holds the folder."""
    job = Job(str(world.checkpoint.folder.root), str(tmp_path), "the token of the build before", ())
    task = next(shard_tasks(world.plan, world.checkpoint))
    pulse = _Pulse(job, 1, lambda *_, **__: None)
    with Sources(world.checkpoint.folder.root) as sources, pytest.raises(StoppedError):
        run_shards(Work([task], tmp_path, sources, opened=_fenced(pulse)), pulse)
    assert list(tmp_path.iterdir()) == []
