"""Importance files: what the two formats say, which tensor each entry belongs to, and what is refused by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Affine
from dsv4recipe.importance.names import gguf_name
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.importance.read import load_importance
from dsv4recipe.plan.cautions import cautions, never_seen
from dsv4recipe.plan.model import Plan
from tests.importance.files import stacks, write_dat, write_gguf
from tests.recipes import SOUND


def test_names_of_the_published_files(full: Checkpoint) -> None:
    """Fact sheet ds4_gguf.md section 2: the names that ds4 and llama.cpp use, dots and underscores as they are."""
    assert gguf_name("layers.3.ffn.experts.17.w1.weight") == ("blk.3.ffn_gate_exps.weight", 17)
    assert gguf_name("layers.3.ffn.experts.0.w3.weight") == ("blk.3.ffn_up_exps.weight", 0)
    assert gguf_name("layers.42.ffn.experts.255.w2.weight") == ("blk.42.ffn_down_exps.weight", 255)
    assert gguf_name("layers.2.attn.indexer.wq_b.weight") == ("blk.2.indexer.attn_q_b.weight", None)
    assert gguf_name("layers.2.attn.indexer.compressor.wkv.weight") == ("blk.2.indexer_compressor_kv.weight", None)
    assert gguf_name("mtp.0.ffn.shared_experts.w2.weight") == ("mtp.0.ffn_down_shexp.weight", None)
    assert gguf_name("embed.weight") == ("token_embd.weight", None)
    assert gguf_name("layers.0.attn_norm.weight") == ("", None)
    matrices = {"routed-expert", "shared-expert", "attention", "compressor", "indexer", "embedding", "lm-head",
                "mtp-projection", "router"}  # fmt: skip
    names = [gguf_name(g.members[0].name)[0] for g in full.groups if g.slot.row.role in matrices]
    assert all(names)
    assert len(set(names)) == len(names)
    assert not any(gguf_name(g.members[0].name)[0] for g in full.groups if g.slot.row.role not in matrices)


def test_both_formats_say_the_same(tmp_path: Path, tiny: Checkpoint) -> None:
    """in_sum2/counts of the GGUF are the numbers/calls of the .dat; experts are slices of their stack."""
    means = stacks(tiny)
    first = load_importance(write_dat(tmp_path / "a.dat", {n: m * 4 for n, m in means.items()}, calls=4))
    counts = {name: np.full(len(m), 8, np.float32) for name, m in means.items()}
    second = load_importance(write_gguf(tmp_path / "b.gguf", {n: m * 8 for n, m in means.items()}, counts))
    assert (first.format, first.datasets, first.chunks) == ("imatrix-dat", ("calib.txt",), 7)
    assert (second.format, second.datasets, second.chunks) == ("imatrix-gguf", ("calib.txt",), 7)
    for group in tiny.groups:
        name, _ = gguf_name(group.members[0].name)
        if not name:
            continue
        width = group.source.shape[1]
        for number, member in enumerate(group.members):
            want = means[name][number]
            assert np.array_equal(first.columns(member.name, width), want)
            assert np.array_equal(second.columns(member.name, width), want)
        names = [member.name for member in group.members]
        assert first.problem(names, width, group.experts) == ""


def test_the_most_exact_entry_wins(tmp_path: Path) -> None:
    stack, own = np.arange(1, 13, dtype=np.float32), np.full(4, 9, np.float32)
    name = "layers.0.ffn.experts.2.w1.weight"
    for entry in (name, "blk.0.ffn_gate_exps.weight.expert.2", "blk.0.ffn_gate_exps.weight.expert_2"):
        found = load_importance(write_dat(tmp_path / "i.dat", {"blk.0.ffn_gate_exps.weight": stack, entry: own}))
        assert np.array_equal(found.columns(name, 4), own)
        assert np.array_equal(found.columns(name.replace(".2.", ".1."), 4), stack[4:8])


def test_an_expert_that_calibration_never_reached_counts_alike_and_is_counted(tmp_path: Path) -> None:
    sums = np.array([[2, 4, 6, 8], [0, 0, 0, 0]], np.float32)
    name = "blk.0.ffn_gate_exps.weight"
    found = load_importance(write_gguf(tmp_path / "i.gguf", {name: sums}, {name: np.array([2, 0], np.float32)}))
    assert found.unseen == found.planned.data()["unseen"] == 1
    assert found.columns("layers.0.ffn.experts.1.w1.weight", 4).tolist() == [1, 1, 1, 1]


def test_a_file_whose_calibration_reached_nothing_is_refused(tmp_path: Path) -> None:
    sums, counts = np.zeros((2, 4), np.float32), np.zeros(2, np.float32)
    name = "blk.0.ffn_gate_exps.weight"
    with pytest.raises(RecipeError, match="every count is 0") as caught:
        load_importance(write_gguf(tmp_path / "i.gguf", {name: sums}, {name: counts}))
    assert caught.value.diagnostics[0].code == "I002"


def test_experts_that_were_never_reached_are_a_warning_beyond_one_in_a_hundred(planned: Callable[[str], Plan]) -> None:
    plan = planned(SOUND)
    routed = [replace(m, format=Affine(4, 32, "float16", "mse", "file")) for m in plan.modules if m.experts]
    weighed = sum(module.experts for module in routed)
    for unseen, codes in ((0, []), (weighed // 100, []), (weighed // 100 + 1, ["I013"])):
        some = replace(plan, modules=tuple(routed), importance=PlannedImportance("0" * 64, "imatrix-gguf", unseen))
        assert never_seen(some) == (unseen, weighed)
        assert [each.code for each in cautions(some)] == codes


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones(7, np.float32), "its entry has 7 numbers, but 8 are needed"),
        (np.array([1, 2, np.nan, 4, 5, 6, 7, 8], np.float32), "layers.0.ffn.experts.0.w1.weight: column 2 is nan"),
        (np.array([1, 2, 3, 4, 5, np.inf, 7, 8], np.float32), "layers.0.ffn.experts.1.w1.weight: column 1 is inf"),
        (np.array([1, 2, 3, 4, 5, 6, 7, -8], np.float32), "layers.0.ffn.experts.1.w1.weight: column 3 is negative"),
        (np.array([1, 2, 3, 4, 0, 0, 0, 0], np.float32), "layers.0.ffn.experts.1.w1.weight: every column is 0"),
    ],
)
def test_numbers_that_say_nothing_are_named(tmp_path: Path, values: np.ndarray, said: str) -> None:
    found = load_importance(write_dat(tmp_path / "i.dat", {"blk.0.ffn_gate_exps.weight": values}))
    tensors = [f"layers.0.ffn.experts.{e}.w1.weight" for e in (0, 1)]
    assert said in found.problem(tensors, 4, 2)


def test_a_missing_entry_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    found = load_importance(write_dat(tmp_path / "i.dat", {"blk.0.attn_q_a.weight": np.ones(4, np.float32)}))
    said = found.problem(["layers.0.attn.wq_b.weight"], 4, 0)
    assert said == "layers.0.attn.wq_b.weight has no entry layers.0.attn.wq_b.weight or blk.0.attn_q_b.weight"


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = write_dat(tmp_path / "i.dat", {"blk.0.attn_q_a.weight": np.ones(4, np.float32)})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size == len(whole) - 4 - 4 - 9:
            assert load_importance(path).chunks == 0  # an older file, without the tail
            continue
        with pytest.raises(RecipeError) as caught:
            load_importance(path)
        assert caught.value.diagnostics[0].code == "I002"
    for data, said in (
        (whole + b"x", "1 bytes follow its end"),
        (struct.pack("<i", -1), "the number of entries is -1"),
        (struct.pack("<i", 0), "it has no entries"),
        (b"PK\3\4" + bytes(60), "not an importance file"),
        (b"GGUF" + bytes(60), "not an importance file"),
    ):
        path.write_bytes(data)
        with pytest.raises(RecipeError, match=said):
            load_importance(path)
    with pytest.raises(RecipeError, match=r"general\.type is not imatrix"):
        load_importance(write_gguf(tmp_path / "m.gguf", {"a": np.ones((1, 4))}, {"a": np.ones(1)}, "model"))
    with pytest.raises(RecipeError, match=r"no matching \.counts"):
        load_importance(write_gguf(tmp_path / "n.gguf", {"a": np.ones((1, 4))}, {}))
    with pytest.raises(RecipeError) as caught:
        load_importance(tmp_path / "none.dat")
    assert caught.value.diagnostics[0].code == "I001"
