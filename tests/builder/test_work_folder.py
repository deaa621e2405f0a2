"""What is said of the folder of work is what the code does: the tables of the page, the schema of the events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsv4recipe import build, make_plan
from dsv4recipe.builder.events import EVENTS, Done, event_of, events_schema
from dsv4recipe.builder.work_folder import KEPT, STATES
from dsv4recipe.checkpoint.graph import Checkpoint
from scripts.generate import generated

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_tables_of_the_code() -> None:
    (page,) = ROOT.glob("docs/**/reliability.md")
    text = page.read_text(encoding="utf-8")
    for state in STATES:
        assert f"| {state.found} | {state.does} |\n" in text
        assert state.code in state.does
    for kept in KEPT:
        assert f"| `{kept.name}` | {kept.writer} | {kept.next} |\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert sum("OUT" in row.split("|")[1] or row.startswith("| nothing") for row in rows) == len(STATES)


def test_every_event_of_a_build_is_as_its_schema_says(tiny: Checkpoint, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    plan = make_plan("q4q8", tiny)

    def stop(event: dict[str, Any]) -> None:
        seen.append(event)
        if event["event"] == "shard_done":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan, tiny, tmp_path / "out", workers=1, on_event=stop)
    build(plan, tiny, tmp_path / "out", workers=1, on_event=seen.append)
    schema = jsonschema.Draft7Validator(events_schema())
    for event in seen:
        assert not list(schema.iter_errors(json.loads(json.dumps(event)))), event
        assert event_of(event).data() == event
    assert {event["event"] for event in seen} >= {
        "plan_loaded",
        "resumed",
        "shard_started",
        "written",
        "shard_done",
        "done",
    }
    assert list(schema.iter_errors({"event": "shard_done", "file": "x", "bytes": 1}))
    assert list(schema.iter_errors({"event": "unheard"}))
    assert len({kind.event for kind in EVENTS}) == len(EVENTS)
    assert Done(out="x", bytes=1, headers_only=True).data() == {
        "event": "done", "out": "x", "bytes": 1, "headers_only": True,
    }  # fmt: skip


def test_generated_files_are_as_the_code_says() -> None:
    for file, text in generated().items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: run `python scripts/generate.py`"
