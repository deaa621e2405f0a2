"""Sources under other tools' names become the same bundle as under the release's own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import RecipeError, build, inspect, make_plan, open_checkpoint
from dsv4recipe.checkpoint.deepseek_v4 import DEEPSEEK_V4, dims_of
from dsv4recipe.checkpoint.dialects import transformers_name
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.formats.decode import decode_source
from dsv4recipe.recipe.load import parse_recipe
from tests.inputs.drawn.storage import stacked
from tests.inputs.sources import Raw, Tensors, changed_copy
from tests.recipes import SOUND, changed

TORCH = os.environ.get("DSV4RECIPE_TORCH_PYTHON", "")
RECIPE = parse_recipe(changed("mtp: keep", "mtp: drop"), "recipe.yaml")


def in_bf16(checkpoint: Checkpoint) -> Tensors:
    """The main model as tools store it that know no FP4: every matrix in BF16, which holds the numbers exactly."""
    read = checkpoint.folder.source.read
    found: Tensors = {}
    for tensor in checkpoint.tensors:
        if tensor.slot.block == "mtp":
            continue
        raw = read(tensor.file, tensor.weight.start, tensor.weight.end)
        found[tensor.name] = Raw(tensor.weight.dtype, tensor.weight.shape, raw)
        if tensor.scale is not None:
            scale = np.frombuffer(read(tensor.scale_file, tensor.scale.start, tensor.scale.end), np.uint8)
            exact = decode_source(tensor.source, np.frombuffer(raw, np.uint8), scale)
            bits = (exact.view(np.uint32) >> 16).astype("<u2")
            found[tensor.name] = Raw("BF16", tensor.source.shape, bits.tobytes())
    return found


def split(tensors: Tensors) -> Tensors:
    return {
        ("" if name.startswith("head.") else "model.") + transformers_name(name): raw for name, raw in tensors.items()
    }


def replaced(new: Tensors) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors.clear()
        tensors.update(new)

    return change


def shards(bundle: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(bundle.glob("*.safetensors"))]


def test_transformers_names_build_the_same_bundle(tiny: Checkpoint, tiny_source: Path, tmp_path: Path) -> None:
    plain = in_bf16(tiny)
    built = []
    for number, tensors in enumerate((plain, split(plain), stacked(split(plain)))):
        source = open_checkpoint(changed_copy(tiny_source, tmp_path / f"source-{number}", replaced(tensors)))
        built.append(shards(build(make_plan(RECIPE, source), source, tmp_path / f"bundle-{number}")))
    assert built[0] == built[1] == built[2]


@pytest.mark.parametrize("prefix", ["model.", "language_model.", "language_model.model.", "model.language_model."])
def test_a_prefix_and_other_words_for_scales_are_seen_through(
    prefix: str, tiny: Checkpoint, tiny_source: Path, tmp_path: Path
) -> None:
    def change(tensors: Tensors) -> None:
        for name, raw in list(tensors.items()):
            del tensors[name]
            scale = name.endswith(".scale")
            other = name.removesuffix("scale") + "weight_scale_inv" if scale else name
            outer = "language_model." if "language" in prefix else ""
            put = outer if name.startswith("head.") else prefix
            tensors[put + other] = Raw("U8", raw.shape, raw.data) if scale else raw

    source = open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change))
    plan = make_plan(parse_recipe(SOUND, "recipe.yaml"), source)
    assert plan.modules == make_plan(parse_recipe(SOUND, "recipe.yaml"), tiny).modules


@pytest.mark.skipif(not TORCH, reason="DSV4RECIPE_TORCH_PYTHON names no interpreter with torch and transformers")
def test_the_table_is_a_bijection_onto_transformers_own_class() -> None:
    config = synth_config("v4-flash", "tiny")
    config.pop("quantization_config")
    child = Path(__file__).with_name("dialect_child.py")
    told = subprocess.run([TORCH, str(child), json.dumps(config)], capture_output=True, text=True, check=True)
    theirs: dict[str, list[int]] = json.loads(told.stdout)
    names = [each.name for each in DEEPSEEK_V4.expected(dims_of(config, "")) if each.slot.block == "main"]
    ours = {("" if name.startswith("head.") else "model.") + transformers_name(name) for name in names}
    assert len(ours) == len(names)
    assert {name for name in ours if ".mlp.experts." not in name} == {n for n in theirs if ".mlp.experts." not in n}
    experts = {name: shape for name, shape in theirs.items() if ".mlp.experts." in name}
    wanted = {f"model.layers.{n}.mlp.experts.{what}" for n in range(4) for what in ("gate_up_proj", "down_proj")}
    assert set(experts) == wanted
    assert experts["model.layers.0.mlp.experts.gate_up_proj"] == [8, 2 * 128, 256]


@pytest.mark.parametrize(
    ("release", "rename"),
    [
        ("v4-flash", lambda name: f"transformer.h.{name}"),
        ("v4-flash", lambda name: name.replace("layers.", "blk.").replace("ffn.experts", "moe")),
        ("v4.1-flash", lambda name: name.replace("layers.", "blocks.").replace("attn.", "attention.")),
    ],
)
def test_names_of_a_tool_that_no_table_knows_are_one_error(
    release: str, rename: Callable[[str], str], tmp_path: Path
) -> None:
    def change(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[rename(name)] = tensors.pop(name)

    whole = synthesize(tmp_path / "whole", release, headers_only=True).root
    with pytest.raises(RecipeError) as caught:
        open_checkpoint(changed_copy(whole, tmp_path / "source", change))
    (found,) = caught.value.diagnostics
    assert found.code == "C028"
    assert "tensors have names that no table for" in found.message
    assert found.hint


@pytest.mark.parametrize("rename", [transformers_name, lambda name: f"language_model.model.{name}"])
def test_v41_is_read_under_other_names_too(rename: Callable[[str], str], tmp_path: Path) -> None:
    whole = synthesize(tmp_path / "whole", "v4.1-flash", headers_only=True).root

    def change(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[rename(name)] = tensors.pop(name)

    plain, other = open_checkpoint(whole), open_checkpoint(changed_copy(whole, tmp_path / "source", change))
    assert {group.names: group.source for group in other.groups} == {g.names: g.source for g in plain.groups}
    assert other.dialect


def test_inspect_says_whose_names_they_are(tiny: Checkpoint, tmp_path: Path) -> None:
    plain = in_bf16(tiny)
    for number, (names, said) in enumerate(
        (
            (plain, ""),
            (split(plain), "transformers, experts one by one; prefix model"),
            (stacked(split(plain)), "transformers, experts stacked; prefix model"),
            ({f"language_model.{name}": raw for name, raw in plain.items()}, "prefix language_model"),
        )
    ):
        source = changed_copy(tiny.folder.root, tmp_path / str(number), replaced(names))
        assert inspect(source)["dialect"] == said
