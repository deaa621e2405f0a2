"""A record as an importance file: both forms make the GGUF that the record itself makes; gguf's reader opens one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader

from dsv4recipe import build, make_plan, open_checkpoint
from dsv4recipe.calibration import imatrix
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.importance.model import Guide
from dsv4recipe.importance.read import load_importance
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.parents import read_parent
from dsv4recipe.records.read import load_record
from tests.calibrated.records import record
from tests.gguf.test_importance import WEIGHED


def test_file_and_record_make_the_same_gguf(tmp_path: Path) -> None:
    small = open_checkpoint(synthesize(tmp_path / "source", preset="tiny-256", layers=1, experts=8).root)
    kept = load_record(record(small, tmp_path / "kept"))
    (tmp_path / "i.dat").write_bytes(imatrix.dat(kept))
    (tmp_path / "i.gguf").write_bytes(imatrix.gguf(kept))

    def made(name: str, text: str, guide: Guide) -> bytes:
        plan = make_plan(parse_recipe(text, "r.yaml", read_parent), small, importance=guide)
        out = build(plan, small, tmp_path / f"{name}-made.gguf", importance=guide)
        return b"".join(tensor.data.tobytes() for tensor in GGUFReader(out).tensors)

    ours = made("record", WEIGHED.replace("importance: file", "importance: record"), kept)
    assert made("dat", WEIGHED, load_importance(tmp_path / "i.dat")) == ours
    assert made("gguf", WEIGHED, load_importance(tmp_path / "i.gguf")) == ours


def test_the_reader_of_llama_cpp_opens_it_and_finds_the_numbers_of_the_record(tmp_path: Path) -> None:
    small = open_checkpoint(synthesize(tmp_path / "source", preset="tiny-256", layers=1, experts=8).root)
    kept = load_record(record(small, tmp_path / "kept"))
    (tmp_path / "i.gguf").write_bytes(imatrix.gguf(kept))
    reader = GGUFReader(tmp_path / "i.gguf")
    kind, chunks = reader.get_field("general.type"), reader.get_field("imatrix.chunk_size")
    assert kind is not None
    assert chunks is not None
    assert (kind.contents(), chunks.contents()) == ("imatrix", kept.tokens)
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    sums = tensors["blk.0.ffn_down_exps.weight.in_sum2"]
    assert sums.shape == (8, 256)
    assert np.array_equal(sums[3], kept.columns("layers.0.ffn.experts.3.w2.weight", 256))
    assert np.array_equal(tensors["blk.0.ffn_down_exps.weight.counts"], np.ones((8, 1), np.float32))
