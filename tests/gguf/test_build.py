"""GGUF files as they are built: every tensor against the stock quantizer, every key through the package gguf, the same
bytes whatever the workers and interruptions; judged by libraries, not by our own reader."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.builder import resumable, shard
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.bundle.manifest import manifest_path, read_manifest
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.headers.gguf import read_gguf_header
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.containers import header_of, placed
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.parents import read_parent
from tests.faults.calls import Calls, instead_of_os, quick
from tests.gguf.recipes import for_llama_cpp, text_of
from tests.gguf.stock import stock, values


@pytest.fixture(scope="module")
def plan(tiny_256: Checkpoint) -> Plan:
    return make_plan(for_llama_cpp("ds4-q2"), tiny_256)


@pytest.fixture(scope="module")
def built(plan: Plan, tiny_256: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(plan, tiny_256, tmp_path_factory.mktemp("gguf") / "q2.gguf")


FAST = text_of("ds4-q4").replace("runtime: ds4", "runtime: llama.cpp").replace("  backends: [metal]\n", "").replace(
    "type: Q4_K, importance: none", "type: Q8_0"
)  # fmt: skip
"""Types that take no search, for builds that are broken off again and again."""


@pytest.fixture(scope="module")
def fast(tiny_256: Checkpoint) -> Plan:
    return make_plan(parse_recipe(FAST, "r.yaml", read_parent), tiny_256)


@pytest.fixture(scope="module")
def fast_built(fast: Plan, tiny_256: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(fast, tiny_256, tmp_path_factory.mktemp("gguf") / "fast.gguf")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_gguf_package_sees_what_was_planned(built: Path, plan: Plan) -> None:
    reader = GGUFReader(built)
    (file,) = plan.shards
    assert built.stat().st_size == file.file_bytes
    seen = [(t.name, t.tensor_type.name, tuple(map(int, reversed(t.shape))), t.data_offset) for t in reader.tensors]
    assert seen == [(t.name, t.part.dtype, t.part.shape, t.offset) for t in placed(plan, file)]
    header = read_gguf_header(built)
    assert [(e.name, e.dtype, e.shape, e.start) for e in header.tensors] == seen
    for field in reader.fields.values():
        if not field.name.startswith("GGUF."):
            pair = header.pairs[field.name]
            theirs = field.contents()
            assert (list(pair.value) if isinstance(pair.value, tuple) else pair.value) == theirs


def test_experts_hold_what_the_stock_quantizer_makes_of_each(built: Path, tiny_256: Checkpoint) -> None:
    tensors = {tensor.name: tensor for tensor in GGUFReader(built).tensors}
    for name, stem, type_ in (
        ("blk.3.ffn_gate_exps.weight", "layers.3.ffn.experts.{E}.w1", "IQ2_XXS"),
        ("blk.3.ffn_up_exps.weight", "layers.3.ffn.experts.{E}.w3", "IQ2_XXS"),
        ("blk.0.ffn_down_exps.weight", "layers.0.ffn.experts.{E}.w2", "Q2_K"),
    ):
        stored = tensors[name].data.reshape(8, -1)
        for expert, matrix in enumerate(values(tiny_256, stem)):
            energy = np.square(matrix.astype(np.float64)).sum(axis=0) if type_ == "IQ2_XXS" else None
            assert np.array_equal(stored[expert], stock(type_, matrix, energy).ravel())


def test_the_other_tensors_hold_the_source_values(built: Path, tiny_256: Checkpoint) -> None:
    tensors = {tensor.name: tensor for tensor in GGUFReader(built).tensors}
    (norm,), (fn,), (wq_a,) = (
        values(tiny_256, stem) for stem in ("layers.1.attn.q_norm", "layers.1.hc_ffn_fn", "layers.1.attn.wq_a")
    )
    assert np.array_equal(tensors["blk.1.attn_q_a_norm.weight"].data, norm)
    assert np.array_equal(tensors["blk.1.hc_ffn_fn.weight"].data, fn.astype(np.float16))
    assert np.array_equal(tensors["blk.1.attn_q_a.weight"].data, stock("Q8_0", wq_a, None))
    group = next(group for group in tiny_256.groups if group.stem == "layers.0.ffn.gate.tid2eid")
    entry = group.members[0]
    table = np.fromfile(tiny_256.folder.root / entry.file, "<i8", entry.weight.nbytes // 8, offset=entry.weight.start)
    assert np.array_equal(tensors["blk.0.ffn_gate_tid2eid.weight"].data.ravel(), table)


def test_the_manifest_beside_holds_plan_digests_library_and_machine(built: Path, plan: Plan) -> None:
    manifest = json.loads((built.parent / "q2.gguf.manifest.json").read_text())
    assert manifest["contents"] == json.loads(dump_plan(plan))
    assert manifest["files"] == {
        "DeepSeek-V4-Flash-ds4-q2.gguf": {"size": built.stat().st_size, "sha256": sha256(built)}
    }
    assert "libggml-python 0.20.2.post1 on " in manifest["tool"]["encoders"]
    assert sorted(path.name for path in built.parent.iterdir()) == ["q2.gguf", "q2.gguf.manifest.json"]


def test_one_and_two_workers_give_the_same_file(
    fast_built: Path, fast: Plan, tiny_256: Checkpoint, tmp_path: Path
) -> None:
    for workers in (1, 2):
        out = build(fast, tiny_256, tmp_path / f"{workers}.gguf", workers=workers)
        assert sha256(out) == sha256(fast_built)
        assert read_manifest(out) == read_manifest(fast_built)


class Stop(Exception):  # noqa: N818 - what a test does to a build
    pass


def broken_off(plan: Plan, checkpoint: Checkpoint, out: Path, after: int, **more: Any) -> None:
    """A build that ends after so many pieces."""
    count = 0

    def on_event(event: dict[str, Any]) -> None:
        nonlocal count
        count += event["event"] == "written"
        if count > after:
            raise Stop

    with pytest.raises(Stop):
        build(plan, checkpoint, out, workers=1, on_event=on_event, **more)


def continued(plan: Plan, checkpoint: Checkpoint, out: Path, **more: Any) -> tuple[int, int]:
    """(bytes that were there, pieces that were written) of the build that goes on."""
    events: list[dict[str, Any]] = []
    build(plan, checkpoint, out, workers=2, on_event=events.append, **more)
    there = sum(event["bytes"] for event in events if event["event"] == "resumed")
    total = next(event["work"] for event in events if event["event"] == "plan_loaded")
    work = sum(event["work"] for event in events if event["event"] in ("resumed", "written"))
    assert work == pytest.approx(total, rel=0.01)
    return there, sum(event["event"] == "written" for event in events)


def test_a_broken_off_build_goes_on_where_its_file_is_proven(
    fast_built: Path, fast: Plan, tiny_256: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "EXTENT", 1 << 17)
    pieces = sum(max(1, module.experts) for module in fast.modules)
    out = tmp_path / "q2.gguf"
    broken_off(fast, tiny_256, out, pieces // 2)
    broken_off(fast, tiny_256, out, pieces // 4)
    there, written = continued(fast, tiny_256, out)
    assert there > fast_built.stat().st_size // 2
    assert written < pieces // 3
    assert sha256(out) == sha256(fast_built)
    assert not list(tmp_path.glob("*.partial"))


def test_a_file_that_was_changed_since_is_believed_up_to_the_change(
    fast_built: Path, fast: Plan, tiny_256: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "EXTENT", 1 << 17)
    out = tmp_path / "q2.gguf"
    broken_off(fast, tiny_256, out, 150)
    part = resumable.part_path(tmp_path / "q2.gguf.partial", fast.shards[0].file)
    ends = [json.loads(line)["end"] for line in (part.parent / resumable.NAME).read_text().splitlines()]
    assert len(ends) > 10
    with part.open("r+b") as stream:
        stream.seek(ends[5] + 10)
        byte = stream.read(1)
        stream.seek(ends[5] + 10)
        stream.write(bytes([byte[0] ^ 1]))
    with (part.parent / resumable.NAME).open("a") as stream:
        stream.write('{"torn')
    there, _ = continued(fast, tiny_256, out)
    assert there == ends[5]
    assert sha256(out) == sha256(fast_built)


KILLED = """
import os, sys
from dsv4recipe import build, open_checkpoint
from dsv4recipe.builder import shard
from dsv4recipe.plan.canonical import load_plan
plan, source, out, after = sys.argv[1:]
shard.EXTENT = 1 << 17
count = 0
def on_event(event):
    global count
    count += event["event"] == "written"
    if count > int(after):
        os.kill(os.getpid(), 9)
