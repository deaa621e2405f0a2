"""Zeros where weights should be: told by name, and too many are refused; also by a build that was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder import resumable
from dsv4recipe.builder.journal import Entry
from dsv4recipe.cli.main import run
from dsv4recipe.formats.zeros import zero_sectors
from dsv4recipe.recipe.model import Recipe
from tests.gguf.recipes import for_llama_cpp
from tests.inputs.sources import Raw, Tensors, changed_copy
from tests.recipes import changed

EXPERT = "layers.2.ffn.experts.3.w2.weight"


def emptied(name: str, start: float, end: float) -> Any:
    """Fills part of a tensor with zeros."""

    def change(tensors: Tensors) -> None:
        data = bytearray(tensors[name].data)
        low, high = int(start * len(data)), int(end * len(data))
        data[low:high] = bytes(high - low)
        tensors[name] = Raw(tensors[name].dtype, tensors[name].shape, bytes(data))

    return change


def test_counting_sees_every_sector_of_zeros_and_no_other() -> None:
    rng = np.random.default_rng(0)
    raw = np.zeros(512 * 200 + 100, np.uint8)
    for sector in range(0, 200, 3):
        raw[512 * sector + rng.integers(512)] = 1
    zero = sum(not raw[512 * sector : 512 * sector + 512].any() for sector in range(200))
    assert zero_sectors(raw) == (zero, 200)
    assert zero_sectors(raw[:100]) == (0, 0)


def test_a_matrix_of_zeros_is_refused_unless_it_is_meant(tiny_source: Path, tmp_path: Path) -> None:
    source = changed_copy(tiny_source, tmp_path / "source", emptied(EXPERT, 0.25, 1))
    checkpoint = open_checkpoint(source)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    with pytest.raises(RecipeError) as caught:
        build(plan, checkpoint, tmp_path / "out")
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.subject) == ("B023", EXPERT)
    assert "--allow-zeros" in found.hint
    assert not (tmp_path / "out").exists()
    events: list[dict[str, Any]] = []
    build(plan, checkpoint, tmp_path / "out", allow_zeros=True, on_event=events.append)
    (told,) = [event for event in events if event["event"] == "zeros"]
    row = told["tensors"][EXPERT]
    assert (list(told["tensors"]), row["zero"] / row["of"]) == ([EXPERT], 0.75)


def test_some_zeros_are_told_by_name_at_the_end(
    tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = changed_copy(tiny_source, tmp_path / "source", emptied("embed.weight", 0.9, 1))
    assert run(["build", "q4q8", "--source", str(source), "-o", str(tmp_path / "out")]) == 0
    words = capsys.readouterr().err
    assert "B023" in words
    assert "embed.weight in model-00001-of-00006.safetensors: " in words


def test_the_journal_tells_a_build_that_continues(tiny_source: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(changed_copy(tiny_source, tmp_path / "source", emptied(EXPERT, 0, 0.25)))
    recipe = recipe_of(changed("shard-size: 5GiB", "shard-size: 500KB"))
    plan = make_plan(recipe, checkpoint)
    assert len(plan.shards) > 2
    events: list[dict[str, Any]] = []

    def stop(event: dict[str, Any]) -> None:
        journal = tmp_path / "out.partial" / "journal.jsonl"
        if event["event"] == "shard_done" and EXPERT in journal.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan, checkpoint, tmp_path / "out", workers=1, on_event=stop)
    build(plan, checkpoint, tmp_path / "out", workers=1, on_event=events.append)
    assert "resumed" in {event["event"] for event in events}
    assert [list(event["tensors"]) for event in events if event["event"] == "zeros"] == [[EXPERT]]


def test_a_gguf_that_is_continued_tells_too_and_zeros_are_not_believed_again(
    tiny_256_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsv4recipe.builder.shard.EXTENT", 1 << 16)
    tensor = "layers.0.ffn.experts.1.w1.weight"
    checkpoint = open_checkpoint(changed_copy(tiny_256_source, tmp_path / "source", emptied(tensor, 0, 0.25)))
    plan = make_plan(for_llama_cpp("ds4-q4"), checkpoint)
    progress = tmp_path / "out.gguf.partial" / resumable.NAME

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "written" and progress.exists() and tensor in progress.read_text():
            raise KeyboardInterrupt

    events: list[dict[str, Any]] = []
    with pytest.raises(KeyboardInterrupt):
        build(plan, checkpoint, tmp_path / "out.gguf", workers=1, on_event=stop)
    build(plan, checkpoint, tmp_path / "out.gguf", workers=1, on_event=events.append)
    assert "resumed" in {event["event"] for event in events}
    assert [list(event["tensors"]) for event in events if event["event"] == "zeros"] == [[tensor]]

    last = "layers.3.ffn.experts.1.w1.weight"
    empty = open_checkpoint(changed_copy(tiny_256_source, tmp_path / "empty", emptied(last, 0, 1)))
    plan = make_plan(for_llama_cpp("ds4-q4"), empty)
    with pytest.raises(RecipeError) as caught:
        build(plan, empty, tmp_path / "other.gguf", workers=1)
    assert [each.code for each in caught.value.diagnostics] == ["B023"]
    assert not (tmp_path / "other.gguf.partial" / resumable.NAME).exists()


def test_a_journal_without_zeros_is_as_it_was() -> None:
    assert json.loads(Entry("t", "f", 1, "0").line()) == {"task": "t", "file": "f", "size": 1, "sha256": "0"}


def recipe_of(text: str) -> Recipe:
    from dsv4recipe.recipe.load import parse_recipe

    return parse_recipe(text, "recipe.yaml")
