"""A release can be planned without its files, and the plan is the one that the files give."""

from __future__ import annotations

import hashlib
import json

import pytest

from dsv4recipe import RecipeError, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint, detect_family
from dsv4recipe.checkpoint.layout import LAYOUTS, LayoutSource, open_release, release_of
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.synth import shard_pieces
from dsv4recipe.cli.main import run
from dsv4recipe.headers.safetensors import header_bytes


@pytest.mark.parametrize("name", RELEASES)
def test_shipped_digests_are_those_of_the_headers(name: str) -> None:
    config = RELEASES[name].full_config()
    family = detect_family(config, "config.json")
    shards = shard_pieces(family, family.dims_of(config, "config.json"))
    heads = [header_bytes((piece.name, piece.dtype, piece.shape) for piece in pieces) for pieces in shards]
    known = json.loads(LAYOUTS.read_text(encoding="utf-8"))[name]
    assert [list(head) for head in known.values()] == [[len(raw), hashlib.sha256(raw).hexdigest()] for raw in heads]


def test_layout_has_no_weights_to_read() -> None:
    with pytest.raises(OSError, match="no weights"):
        LayoutSource("v4-flash").read("model-00001-of-00046.safetensors", 0, 8)


def test_pinned_revision_names_the_release_and_another_does_not() -> None:
    pinned = load_recipe("q4q8").source
    assert release_of(pinned.model, pinned.revision) == "v4-flash"
    assert release_of(pinned.model, "0" * 40) == ""


def test_unknown_release_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError) as refusal:
        open_release("v4-flsh")
    assert refusal.value.diagnostics[0].code == "C051"
    assert "v4-flash" in refusal.value.diagnostics[0].hint


def test_plan_without_a_checkpoint_is_the_plan_from_its_headers(full: Checkpoint) -> None:
    recipe = load_recipe("q4q8")
    assert make_plan(recipe, open_release("v4-flash")).digest == make_plan(recipe, full).digest


def test_commands_take_the_pinned_release_or_a_named_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "q4q8", "embed.weight"]) == 0
    assert "595,722,240 B" in capsys.readouterr().out
    assert run(["explain", "q4q8", "embed.weight", "--release", "v4-flash-0731"]) == 0
    assert "595,722,240 B" in capsys.readouterr().out
    assert run(["plan", "q4q8", "--release", "v4-pro", "--source", "."]) == 1
    assert "U005" in capsys.readouterr().err
