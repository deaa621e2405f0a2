"""Pruned models and their kin: planned where the runtimes can run them, refused by name where they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.checkpoint.dialects import transformers_name
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.errors import Diagnostic
from dsv4recipe.recipe.load import parse_recipe
from tests.inputs.sources import Tensors, changed_copy, edit_json
from tests.inputs.stored import fewer_experts
from tests.recipes import SOUND, changed

DROPPED = changed("mtp: keep", "mtp: drop")


def refused(action: Callable[[], object]) -> Diagnostic:
    with pytest.raises(RecipeError) as caught:
        action()
    (found,) = caught.value.diagnostics
    assert found.hint
    return found


def in_layers(block: str) -> bool:
    return block.startswith("layers")


def test_experts_pruned_alike_and_the_config_left_as_it_was(tiny_source: Path, tmp_path: Path) -> None:
    source = changed_copy(tiny_source, tmp_path / "source", lambda tensors: fewer_experts(tensors, 6))
    found = refused(lambda: open_checkpoint(source))
    assert (found.code, found.hint) == ("C025", "write n_routed_experts: 6")
    assert "n_routed_experts: 8, and every layer holds 6 experts" in found.message
    edit_json(source / "config.json", lambda config: config.update(n_routed_experts=6))
    checkpoint = open_checkpoint(source)
    out = build(make_plan(load_recipe("q4q8"), checkpoint), checkpoint, tmp_path / "out")
    assert verify(out, source).ok


def test_another_number_of_experts_in_each_layer_is_named(tiny_source: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        fewer_experts(tensors, 6, lambda block: block in ("layers.1", "layers.3"))

    found = refused(lambda: open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change)))
    assert found.code == "C025"
    assert "the layers hold 6 to 8 experts, not all alike" in found.message
    assert found.notes == ("6 experts in layers 1, 3", "8 experts in layers 0, 2")


def test_an_expert_that_is_missing_is_no_pruning(tiny_source: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith("layers.2.ffn.experts.7.")]:
            del tensors[name]

    found = refused(lambda: open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change)))
    assert found.code == "C021"


def test_pruned_layers_with_a_stage_of_full_width(tiny_source: Path, tmp_path: Path) -> None:
    source = changed_copy(
        tiny_source,
        tmp_path / "source",
        lambda tensors: fewer_experts(tensors, 6, in_layers),
        lambda config: config.update(n_routed_experts=6),
    )
    checkpoint = open_checkpoint(source)
    assert (checkpoint.dims.experts, checkpoint.dims.mtp_experts) == (6, 8)
    found = refused(lambda: make_plan(parse_recipe(SOUND, "recipe.yaml"), checkpoint))
    assert (found.code, found.hint) == ("T008", "write `mtp: drop`")
    assert "the MTP stages hold 8 experts and the layers 6, and vmlx builds the stages with 6" in found.message
    out = build(make_plan(parse_recipe(DROPPED, "recipe.yaml"), checkpoint), checkpoint, tmp_path / "out")
    assert verify(out, source).ok


def test_a_dspark_stage_of_full_width_says_so_in_the_config(tmp_path: Path) -> None:
    whole = synthesize(tmp_path / "whole", "v4-flash-0731").root
    source = changed_copy(
        whole,
        tmp_path / "source",
        lambda tensors: fewer_experts(tensors, 6, in_layers),
        lambda config: config.update(n_routed_experts=6),
    )
    recipe = parse_recipe(SOUND.replace("mtp-projection]", "mtp-projection, markov-head, confidence-head]"), "r.yaml")
    codes = {each.code: each.hint for each in _problems(lambda: make_plan(recipe, open_checkpoint(source)))}
    if "T008" in codes:
        assert "set dspark_n_routed_experts to 8 in config.json" in codes["T008"]
        edit_json(source / "config.json", lambda config: config.update(dspark_n_routed_experts=8))
    assert "T008" not in {each.code for each in _problems(lambda: make_plan(recipe, open_checkpoint(source)))}


def _problems(action: Callable[[], object]) -> tuple[Diagnostic, ...]:
    try:
        action()
    except RecipeError as error:
        return error.diagnostics
    return ()


def test_fewer_experts_for_a_token_than_the_table_has(source_copy: Path) -> None:
    edit_json(source_copy / "config.json", lambda config: config.update(num_experts_per_tok=1))
    found = refused(lambda: open_checkpoint(source_copy))
    assert (found.code, found.hint) == ("C026", "write num_experts_per_tok: 2")
    assert "layers.0.ffn.gate.tid2eid names 2 experts for each token" in found.message
    edit_json(source_copy / "config.json", lambda config: config.update(num_experts_per_tok=2))
    assert open_checkpoint(source_copy).dims.topk == 2


def test_more_experts_for_a_token_than_there_are(source_copy: Path) -> None:
    edit_json(source_copy / "config.json", lambda config: config.update(num_experts_per_tok=9))
    found = json.dumps([each.message for each in _problems(lambda: open_checkpoint(source_copy))])
    assert "num_experts_per_tok is 9, and there are 8 routed experts" in found


def test_pruning_is_seen_under_the_names_of_transformers_too(tiny_source: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        fewer_experts(tensors, 6, lambda block: block in ("layers.1", "layers.3"))
        for name in list(tensors):
            raw = tensors.pop(name)
            if not name.startswith("mtp."):
                tensors[transformers_name(name)] = raw

    source = changed_copy(tiny_source, tmp_path / "source", change, lambda config: config.update(n_routed_experts=6))
    assert refused(lambda: open_checkpoint(source)).notes == ("6 experts in layers 1, 3", "8 experts in layers 0, 2")
