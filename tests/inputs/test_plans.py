"""What build or verify would refuse is refused by plan; what can be made right is made right, in every file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.builder.side import side_files
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.headers.gguf import read_gguf_header
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from tests.gguf.recipes import for_llama_cpp
from tests.inputs.sources import Tensors, changed_copy, edit_json, in_bf16
from tests.recipes import changed, with_first_rule


def codes(recipe: str, checkpoint: Checkpoint) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        make_plan(load_recipe(recipe), checkpoint)
    assert all(each.hint for each in caught.value.diagnostics)
    return [each.code for each in caught.value.diagnostics]


@pytest.mark.parametrize("recipe", ["q4q8", "native"])
def test_control_tensors_in_bf16_are_widened_exactly(recipe: str, tiny_source: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        for name, raw in tensors.items():
            if raw.dtype == "F32":
                tensors[name] = in_bf16(raw)

    plan = make_plan(load_recipe(recipe), open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change)))
    sinks = [module for module in plan.modules if module.role in ("attention-sink", "router-bias", "hyper-connection")]
    assert {module.source.stored for module in sinks} == {"bf16"}
    assert {(module.parts[0].dtype, module.lossless) for module in sinks} == {("F32", True)}


@pytest.mark.parametrize("recipe", ["q4q8", "q3-mixed"])
def test_one_list_of_stop_tokens_in_every_file(recipe: str, source_copy: Path) -> None:
    edit_json(source_copy / "config.json", lambda config: config.update(eos_token_id=[1, 5]))
    edit_json(source_copy / "tokenizer_config.json", lambda config: config.update(eos_token_id=[1, 5]))
    checkpoint = open_checkpoint(source_copy)
    made = side_files(make_plan(load_recipe(recipe), checkpoint), checkpoint)
    names = ("config.json", "generation_config.json", "tokenizer_config.json")
    assert {tuple(json.loads(made[name])["eos_token_id"]) for name in names} == {(1, 3, 5)}


@pytest.mark.parametrize("recipe", ["q4q8", "q3-mixed"])
@pytest.mark.parametrize(
    ("file", "key"), [("config.json", "swiglu_limit"), ("config.json", "rope_scaling"), ("tokenizer.json", "")]
)
def test_what_the_bundle_needs_is_missed_by_plan(recipe: str, file: str, key: str, source_copy: Path) -> None:
    if key:
        edit_json(source_copy / file, lambda config: config.pop(key))
    else:
        (source_copy / file).unlink()
    assert codes(recipe, open_checkpoint(source_copy)) == ["T020"]


def test_tokens_beyond_the_embedding_and_stop_tokens_that_are_none(source_copy: Path) -> None:
    edit_json(source_copy / "tokenizer.json", lambda it: it["added_tokens"].append({"id": 600, "content": "<x>"}))
    assert codes("q3-mixed", open_checkpoint(source_copy)) == ["T024"]
    edit_json(source_copy / "config.json", lambda config: config.update(eos_token_id=[1, 9999]))
    assert codes("q3-mixed", open_checkpoint(source_copy)) == ["T025"]


def test_a_config_inside_text_config_is_read_as_if_it_stood_outside(source_copy: Path, tiny: Checkpoint) -> None:
    flat = json.loads((source_copy / "config.json").read_text())
    inner = {key: value for key, value in flat.items() if key != "quantization_config"}
    wrapped = {"model_type": "a_wrapper", "quantization_config": flat["quantization_config"], "text_config": inner}
    (source_copy / "config.json").write_text(json.dumps(wrapped))
    checkpoint = open_checkpoint(source_copy)
    assert checkpoint.config == flat
    made = side_files(make_plan(load_recipe("q4q8"), checkpoint), checkpoint)
    assert made["config.json"] == side_files(make_plan(load_recipe("q4q8"), tiny), tiny)["config.json"]


def test_rules_that_drop_what_is_needed_or_name_layers_that_are_not_there(
    planned: Callable[[str], Plan], source_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        planned(with_first_rule("  - id: none\n    match: {role: attention-sink}\n    drop: true\n"))
    assert "T018" in {each.code for each in caught.value.diagnostics}
    with pytest.raises(RecipeError) as caught:
        planned(with_first_rule("  - id: wide\n    match: {role: routed-expert, layers: [0-99]}\n    keep: float16\n"))
    found = next(each for each in caught.value.diagnostics if each.code == "P005")
    assert "5-99" in found.message
    assert "layers 0 to 3, and its MTP stages are 4 to 4" in found.hint
    assert run(["plan", "q4q8", "--source", str(source_copy)]) == 0
    assert "tensors are kept as F16, but the source has them in BF16" in capsys.readouterr().out


def test_a_gguf_stops_at_two_tokens_and_has_room_for_no_third(tiny_256_source: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_256_source, tmp_path / "source"))
    edit_json(source / "config.json", lambda config: config.update(eos_token_id=[1, 5]))
    checkpoint = open_checkpoint(source)
    out = build(make_plan(for_llama_cpp("ds4-q4"), checkpoint), checkpoint, tmp_path / "model.gguf")
    said = read_gguf_header(out)
    assert (said.pairs["tokenizer.ggml.eos_token_id"].value, said.pairs["tokenizer.ggml.eot_token_id"].value) == (1, 5)
    assert verify(out, source).ok
    edit_json(source / "config.json", lambda config: config.update(eos_token_id=[1, 5, 7]))
    with pytest.raises(RecipeError) as caught:
        make_plan(for_llama_cpp("ds4-q4"), open_checkpoint(source))
    assert [(each.code, each.hint) for each in caught.value.diagnostics] == [("T031", "write [1, 5]")]


@pytest.mark.parametrize("said", [False, True])
def test_stages_that_are_gone_are_dropped_or_the_mend_is_told(said: bool, tiny_source: Path, tmp_path: Path) -> None:
    def gone(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith("mtp.")]:
            del tensors[name]

    source = changed_copy(
        tiny_source, tmp_path / "source", gone, lambda c: c.update(num_nextn_predict_layers=0) if said else None
    )
    if not said:
        with pytest.raises(RecipeError) as caught:
            make_plan(load_recipe("q4q8"), open_checkpoint(source))
        (found,) = caught.value.diagnostics
        assert found.code == "T019"
        assert found.hint == "write `mtp: drop` in the recipe, or set num_nextn_predict_layers to 0 in config.json"
        edit_json(source / "config.json", lambda config: config.update(num_nextn_predict_layers=0))
    checkpoint = open_checkpoint(source)
    out = build(make_plan(load_recipe("q4q8"), checkpoint), checkpoint, tmp_path / "kept")
    assert verify(out).ok
    dropped = make_plan(parse_recipe(changed("mtp: keep", "mtp: drop"), "recipe.yaml"), checkpoint)
    assert json.loads(side_files(dropped, checkpoint)["config.json"])["num_nextn_predict_layers"] == 0
