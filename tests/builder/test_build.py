"""The build: exact bytes, whatever the workers and the listing; the judge is mlx's own quantizer and decoder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.checkpoint.graph import Checkpoint, Tensor
from dsv4recipe.formats.decode import decode_source
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import SOUND, changed
from tests.stopping import stop_after_three


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def decoded(checkpoint: Checkpoint, tensor: Tensor) -> np.ndarray:
    def raw(file: str, start: int, end: int) -> np.ndarray:
        return np.fromfile(checkpoint.folder.root / file, np.uint8, end - start, offset=start)

    weight = raw(tensor.file, tensor.weight.start, tensor.weight.end)
    scale = None if tensor.scale is None else raw(tensor.scale_file, tensor.scale.start, tensor.scale.end)
    return decode_source(tensor.source, weight, scale)


def test_bytes_on_disk_are_the_bytes_of_the_plan(q4q8_bundle: Path) -> None:
    plan = load_plan((q4q8_bundle / "dsv4recipe.plan.json").read_text(), "plan")
    assert {s.file: s.file_bytes for s in plan.shards} == {
        path.name: path.stat().st_size for path in q4q8_bundle.glob("model-*.safetensors")
    }
    view, findings = open_bundle(q4q8_bundle)
    assert findings == []
    assert sum(e.end - e.start for h in view.shards for e in h.tensors) == plan.tensor_bytes


@pytest.mark.parametrize(("bits", "projection"), [(4, "gate"), (4, "down")])
def test_a_stack_holds_what_mx_quantize_makes_of_each_expert(
    tiny: Checkpoint, q4q8_bundle: Path, bits: int, projection: str
) -> None:
    group = next(g for g in tiny.groups if g.slot.row.projection == projection and g.experts and g.slot.layer == 1)
    stored = load_file(q4q8_bundle / "model-00001-of-00001.safetensors")
    stem = f"layers.1.mlp.switch_mlp.{projection}_proj"
    for expert, tensor in enumerate(group.members):
        weight, scales, biases = mx.quantize(mx.array(decoded(tiny, tensor)), group_size=32, bits=bits)
        assert np.array_equal(stored[stem + ".weight"][expert], np.array(weight))
        assert np.array_equal(stored[stem + ".scales"][expert], np.array(scales).astype(np.float16))
        assert np.array_equal(stored[stem + ".biases"][expert], np.array(biases).astype(np.float16))


def test_every_plain_tensor_holds_the_source_values(tiny: Checkpoint, q4q8_bundle: Path) -> None:
    stored = load_file(q4q8_bundle / "model-00001-of-00001.safetensors")
    seen = 0
    for tensor in tiny.tensors:
        if tensor.name not in stored or tensor.source.stored not in ("bf16", "f32"):
            continue
        if stored[tensor.name].dtype == np.uint32:
            continue
        exact = decoded(tiny, tensor)
        kept = stored[tensor.name]
        assert kept.dtype == (np.float32 if tensor.source.stored == "f32" else np.float16)
        assert np.array_equal(kept, exact.astype(kept.dtype)), tensor.name
        seen += 1
    assert seen == 78


def test_one_and_two_workers_and_a_shuffled_folder_give_the_same_bytes(
    q4q8_bundle: Path, tiny_source: Path, tmp_path: Path
) -> None:
    shuffled = tmp_path / "elsewhere"
    shuffled.mkdir()
    for path in sorted(tiny_source.rglob("*"), reverse=True):
        if path.is_file():
            (shuffled / path.relative_to(tiny_source)).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, shuffled / path.relative_to(tiny_source))
    checkpoint = open_checkpoint(shuffled)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    for workers in (1, 2):
        out = build(plan, checkpoint, tmp_path / f"w{workers}", workers=workers)
        assert digests(out) == digests(q4q8_bundle)


def test_many_shards_hold_the_same_tensors(tiny: Checkpoint, q4q8_bundle: Path, tmp_path: Path) -> None:
    plan = make_plan(parse_recipe(changed("5GiB", "200KB"), "r.yaml"), tiny)
    assert len(plan.shards) > 20
    out = build(plan, tiny, tmp_path / "many")
    one = load_file(q4q8_bundle / "model-00001-of-00001.safetensors")
    many = {k: v for path in out.glob("model-*.safetensors") for k, v in load_file(path).items()}
    assert many.keys() == one.keys()
    assert all(np.array_equal(many[name], one[name]) for name in one)


def test_a_killed_build_is_continued_to_the_same_bytes(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(parse_recipe(changed("5GiB", "400KB"), "r.yaml"), tiny)
    whole = build(plan, tiny, tmp_path / "whole")
    done: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        build(plan, tiny, tmp_path / "out", workers=1, on_event=stop_after_three(done))
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "out.partial").glob(".*.tmp"))
    again: list[str] = []
    build(
        plan,
        tiny,
        tmp_path / "out",
        workers=2,
        on_event=lambda e: again.append(str(e.get("file"))) if e["event"] == "shard_done" else None,
    )
    assert len(again) == len(plan.shards) - 3
    assert not set(again) & set(done)
    assert digests(tmp_path / "out") == digests(whole)
    assert not (tmp_path / "out.partial").exists()


def test_a_damaged_journaled_shard_is_built_again(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(parse_recipe(changed("5GiB", "400KB"), "r.yaml"), tiny)
    whole = build(plan, tiny, tmp_path / "whole")

    def stop(event: dict[str, object]) -> None:
        if event["event"] == "shard_done":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan, tiny, tmp_path / "out", workers=1, on_event=stop)
    shard = next((tmp_path / "out.partial").glob("model-*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    build(plan, tiny, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(whole)


def test_a_finished_bundle_is_left_alone(tiny: Checkpoint, q4q8_bundle: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in q4q8_bundle.rglob("*")}
    events: list[dict[str, object]] = []
    build(make_plan(load_recipe("q4q8"), tiny), tiny, q4q8_bundle, on_event=events.append)
    assert [(e["event"], e["already"]) for e in events] == [("done", True)]
    assert {path: path.stat().st_mtime_ns for path in q4q8_bundle.rglob("*")} == before


def refused(code: str, *arguments: object, **options: object) -> str:
    with pytest.raises(RecipeError) as caught:
        build(*arguments, **options)  # type: ignore[arg-type]
    assert [d.code for d in caught.value.diagnostics] == [code]
    return str(caught.value)


def test_another_bundle_or_folder_in_the_way_is_refused(tiny: Checkpoint, spoiled: Path, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8-per-expert"), tiny)
    assert "holds the bundle of another plan" in refused("B001", plan, tiny, spoiled)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert "is not a finished dsv4recipe bundle" in refused("B001", plan, tiny, tmp_path / "mine")


def test_leftovers_of_another_plan_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    def stop(event: dict[str, object]) -> None:
        if event["event"] == "shard_done":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(make_plan(load_recipe("q4q8"), tiny), tiny, tmp_path / "out", workers=1, on_event=stop)
    before = digests(tmp_path / "out.partial")
    assert "another plan" in refused("B003", make_plan(load_recipe("q4q8-per-expert"), tiny), tiny, tmp_path / "out")
    assert digests(tmp_path / "out.partial") == before


def test_a_source_that_moved_since_the_plan_is_refused(source_copy: Path, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8"), open_checkpoint(source_copy))
    config = source_copy / "config.json"
    config.write_text(config.read_text() + "\n")
    message = refused("B002", plan, open_checkpoint(source_copy), tmp_path / "out")
    assert "config.json of the source changed" in message
    assert not (tmp_path / "out.partial").exists()


def test_a_source_that_changes_during_the_build_is_refused(source_copy: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(source_copy)

    def touch(event: dict[str, object]) -> None:
        if event["event"] == "shard_done":
            os.utime(source_copy / "model-00002-of-00007.safetensors", ns=(0, 0))

    message = refused(
        "B005", make_plan(load_recipe("q4q8"), checkpoint), checkpoint, tmp_path / "out", workers=1, on_event=touch
    )
    assert "model-00002-of-00007.safetensors" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("layers.1.ffn.experts.2.w1.scale", 9, 0xFF, "layers.1.ffn.experts.2.w1.weight"),
        ("layers.0.attn.wkv.weight", 300, 0x7F, "row 1, column 44"),
    ],
)
def test_a_value_that_is_no_number_is_refused_by_name(
    source_copy: Path, tmp_path: Path, name: str, place: int, value: int, words: str
) -> None:
    tensor = next(t for t in open_checkpoint(source_copy).tensors if t.name in (name, name.replace("scale", "weight")))
    entry, file = (tensor.scale, tensor.scale_file) if name.endswith("scale") else (tensor.weight, tensor.file)
    assert entry is not None
    with (source_copy / file).open("r+b") as stream:
        stream.seek(entry.start + place)
        stream.write(bytes([value]))
    checkpoint = open_checkpoint(source_copy)
    message = refused("B020", make_plan(load_recipe("q4q8"), checkpoint), checkpoint, tmp_path / "out")
    assert tensor.name in message
    assert words in message
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "out.partial").glob("model*"))


def test_a_disk_without_room_is_refused_before_the_first_byte(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsv4recipe.files.disk.free_bytes", lambda folder: 1_000_000)
    message = refused("B004", make_plan(load_recipe("q4q8"), tiny), tiny, tmp_path / "out")
    assert "make room for" in message
    assert not list((tmp_path / "out.partial").glob("*model*"))


def test_the_manifest_lists_every_file_and_no_machine(q4q8_bundle: Path) -> None:
    text = (q4q8_bundle / "dsv4recipe.manifest.json").read_text()
    manifest = json.loads(text)
    on_disk = {p.relative_to(q4q8_bundle).as_posix() for p in q4q8_bundle.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == on_disk - {"dsv4recipe.manifest.json"}
    for path in q4q8_bundle.rglob("*.*"):
        if path.suffix in (".json", ".md", ".yaml"):
            assert str(q4q8_bundle.parent) not in path.read_text()
            assert str(Path.home()) + os.sep not in path.read_text()


def test_config_json_is_keyed_by_post_sanitize_paths(q4q8_bundle: Path) -> None:
    config = json.loads((q4q8_bundle / "config.json").read_text())
    assert config["quantization"] == config["quantization_config"]
    assert "quant_method" not in config["quantization_config"]
    assert config["quantization"]["model.layers.3.mlp.switch_mlp.up_proj"] == {
        "bits": 4,
        "group_size": 32,
        "mode": "affine",
    }
    assert config["eos_token_id"] == [1, 3]
    assert json.loads((q4q8_bundle / "generation_config.json").read_text())["eos_token_id"] == [1, 3]


def test_the_recipe_in_the_bundle_gives_the_same_plan(tiny: Checkpoint, q4q8_bundle: Path) -> None:
    plan = make_plan(load_recipe(q4q8_bundle / "recipe.yaml"), tiny)
    assert plan.digest == json.loads((q4q8_bundle / "dsv4recipe.manifest.json").read_text())["plan"]


def test_sound_recipe_builds_what_q4q8_builds(tiny: Checkpoint, q4q8_bundle: Path, tmp_path: Path) -> None:
    out = build(make_plan(parse_recipe(SOUND, "r.yaml"), tiny), tiny, tmp_path / "out")
    name = "model-00001-of-00001.safetensors"
    assert (out / name).read_bytes() == (q4q8_bundle / name).read_bytes()