build(load_plan(open(plan).read(), plan), open_checkpoint(source), out, workers=2, on_event=on_event)
"""


def test_a_killed_build_is_continued_to_the_same_bytes(
    fast_built: Path, fast: Plan, tiny_256: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.json").write_text(dump_plan(fast))
    out = tmp_path / "q2.gguf"
    for after in (40, 60):
        command = [str(tmp_path / "plan.json"), str(tiny_256.folder.root), str(out), str(after)]
        assert subprocess.run([sys.executable, "-c", KILLED, *command], check=False).returncode == -9
        assert not out.exists()
    monkeypatch.setattr(shard, "EXTENT", 1 << 17)
    there, written = continued(fast, tiny_256, out)
    assert there
    assert written < 200
    assert sha256(out) == sha256(fast_built)


def dies_at(place: int) -> Calls:
    """The file system of a process that ends at call number `place`, as kill -9 would end it."""

    def on_call(number: int, name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
        if number == place:
            os._exit(9)
        return None if name == "fsync" else real(*arguments)

    return Calls(on_call)


def test_a_build_that_dies_at_any_call_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call from the manifest on, where a file gets its name, and some before."""
    monkeypatch.setattr(shard, "EXTENT", 1 << 17)
    small = open_checkpoint(synthesize(tmp_path / "small", preset="tiny-256", layers=1, experts=2).root)
    plan = make_plan(parse_recipe(FAST, "r.yaml", read_parent), small)
    with instead_of_os(quick()) as calls:
        whole = build(plan, small, tmp_path / "whole.gguf", workers=1)
    digest = sha256(whole)
    out = tmp_path / "dead" / "q2.gguf"
    out.parent.mkdir()
    last = calls.count - 45
    for place in (*range(5, last, last // 8), *range(last, calls.count)):
        child = os.fork()
        if not child:
            with instead_of_os(dies_at(place)):
                build(plan, small, out, workers=1)
            os._exit(0)
        os.waitpid(child, 0)
        if out.exists():
            assert sha256(out) == digest, place
        with instead_of_os(quick()):
            build(plan, small, out, workers=1)
        assert sha256(out) == digest, place
        assert sorted(path.name for path in out.parent.iterdir()) == ["q2.gguf", "q2.gguf.manifest.json"], place
        assert read_manifest(out) == read_manifest(whole)
        out.unlink()
        manifest_path(out).unlink()


def test_what_lies_at_the_output_is_never_replaced(
    built: Path, plan: Plan, tiny_256: Checkpoint, tmp_path: Path
) -> None:
    stray = tmp_path / "stray.gguf"
    stray.write_bytes(b"mine")
    other = tmp_path / "other.gguf"
    manifest_path(other).write_text(json.dumps({"plan": "0" * 64}))
    for out in (stray, other):
        with pytest.raises(RecipeError) as caught:
            build(plan, tiny_256, out)
        assert caught.value.diagnostics[0].code == "B001"
    assert stray.read_bytes() == b"mine"
    events: list[dict[str, Any]] = []
    before = built.stat().st_mtime_ns
    build(plan, tiny_256, built, on_event=events.append)
    assert [event["event"] for event in events] == ["done"]
    assert built.stat().st_mtime_ns == before


def test_a_folder_is_no_gguf_and_a_gguf_no_folder(plan: Plan, tiny_256: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        build(plan, tiny_256, tmp_path / "q2")
    assert caught.value.diagnostics[0].code == "B009"
    assert caught.value.diagnostics[0].hint == f"write -o {tmp_path / 'q2.gguf'}"


def test_a_tokenizer_that_moved_is_noticed_before_any_work(fast: Plan, tiny_256_source: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_256_source, tmp_path / "source"))
    text = (source / "tokenizer.json").read_text(encoding="utf-8")
    (source / "tokenizer.json").write_text(text.replace('"w7"', '"v7"', 1), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        build(fast, open_checkpoint(source), tmp_path / "q2.gguf")
    assert [d.code for d in caught.value.diagnostics] == ["B002"]
    assert "tokenizer.json" in str(caught.value)


def test_the_dry_run_at_full_size_is_the_plan_without_the_data(full: Checkpoint, tmp_path: Path) -> None:
    for name in ("ds4-q2", "ds4-mtp"):
        plan = make_plan(load_recipe(name), full)
        out = build_headers(plan, full, tmp_path / f"{name}.gguf")
        (file,) = plan.shards
        status = out.stat()
        assert status.st_size == file.file_bytes
        assert status.st_blocks * 512 < 8_000_000
        with out.open("rb") as stream:
            head = header_of(plan, file, full)
            assert stream.read(len(head)) == head
        header = read_gguf_header(out)
        assert len(header.tensors) == {"ds4-q2": 1328, "ds4-mtp": 32}[name]
        assert header.tensors[-1].end <= status.st_size
        with pytest.raises(RecipeError, match="the output already exists"):
            build_headers(plan, full, out)


def test_a_dry_run_of_an_mlx_bundle_has_every_header_and_no_manifest(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    out = build_headers(plan, tiny, tmp_path / "hollow")
    proof = verify(out)
    assert [(step.name, step.ok) for step in proof.steps] == [("integrity", True), ("contract", True)]
    assert not (out / "README.md").exists()
    assert read_manifest(out) is None
    assert {s.file: s.file_bytes for s in plan.shards} == {p.name: p.stat().st_size for p in out.glob("*.safetensors")}


def test_a_plan_of_other_bytes_never_builds_on_this_one(fast: Plan, tiny_256: Checkpoint, tmp_path: Path) -> None:
    broken_off(fast, tiny_256, tmp_path / "out.gguf", 20)
    other = make_plan(for_llama_cpp("ds4-q4"), tiny_256)
    build(other, tiny_256, tmp_path / "out.gguf")  # nothing of the first plan was proven: its work goes
    build(other, tiny_256, tmp_path / "alone.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == (tmp_path / "alone.gguf").read_bytes()
