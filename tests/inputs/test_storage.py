"""The same numbers in other storages become the same bundle; what is not exact is refused with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.cli.main import run
from dsv4recipe.formats.exponents import NO_SCALE, exponents
from dsv4recipe.recipe.load import parse_recipe
from tests.inputs.sources import Raw, Tensors, changed_copy
from tests.inputs.stored import experts, scale_of, scales_as, to_bf16, to_fp8
from tests.recipes import changed

ODD = "layers.1.ffn.experts.5.w3.weight"
WQ_A = "layers.1.attn.wq_a.weight"
LONE = ("layers.0.ffn.experts.0.w1.weight", "layers.0.ffn.experts.2.w2.weight")


def shards(bundle: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in bundle.glob("model-*.safetensors")}


def built(source: Path, out: Path, recipe: str = "q4q8") -> Path:
    checkpoint = open_checkpoint(source)
    return build(make_plan(load_recipe(recipe), checkpoint), checkpoint, out)


def test_floats_that_are_powers_of_two_are_those_exponents_and_others_none() -> None:
    bytes_ = np.arange(255, dtype=np.uint8)
    floats = np.ldexp(np.float32(1), bytes_.astype(int) - 127).astype("<f4")
    for dtype, raw in (("F32", floats), ("BF16", (floats.view("<u4") >> 16).astype("<u2"))):
        assert np.array_equal(exponents(dtype, raw.view(np.uint8)), bytes_)
    odd = np.array([0, -1, 1.5, np.inf, np.nan, -0.0, 2.0**-130], "<f4")
    assert set(exponents("F32", odd.view(np.uint8))) == {NO_SCALE}


@pytest.mark.parametrize("recipe", ["q4q8", "native"])
@pytest.mark.parametrize("dtype", ["U8", "F32", "BF16"])
def test_scales_that_are_stored_otherwise(recipe: str, dtype: str, tiny_source: Path, tmp_path: Path) -> None:
    source = changed_copy(tiny_source, tmp_path / "source", scales_as(dtype))
    out = built(source, tmp_path / "out", recipe)
    assert shards(out) == shards(built(tiny_source, tmp_path / "plain", recipe))
    assert verify(out, source).ok


def test_a_scale_that_is_no_power_of_two_is_refused_where_it_is(tiny_source: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        scales_as("F32")(tensors)
        raw = tensors[scale_of(ODD)]
        values = raw.array("<f4")
        values[7, 1] *= 1.5
        tensors[scale_of(ODD)] = Raw("F32", raw.shape, values.tobytes())

    checkpoint = open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change))
    with pytest.raises(RecipeError) as caught:
        build(make_plan(load_recipe("q4q8"), checkpoint), checkpoint, tmp_path / "out")
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.subject) == ("B024", ODD)
    assert "a scale of dtype F32 that is no power of two" in found.message
    assert "row 7, column 32" in found.message


def test_fp8_experts_with_a_scale_for_each_row_and_32_columns(tiny_source: Path, tmp_path: Path) -> None:
    source = changed_copy(tiny_source, tmp_path / "source", lambda tensors: to_fp8(tensors, experts(tensors)))
    checkpoint = open_checkpoint(source)
    stored = {group.source for group in checkpoint.groups if group.experts}
    assert {(each.stored, each.tile) for each in stored} == {("fp8", (1, 32))}
    copies = parse_recipe(changed("format: {affine: {bits: 4, group-size: 32}}", "format: {mxfp4: {}}"), "recipe.yaml")
    with pytest.raises(RecipeError) as caught:
        make_plan(copies, checkpoint)
    assert {each.code for each in caught.value.diagnostics} == {"T010"}
    assert "the tensor is stored as fp8" in caught.value.diagnostics[0].message
    out = built(source, tmp_path / "out")
    plain = built(changed_copy(tiny_source, tmp_path / "bf16", lambda t: to_bf16(t, experts(t))), tmp_path / "other")
    assert shards(out) == shards(plain)
    assert verify(out, source).ok


def test_fp8_experts_with_the_tiles_of_the_config(tiny_source: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def change(tensors: Tensors) -> None:
        for name in experts(tensors):
            rows, columns = tensors[name].shape[0], 2 * tensors[name].shape[1]
            codes = rng.integers(0, 0x7E, (rows, columns), dtype=np.uint8) | (rng.integers(0, 2, (rows, columns)) << 7)
            tensors[name] = Raw("F8_E4M3", (rows, columns), codes.astype(np.uint8).tobytes())
            tiles = (-(-rows // 128), -(-columns // 128))
            scale = rng.integers(118, 122, tiles, dtype=np.uint8)
            tensors[scale_of(name)] = Raw("F8_E8M0", tiles, scale.tobytes())

    source = changed_copy(tiny_source, tmp_path / "source", change)
    stored = {group.source.tile for group in open_checkpoint(source).groups if group.experts}
    assert stored == {(128, 128)}
    assert verify(built(source, tmp_path / "out"), source).ok


def test_single_experts_stored_otherwise_than_their_stack(
    tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(tensors: Tensors) -> None:
        to_bf16(tensors, [*LONE, ODD])

    source = changed_copy(tiny_source, tmp_path / "source", change)
    checkpoint = open_checkpoint(source)
    group = next(group for group in checkpoint.groups if ODD in {member.name for member in group.members})
    assert (group.source.stored, [(name, each.stored) for name, each in group.others]) == ("fp4", [(ODD, "bf16")])
    out = built(source, tmp_path / "out")
    assert verify(out, source).ok
    assert run(["plan", "native", "--source", str(source)]) == 1
    words = capsys.readouterr().err
    assert "T010" in words
    assert f"{LONE[0]}: mxfp4 is a copy of FP4 source bits, the tensor is stored as bf16" in words
    assert run(["plan", "q4q8", "--source", str(source)]) == 0
    words = capsys.readouterr().out
    assert f"C027]: 3 experts are stored otherwise than most of their stack, first {LONE[0]}" in words
    assert run(["inspect", str(source)]) == 0
    assert "C027" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: Raw("F8_E8M0", (raw.shape[0], raw.shape[1] * 2), raw.data * 2), "one scale for 16 codes"),
        (lambda raw: Raw("F8_E8M0", (raw.shape[0],), raw.data[: raw.shape[0]]), "is neither FP4 nor FP8"),
        (lambda raw: Raw("F16", raw.shape, raw.data * 2), "cannot have a scale of dtype F16"),
    ],
)
def test_scales_of_no_known_kind_are_refused_with_the_reason(
    change: Callable[[Raw], Raw], reason: str, tiny_source: Path, tmp_path: Path
) -> None:
    def spoil(tensors: Tensors) -> None:
        tensors[scale_of(ODD)] = change(tensors[scale_of(ODD)])

    with pytest.raises(RecipeError) as caught:
        open_checkpoint(changed_copy(tiny_source, tmp_path / "source", spoil))
    (found,) = caught.value.diagnostics
    assert found.code == "C024"
    assert reason in found.message
    assert found.hint
