"""One builder per output: who wins, who is named, and when a lease is stale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe.builder import lease
from dsv4recipe.builder.lease import Holder, Pace
from dsv4recipe.builder.process import Process, started
from dsv4recipe.errors import RecipeError
from dsv4recipe.files import disk

QUICK = Pace(beat=0.05, patience=0.3, settle=0.01)


def foreign(**changes: object) -> bytes:
    """A lease as another process would have written it."""
    return Holder(replace(Process.current(), **changes), "f" * 32).text()  # type: ignore[arg-type]


def refusal(folder: Path) -> str:
    with pytest.raises(RecipeError) as caught, lease.held(folder, QUICK):
        pytest.fail("the lease was given twice")
    assert [d.code for d in caught.value.diagnostics] == ["B032"]
    return str(caught.value)


def test_a_second_builder_is_told_who_is_at_work(tmp_path: Path) -> None:
    with lease.held(tmp_path, QUICK) as mine:
        before = (tmp_path / lease.NAME).read_bytes()
        message = refusal(tmp_path)
        assert f"process {os.getpid()} on {Process.current().host}" in message
        assert json.loads(before)["token"] == mine.holder.token
        mine.check()
    assert list(tmp_path.iterdir()) == []


def test_the_counter_moves_while_the_lease_is_held(tmp_path: Path) -> None:
    with lease.held(tmp_path, QUICK):
        first = (tmp_path / lease.NAME).read_bytes()
        time.sleep(0.3)
        second = (tmp_path / lease.NAME).read_bytes()
    assert len(first) == len(second)
    assert json.loads(second)["beat"] > json.loads(first)["beat"]


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize(
    "content",
    [
        lambda: foreign(pid=dead_process()),
        lambda: foreign(started="1"),
        lambda: foreign(pid=os.getppid(), started="1"),
        lambda: foreign(boot="another"),
        lambda: foreign(host="elsewhere"),
        lambda: foreign(machine="elsewhere"),
        lambda: foreign(namespace="elsewhere"),
        lambda: b"",
        lambda: bytes(200),
        lambda: foreign()[:60],
        lambda: b'{"token": 1}',
        foreign,
    ],
    ids=[
        "gone", "number reused", "number reused by another", "restarted", "still counter elsewhere",
        "still counter on a twin", "still counter in a container", "empty", "zeros", "torn", "not a lease",
        "left by this process",
    ],
)  # fmt: skip
def test_a_stale_lease_is_taken_over(tmp_path: Path, content: object) -> None:
    (tmp_path / lease.NAME).write_bytes(content())  # type: ignore[operator]
    with lease.held(tmp_path, QUICK) as mine:
        mine.check()
    assert list(tmp_path.iterdir()) == []


def test_a_live_process_is_never_robbed(tmp_path: Path) -> None:
    parent = os.getppid()
    (tmp_path / lease.NAME).write_bytes(foreign(pid=parent, started=started(parent)))
    assert f"process {parent}" in refusal(tmp_path)


def test_a_builder_on_another_machine_whose_counter_moves_is_alive(tmp_path: Path) -> None:
    """Whatever the clocks of the two machines say: none is read."""
    path = tmp_path / lease.NAME
    path.write_bytes(foreign(host="elsewhere", pid=4711))
    os.utime(path, (0, 0))
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.02):
            count += 1
            handle = os.open(path, os.O_WRONLY)
            os.pwrite(handle, f"{count:012d}".encode(), len('{"beat": "'))
            os.close(handle)

    other = threading.Thread(target=beat)
    other.start()
    try:
        assert "process 4711 on elsewhere" in refusal(tmp_path)
    finally:
        stop.set()
        other.join()


def test_a_holder_that_was_taken_over_stops_and_leaves_the_new_lease_alone(tmp_path: Path) -> None:
    with lease.held(tmp_path, QUICK) as mine:
        mine.check()
        os.replace(tmp_path / lease.NAME, tmp_path / "moved")
        theirs = foreign(pid=4711)
        (tmp_path / lease.NAME).write_bytes(theirs)
        temporary = tmp_path / ".theirs.0.tmp"
        temporary.touch()
        with pytest.raises(RecipeError, match="another builder took over") as caught:
            mine.check()
        assert caught.value.diagnostics[0].code == "B033"
        time.sleep(0.2)
    assert (tmp_path / lease.NAME).read_bytes() == theirs
    assert temporary.exists()


def test_a_lease_that_changed_hands_while_it_was_cleared_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / lease.NAME
    fresh = foreign(host="third")
    path.write_bytes(fresh)
    assert not lease._clear(path, Holder(Process.current(), "e" * 32).text())
    assert path.read_bytes() == fresh
    assert [p.name for p in tmp_path.iterdir()] == [lease.NAME]


def test_without_links_the_name_is_created_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "link", lambda old, new: False)
    with lease.held(tmp_path, QUICK) as mine:
        mine.check()
        refusal(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_come_at_once_to_a_stale_lease_one_wins(tmp_path: Path) -> None:
    """A third that comes while another looks at what it moved aside may overtake the first: that one is told (B033)."""
    for _ in range(10):
        (tmp_path / lease.NAME).write_bytes(foreign(started="1"))
        start, end = threading.Barrier(6, timeout=60), threading.Barrier(6, timeout=60)
        won, lost = [], []

        def come(start: threading.Barrier = start, end: threading.Barrier = end) -> None:
            start.wait()
            inside = False
            try:
                with lease.held(tmp_path, QUICK) as mine:
                    inside = True
                    end.wait()
                    mine.check()
                    won.append(mine)  # noqa: B023
            except RecipeError as error:
                lost.append((inside, error.diagnostics[0].code))  # noqa: B023
                if not inside:
                    end.wait()

        threads = [threading.Thread(target=come) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 5)
        assert set(lost) <= {(False, "B032"), (True, "B033")}
        assert list(tmp_path.iterdir()) == []
