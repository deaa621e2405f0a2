"""What a build shows: how long it takes, whatever compiles meanwhile, one line per shard, a log, or nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe.builder.events import Compiled, Compiling, Done, Event, PlanLoaded, Resumed, Written
from dsv4recipe.cli.build_words import duration, last_words, rate, standing
from dsv4recipe.cli.main import run
from dsv4recipe.cli.pace import Pace
from tests.recipes import SOUND, changed

Captured = pytest.CaptureFixture[str]
LOADED = PlanLoaded(plan="p", bytes=1000, shards=2, work=1000, memory=0, seconds=None, slowest="")


def written(size: int) -> Written:
    return Written(file="a", bytes=size, work=size)


def heard(*events: tuple[float, Event], weights: int = 2000) -> Pace:
    pace = Pace(weights)
    for now, event in events:
        pace.hear(event, now)
    return pace


def test_time_left_does_not_count_compiling() -> None:
    compiling, compiled = Compiling(), Compiled()
    pace = heard((0, LOADED), (0, compiling))
    assert pace.seconds_left(19) is None
    assert "known once" in standing(pace, 19)
    for now, event in ((20, compiled), (21, written(100)), (22, written(100)), (23, written(100))):
        pace.hear(event, now)
    assert pace.seconds_left(23) == pytest.approx(700 / 150)
    pace.hear(compiling, 24)  # another kernel, later: copies go on, and the estimate stands still
    before = pace.seconds_left(24)
    pace.hear(written(1), 30)
    assert pace.seconds_left(44) == pytest.approx(before, rel=0.01)
    pace.hear(compiled, 44)
    assert pace.paused == 40


def test_what_was_there_already_counts_for_no_rate() -> None:
    pace = heard((0, LOADED), (0, Resumed(bytes=500, work=500, shards=1)), (10, written(250)))
    assert pace.share() == 0.75
    assert pace.average(10) == 25
    last = list(last_words(Done(already=False, out="x", bytes=990), pace, 10))
    assert last[0] == "built: x, 990 B of tensors"
    assert last[1].startswith("in 10 s: 25 B/s, 50 weights/s; ")
    assert "were there" in last[1]


def test_a_plan_that_was_measured_has_a_time_before_the_first_byte() -> None:
    assert heard((0, replace(LOADED, seconds=3600.0))).seconds_left(1) == 3600


def test_units_are_those_that_people_read() -> None:
    assert rate(543e6) == "543 MB/s"
    assert rate(1.07e9, "weights/s") == "1.07 billion weights/s"
    assert rate(999.9e6) == "1 GB/s"
    assert duration(86_000) == "23 h 53 min"


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(changed("shard-size: 5GiB", "shard-size: 2MB"), encoding="utf-8")
    return str(file)


def test_one_line_per_shard_and_what_was_resumed(
    recipe: str, tiny_source: Path, tmp_path: Path, capsys: Captured
) -> None:
    log = tmp_path / "build.log"
    command = ["build", recipe, "--source", str(tiny_source), "-o", str(tmp_path / "out"), "--log", str(log)]
    assert run(command) == 0
    err = capsys.readouterr().err
    shards = int(re.search(r"writing (\d+) shards", err)[1])  # type: ignore[index]
    assert shards > 2
    assert len(re.findall(r"^model-.*: shard \d+ of \d+, \d+ %", err, re.MULTILINE)) == shards
    assert re.search(r"^in .*: .*B/s, .* weights/s$", err, re.MULTILINE)
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert events[0]["event"] == "plan_loaded"
    assert events[-1]["event"] == "done"
    assert all(event["time"] for event in events)
    assert run(command) == 0
    assert log.read_text(encoding="utf-8").count('"done"') == 2, "a log grows"


def test_quiet_says_nothing_and_verbose_says_more(
    recipe: str, tiny_source: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = ["build", recipe, "--source", str(tiny_source), "-o"]
    assert run([*command, str(tmp_path / "quiet"), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run([*command, str(tmp_path / "verbose"), "-v"]) == 0
    assert ": started, " in capsys.readouterr().err


def test_a_log_is_never_added_to_another_file(tiny_source: Path, tmp_path: Path, capsys: Captured) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(SOUND, encoding="utf-8")
    command = ["build", "q4q8", "--source", str(tiny_source), "-o", str(tmp_path / "out"), "--log", str(mine)]
    assert run(command) == 1
    assert "error[U003]" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == SOUND
