"""Integers that number experts or tokens: one that numbers nothing is refused, by build and by verify."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.bundle.gguf_view import open_gguf
from dsv4recipe.checkpoint.deepseek_v4 import DEEPSEEK_V4
from dsv4recipe.runtimes.llama_cpp.target import LLAMA_CPP
from dsv4recipe.verifier.contract.check import check_any
from dsv4recipe.verifier.contract.gguf_laws import gguf_findings, look_at_gguf
from tests.gguf.recipes import for_llama_cpp
from tests.inputs.sources import Raw, Tensors, changed_copy, read_tensors, write_tensors

TABLE = "layers.1.ffn.gate.tid2eid"
WIDTHS = {"I64": "<i8", "I32": "<i4"}


def renumbered(value: int, dtype: str = "I64") -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        table = tensors[TABLE].array("<i8")
        table[5, 1] = value
        tensors[TABLE] = Raw(dtype, table.shape, table.astype(WIDTHS[dtype]).tobytes())

    return change


@pytest.mark.parametrize(("value", "dtype"), [(8, "I64"), (-1, "I64"), (70000, "I32")])
@pytest.mark.parametrize("one_file", [False, True])
def test_a_table_that_numbers_no_expert_is_not_built(
    value: int, dtype: str, one_file: bool, tiny_256_source: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(changed_copy(tiny_256_source, tmp_path / "source", renumbered(value, dtype)))
    recipe = for_llama_cpp("ds4-q4") if one_file else load_recipe("q4q8")
    out = tmp_path / ("model.gguf" if one_file else "bundle")
    with pytest.raises(RecipeError) as caught:
        build(make_plan(recipe, checkpoint), checkpoint, out)
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.subject) == ("B022", TABLE)
    assert f"row 5, column 1 holds {value}" in found.message
    assert "0 to 7" in found.message
    assert not out.exists()


def test_verify_names_the_number_in_a_bundle(spoiled: Path) -> None:
    (shard,) = spoiled.glob("model-*.safetensors")
    tensors = read_tensors(spoiled)
    renumbered(8)(tensors)
    write_tensors(shard, tensors)
    found = [each for each in check_any(spoiled).step.findings if each.code == "V111"]
    assert [each.where.subject for each in found] == [TABLE]
    assert "row 5, column 1 holds 8, but there are only 8 routed experts" in found[0].message


def test_verify_names_the_number_in_a_gguf(tiny_256_source: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(changed_copy(tiny_256_source, tmp_path / "source"))
    out = build(make_plan(for_llama_cpp("ds4-q4"), checkpoint), checkpoint, tmp_path / "model.gguf")
    name = "blk.1.ffn_gate_tid2eid.weight"
    entry = next(each for shard in open_gguf(out).shards for each in shard.tensors if each.name == name)
    with out.open("r+b") as stream:
        stream.seek(entry.start)
        stream.write((-7).to_bytes(4, "little", signed=True))
    found = list(gguf_findings(look_at_gguf(open_gguf(out), DEEPSEEK_V4, LLAMA_CPP), LLAMA_CPP))
    assert [(each.code, each.where.subject) for each in found] == [("V111", name)]
    assert "row 0, column 0 holds -7" in found[0].message


@pytest.mark.parametrize("dtype", ["U8", "F32"])
def test_a_table_of_no_whole_numbers_is_refused_when_opened(dtype: str, tiny_source: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        table = tensors[TABLE].array("<i8")
        tensors[TABLE] = Raw(dtype, table.shape, table.astype({"U8": "u1", "F32": "<f4"}[dtype]).tobytes())

    with pytest.raises(RecipeError) as caught:
        open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change))
    assert [each.code for each in caught.value.diagnostics] == ["C024"]
