"""GGUF files as bundles: proven, spoiled, compared, read back into recipes; ours and other people's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from dsv4recipe import RecipeError, build, diff, load_recipe, make_plan, verify
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.bundle.decompile import decompile_bundle
from dsv4recipe.bundle.manifest import manifest_path
from dsv4recipe.bundle.open import side_differences
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import Diagnostic
from dsv4recipe.headers.gguf import Pair, gguf_header_bytes, read_gguf_header
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.runtimes import get
from dsv4recipe.verifier.contract.check import check_contract
from tests.gguf.recipes import for_llama_cpp


@pytest.fixture(scope="module")
def files(tiny_256: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {
        name: build(make_plan(for_llama_cpp(name), tiny_256), tiny_256, folder / f"{name}.gguf")
        for name in ("ds4-q2", "ds4-q4")
    }


@pytest.fixture
def copy(files: dict[str, Path], tmp_path: Path) -> Path:
    """A copy under another name, with its manifest, to be spoiled."""
    out = tmp_path / "renamed.gguf"
    shutil.copyfile(files["ds4-q2"], out)
    shutil.copyfile(manifest_path(files["ds4-q2"]), manifest_path(out))
    return out


def codes(findings: tuple[Diagnostic, ...]) -> set[str]:
    return {finding.code for finding in findings}


def test_a_built_file_is_proven_against_its_source(copy: Path, tiny_256_source: Path) -> None:
    proof = verify(copy, source=tiny_256_source)
    assert proof.ok
    assert [step.name for step in proof.steps] == ["integrity", "contract", "numbers"]
    assert not [finding for step in proof.steps for finding in step.findings]
    errors = {row["format"]: [] for row in proof.numbers}
    for row in proof.numbers:
        errors[row["format"]].append(row["rel_rmse"])
    assert max(errors["F32"]) == max(errors["I32"]) == 0
    assert 0.25 < min(errors["IQ2_XXS energy"]) <= max(errors["IQ2_XXS energy"]) < 0.53
    assert 0.2 < min(errors["Q2_K"]) <= max(errors["Q2_K"]) < 0.46
    assert max(errors["Q8_0"]) < 0.01
    assert max(errors["F16"]) < 2.0**-10


@pytest.mark.parametrize("tensor", ["blk.1.ffn_up_exps.weight", "blk.2.attn_kv.weight", "output_norm.weight"])
def test_one_flipped_bit_is_found_by_hash_and_by_number(copy: Path, tiny_256_source: Path, tensor: str) -> None:
    entry = next(entry for entry in read_gguf_header(copy).tensors if entry.name == tensor)
    with copy.open("r+b") as stream:
        stream.seek(entry.start + 3)
        byte = stream.read(1)[0]
        stream.seek(entry.start + 3)
        stream.write(bytes([byte ^ 0x40]))
    integrity, contract, numbers = verify(copy, source=tiny_256_source).steps
    assert codes(integrity.findings) == {"V012"}
    assert contract.ok
    assert "V303" in codes(numbers.findings)


def test_a_changed_or_lost_manifest_is_noticed(copy: Path) -> None:
    path = manifest_path(copy)
    path.write_text(path.read_text().replace('"license": "mit"', '"license": "mat"', 1))
    assert "V014" in codes(verify(copy).steps[0].findings)
    path.unlink()
    proof = verify(copy)
    assert proof.ok
    assert codes(proof.steps[0].findings) == {"V015"}


Tensors = list[tuple[str, str, tuple[int, ...]]]
Change = Callable[[list[Pair], Tensors], None]


def rewritten(path: Path, out: Path, change: Change) -> Path:
    """A file of the same header but for one change, with holes for data."""
    header = read_gguf_header(path)
    pairs = list(header.pairs.values())
    tensors = [(entry.name, entry.dtype, entry.shape) for entry in header.tensors]
    change(pairs, tensors)
    with out.open("wb") as stream:
        stream.write(gguf_header_bytes(pairs, tensors))
        stream.truncate(header.size + (1 << 20))
    return out


def without(name: str) -> Change:
    def change(pairs: list[Pair], tensors: Tensors) -> None:
        pairs[:] = [pair for pair in pairs if pair.key != name]
        tensors[:] = [tensor for tensor in tensors if tensor[0] != name]

    return change


def instead(name: str, *values: object) -> Change:
    def change(pairs: list[Pair], tensors: Tensors) -> None:
        pairs[:] = [Pair(name, *values) if pair.key == name else pair for pair in pairs]  # type: ignore[arg-type]
        tensors[:] = [(name, *values) if tensor[0] == name else tensor for tensor in tensors]  # type: ignore[misc]

    return change


SPOILED = [
    (without("blk.3.exp_probs_b.bias"), "V102", "blk.3.exp_probs_b.bias is not in the file"),
    (lambda pairs, tensors: tensors.append(("blk.0.exp_probs_b.bias", "F32", (8,))), "V101", "llama.cpp refuses"),
    (instead("blk.0.attn_q_a.weight", "Q8_0", (128, 288)), "V106", "require [128, 256]"),
    (instead("output_norm.weight", "F16", (256,)), "V161", "does not load that for norm"),
    (without("deepseek4.rope.scaling.type"), "V162", "scale positions linearly"),
    (
        instead("deepseek4.expert_count", "u64", 8),
        "V162",
        "is u64, but engines read u32",
    ),
    (instead("deepseek4.swiglu_clamp_exp", "f32[]", (10.0,) * 5), "V162", "5 values for 4 layers"),
    (without("tokenizer.ggml.merges"), "V164", "merges is missing"),
    (instead("tokenizer.ggml.token_type", "i32[]", (1, 2)), "V164", "2 values, the vocabulary 512"),
]


@pytest.mark.parametrize(("change", "code", "words"), SPOILED)
def test_the_contract_finds_what_a_loader_would_refuse_or_misread(
    files: dict[str, Path], tmp_path: Path, change: Callable[..., None], code: str, words: str
) -> None:
    out = rewritten(files["ds4-q2"], tmp_path / "spoiled.gguf", change)
    found = check_contract(out, get("llama.cpp", "deepseek_v4")).findings
    assert codes(found) == {code}
    assert words in "\n".join(finding.message for finding in found)


def test_ds4_finds_more(files: dict[str, Path], tmp_path: Path) -> None:
    """Shapes that are not compiled in; and a type, or gate unlike up, that llama.cpp takes."""
    found = check_contract(files["ds4-q2"], get("ds4", "deepseek_v4")).findings
    assert codes(found) == {"V163"}
    assert any("deepseek4.block_count is 4, not 43" in finding.message for finding in found)
    change = instead("blk.0.ffn_up_exps.weight", "Q2_K", (8, 256, 256))
    spoiled = rewritten(files["ds4-q2"], tmp_path / "x.gguf", change)
    assert codes(check_contract(spoiled, get("ds4", "deepseek_v4")).findings) == {"V125", "V163"}


def test_the_full_size_dry_runs_are_what_ds4_asks(full: Checkpoint, tmp_path: Path) -> None:
    for name in ("ds4-q2", "ds4-q4", "ds4-mix", "ds4-mtp"):
        out = build_headers(make_plan(load_recipe(name), full), full, tmp_path / f"{name}.gguf")
        step = check_contract(out, get("ds4", "deepseek_v4"))
        assert step.findings == (), name
        assert diff(make_plan(load_recipe(name), full), read_bundle(out, "ds4").plan).empty
        out.unlink()


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("name", ["ds4-q2", "ds4-q4"])
def test_a_file_comes_back_as_the_recipe_it_was_built_by(
    files: dict[str, Path], tiny_256: Checkpoint, tmp_path: Path, name: str, manifest: bool
) -> None:
    out = tmp_path / "again.gguf"
    shutil.copyfile(files[name], out)
    if manifest:
        shutil.copyfile(manifest_path(files[name]), manifest_path(out))
    model = "" if manifest else load_recipe(name).source.model  # the file does not know where its source came from
    text, notes = decompile_bundle(out, "again", model, runtime="llama.cpp")
    replanned = make_plan(parse_recipe(text, "again.yaml"), tiny_256)
    plan = make_plan(for_llama_cpp(name), tiny_256)
    assert [m.format for m in replanned.modules] == [m.format for m in plan.modules]
    assert [m.disk for m in replanned.modules] == [m.disk for m in plan.modules]
    assert replanned.source.model == plan.source.model
    assert bool(notes) == (not manifest)
    if manifest:
        assert notes == ()
        assert replanned.shards == plan.shards


def test_the_plan_is_read_from_beside_or_from_the_header(copy: Path, tiny_256: Checkpoint) -> None:
    plan = make_plan(for_llama_cpp("ds4-q2"), tiny_256)
    assert read_bundle(copy).plan.digest == plan.digest
    manifest_path(copy).unlink()
    found = read_bundle(copy)
    assert not found.built
    assert found.runtimes == ("llama.cpp", "ds4")
    assert diff(plan, found.plan).empty


def test_two_files_differ_in_types_and_in_what_they_say(files: dict[str, Path]) -> None:
    before, after = (read_bundle(files[name]).plan for name in ("ds4-q2", "ds4-q4"))
    found = diff(before, after)
    assert [(c.pattern, c.count, c.before, c.after) for c in found.changed] == [
        ("blk.{0-3}.ffn_gate_exps", 4, "IQ2_XXS energy", "Q4_K"),
        ("blk.{0-3}.ffn_up_exps", 4, "IQ2_XXS energy", "Q4_K"),
        ("blk.{0-3}.ffn_down_exps", 4, "Q2_K", "Q4_K"),
    ]
    told = {what for what, *_ in side_differences(files["ds4-q2"], files["ds4-q4"])}
    assert told == {"key general.description", "key general.file_type", "key general.name"}


def test_a_strangers_file_is_read_as_far_as_it_tells(tmp_path: Path) -> None:
    """Written by the package gguf, of another architecture, or with a type that only others write."""
    other = GGUFWriter(tmp_path / "other.gguf", "llama")
    other.add_tensor("x", np.zeros((2, 4), np.float32))
    other.write_header_to_file()
    other.write_kv_data_to_file()
    other.write_tensors_to_file()
    other.close()
    with pytest.raises(RecipeError, match="the architecture of this file is 'llama'"):
        read_bundle(tmp_path / "other.gguf")
    header = read_gguf_header(tmp_path / "other.gguf")
    assert [(entry.name, entry.dtype, entry.shape) for entry in header.tensors] == [("x", "F32", (2, 4))]
    q6 = GGUFWriter(tmp_path / "q6.gguf", "deepseek4")
    q6.add_tensor_info("y", (1, 210), np.dtype(np.uint8), 210, raw_dtype=GGMLQuantizationType.Q6_K)
    q6.write_header_to_file()
    q6.write_kv_data_to_file()
    q6.write_ti_data_to_file()
    q6.close()
    with (tmp_path / "q6.gguf").open("ab") as stream:
        stream.write(bytes(224))
    assert [e.dtype for e in read_gguf_header(tmp_path / "q6.gguf").tensors] == ["Q6_K"]


@pytest.mark.parametrize("seed", range(4))
def test_a_spoiled_header_is_refused_in_words_and_never_crashes(
    files: dict[str, Path], tmp_path: Path, seed: int
) -> None:
    raw = files["ds4-q2"].read_bytes()
    end = read_gguf_header(files["ds4-q2"]).data_start
    rng = np.random.default_rng(seed)
    path = tmp_path / "spoiled.gguf"
    refused = 0
    for _ in range(100):
        spoiled = bytearray(raw)
        for place in rng.integers(0, end, rng.integers(1, 4)):
            spoiled[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(spoiled[: rng.integers(0, end)] if rng.random() < 0.3 else spoiled)
        check_contract(path, get("llama.cpp", "deepseek_v4"))
        refused += outcome(path) in {"C060", "C061", "C062"}
        assert outcome(path) in {"", "C060", "C061", "C062"}
    assert refused > 20


def outcome(path: Path) -> str:
    """The code of the refusal; "" if the header is read."""
    try:
        read_gguf_header(path)
    except RecipeError as error:
        return error.diagnostics[0].code
    return ""


def test_commands_take_a_file_where_they_take_a_bundle(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    q2, q4 = str(files["ds4-q2"]), str(files["ds4-q4"])
    assert run(["inspect", q2, "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["kind"], seen["tensors"], seen["bytes"]) == ("bundle", 116, 5_391_828)
    assert run(["diff", q2, q4, "--exit-code"]) == 2
    assert "blk.{0-3}" in capsys.readouterr().out
    assert run(["verify", q2]) == 0
    assert run(["report", q2, "-o", str(tmp_path / "page.html")]) == 0
    assert "IQ2_XXS energy" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run(["decompile", q2, "-o", str(tmp_path / "back.yaml")]) == 0
    assert run(["check", str(tmp_path / "back.yaml")]) == 0
