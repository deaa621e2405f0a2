"""The first hour of a newcomer, on terminals of 80 and 120 columns: what is on the screen, and that all of it fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.newcomer import TASKS, Seen, session

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DATA = ("recipes show", "show ")
"""Commands that print what people copy: it is not wrapped."""


@pytest.fixture(scope="module", params=[80, 120])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> Sequence[Seen]:
    folder = tmp_path_factory.mktemp(f"newcomer-{request.param}")
    (folder / "tiny").symlink_to(tiny_source)
    found = session(folder, request.param)
    assert len(found) == len(TASKS) >= 30
    for task, each in zip(TASKS, found, strict=True):
        if not task["do"].startswith(DATA):
            for line in re.split(r"[\n\r]", CONTROL.sub("", each.screen)):
                assert cell_len(line) <= request.param, f"{task['do']}: {line}"
    return found


@pytest.mark.parametrize("number", range(len(TASKS)), ids=[f"{n} {task['do']}" for n, task in enumerate(TASKS)])
def test_what_must_be_on_the_screen(number: int, seen: Sequence[Seen]) -> None:
    task, found = TASKS[number], seen[number]
    text = re.sub(r"\s+", " ", CONTROL.sub("", found.screen))
    assert found.code == task.get("code", 0), text
    assert "Traceback" not in text
    for words in task["shows"]:
        assert words.strip() in text


def test_a_terminal_gets_colours(seen: Sequence[Seen]) -> None:
    assert "\x1b[3" in "".join(each.screen for each in seen)
