"""Synthetic checkpoints: the real totals to the byte, determinism, values that decode, refusals."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors

from dsv4recipe.checkpoint.deepseek_v4 import DEEPSEEK_V4
from dsv4recipe.checkpoint.family import ExpectedTensor
from dsv4recipe.checkpoint.folder import Folder, open_folder
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.checkpoint.synth_values import blocks, ceil_exponent, fp4, fp8, minifloat
from dsv4recipe.errors import RecipeError

FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def e4m3_values() -> np.ndarray:
    """The 127 finite non-negative E4M3 values, by the definition of the format."""
    code = np.arange(127)
    exponent, mantissa = code >> 3, code & 7
    return np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0)).astype(np.float32)


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return open_folder(synthesize(tmp_path_factory.mktemp("synth") / "tiny").root)


def read(folder: Folder, name: str, dtype: str) -> np.ndarray:
    header, entry = folder.where(name)
    with (folder.root / header.file).open("rb") as stream:
        stream.seek(entry.start)
        return np.frombuffer(stream.read(entry.nbytes), dtype).reshape(entry.shape)


def test_the_full_release_to_the_byte(tmp_path: Path) -> None:
    made = synthesize(tmp_path / "flash", preset="full", headers_only=True)
    assert (made.tensors, made.bytes, made.shards) == (69_187, 159_609_485_896, 46)
    folder = open_folder(made.root)
    assert (folder.tensors, folder.bytes, len(folder.files)) == (69_187, 159_609_485_896, 46)
    # The real files are 159,617,149,040 bytes long together, 7,663,144 of them headers.
    assert sum(header.size for header in folder.files) == 159_617_149_040
    assert sum(header.data_start for header in folder.files) == 7_663_144
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for header in folder.files:
        for entry in header.tensors:
            count[entry.dtype] += 1
            size[entry.dtype] += entry.nbytes
    assert {dtype: (count[dtype], size[dtype]) for dtype in sorted(count)} == {
        "BF16": (433, 2_830_518_528),
        "F32": (417, 144_672_072),
        "F8_E4M3": (375, 6_023_020_544),
        "F8_E8M0": (34_167, 8_858_737_664),
        "I64": (3, 18_616_320),
        "I8": (33_792, 141_733_920_768),
    }
    index = json.loads((made.root / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 159_609_485_896
    place = {name: index["weight_map"][name][6:11] for name in (
        "embed.weight", "layers.0.attn_norm.weight", "layers.42.attn_norm.weight", "head.weight", "norm.weight",
        "hc_head_fn", "mtp.0.norm.weight",
    )}  # fmt: skip
    assert list(place.values()) == ["00001", "00002", "00044", "00045", "00045", "00045", "00046"]
    assert folder.config["compress_ratios"] == [0, 0, *[4, 128] * 20, 4, 0]
    tokens = json.loads((made.root / "tokenizer.json").read_text())
    words = tokens["model"]["vocab"]
    assert [words[t] for t in ("<｜User｜>", "<｜Assistant｜>")] == [128803, 128804]
    assert sorted(words.values()) == list(range(129_280))
    on_disk = sum(path.stat().st_blocks * 512 for path in made.root.rglob("*"))
    assert on_disk < 50_000_000


def test_v4_pro_to_the_byte(tmp_path: Path) -> None:
    made = synthesize(tmp_path / "pro", "v4-pro", "full", headers_only=True)
    assert (made.tensors, made.bytes, made.shards) == (145_116, 864_704_792_696, 64)


def test_tiny_is_what_the_family_expects(tiny: Folder) -> None:
    dims = DEEPSEEK_V4.dims_of(tiny.config, "config.json")
    wanted = {}
    for tensor in DEEPSEEK_V4.expected(dims):
        stem = tensor.name.removesuffix("weight")
        if tensor.stored == "fp4":
            rows, columns = tensor.shape
            wanted[tensor.name] = ("I8", (rows, columns // 2))
            wanted[stem + "scale"] = ("F8_E8M0", (rows, columns // 32))
        elif tensor.stored == "fp8":
            wanted[tensor.name] = ("F8_E4M3", tensor.shape)
            wanted[stem + "scale"] = ("F8_E8M0", tuple(side // 128 for side in tensor.shape))
        else:
            wanted[tensor.name] = ({"bf16": "BF16", "f32": "F32", "int": "I64"}[tensor.stored], tensor.shape)
    assert {name: (entry.dtype, entry.shape) for name, (_, entry) in tiny.by_name.items()} == wanted
    kinds = {dims.ratio(layer) for layer in range(dims.layers)}
    assert (kinds, dims.layers, dims.stages, dims.hash_layers) == ({0, 4, 128}, 4, 1, 3)


def test_safetensors_loads_every_tiny_shard(tiny: Folder) -> None:
    seen = set()
    for header in tiny.files:
        for name, tensor in safetensors.deserialize((tiny.root / header.file).read_bytes()):
            seen.add((name, tensor["dtype"], tuple(tensor["shape"])))
    assert seen == {(name, entry.dtype, entry.shape) for name, (_, entry) in tiny.by_name.items()}


def test_every_tensor_is_aligned_to_its_items(tiny: Folder) -> None:
    item = {"I64": 8, "F32": 4, "BF16": 2}
    assert all(entry.start % item.get(entry.dtype, 1) == 0 for _, entry in tiny.by_name.values())


def test_same_seed_same_bytes_other_seed_other_values(tiny: Folder, tmp_path: Path) -> None:
    again = digests(synthesize(tmp_path / "again").root)
    assert again == digests(tiny.root)
    other = digests(synthesize(tmp_path / "other", seed=1).root)
    assert {name for name in other if other[name] != again[name]} == {header.file for header in tiny.files}
    # The bytes are promised to be the same on every machine and under every numpy.
    joined = "".join(again[header.file] for header in tiny.files)
    assert (
        hashlib.sha256(joined.encode()).hexdigest()
        == "7d75ea09dae5e701ffa740884bfa7e9178ab8b6cbb325f505c8a140ecb1a660a"
    )


def test_a_tensor_depends_on_its_name_not_on_its_neighbours(tiny: Folder, tmp_path: Path) -> None:
    fewer = open_folder(synthesize(tmp_path / "fewer", layers=2, experts=4).root)
    assert fewer.config["compress_ratios"] == [0, 0, 0]
    name = "layers.1.ffn.experts.3.w2.weight"
    assert np.array_equal(read(fewer, name, "i1"), read(tiny, name, "i1"))
    assert not np.array_equal(read(tiny, name, "i1"), read(tiny, "layers.1.ffn.experts.2.w2.weight", "i1"))


def test_values_are_plausible_in_every_encoding(tiny: Folder) -> None:
    codes = read(tiny, "layers.0.ffn.experts.0.w1.weight", "u1")
    scale = np.exp2(read(tiny, "layers.0.ffn.experts.0.w1.scale", "u1").astype(np.float32) - 127)
    pairs = np.stack([FP4[codes & 15], FP4[codes >> 4]], -1).reshape(128, 256)
    grouped = pairs.reshape(128, 8, 32)
    assert np.abs(grouped).max(-1).min() >= 3  # each group uses the range of its scale
    values = grouped * scale[..., None]
    assert values.std() == pytest.approx(256**-0.5, rel=0.02)
    assert abs(values.mean()) < 0.002
    codes8 = read(tiny, "layers.0.attn.wq_b.weight", "u1")
    assert (codes8 & 127).max() < 127  # no NaN
    values8 = e4m3_values()[codes8 & 127] * np.where(codes8 >> 7, -1, 1)
    scale8 = np.exp2(read(tiny, "layers.0.attn.wq_b.scale", "u1").astype(np.float32) - 127)
    full = values8.reshape(4, 128, 1, 128) * scale8[:, None, :, None]
    assert full.std() == pytest.approx(128**-0.5, rel=0.02)
    assert 224 < np.abs(values8).max() <= 448
    norm = (read(tiny, "norm.weight", "<u2").astype(np.uint32) << 16).view(np.float32)
    assert (abs(norm.mean() - 1) < 0.02, 0.03 < norm.std() < 0.07) == (True, True)
    assert np.array_equal(read(tiny, "layers.2.hc_attn_scale", "<f4"), np.full(3, 0.1, np.float32))
    table = read(tiny, "layers.1.ffn.gate.tid2eid", "<i8")
    assert (table.min(), table.max()) == (0, 7)
    assert all(len(set(row)) == 2 for row in table.tolist())


def test_ceil_exponent_is_exact_at_powers_of_two() -> None:
    amax = np.array([0, 6, np.nextafter(np.float32(6), np.float32(7)), 5.9, 12, 24, 0.75, 3], np.float32)
    assert ceil_exponent(amax, 6.0).tolist() == [0, 0, 1, 0, 1, 2, -3, -1]


@pytest.mark.parametrize(("mantissa", "bias", "values"), [(1, 1, FP4[:8]), (3, 7, e4m3_values())], ids=["E2M1", "E4M3"])
def test_minifloat_takes_the_nearest_value_and_the_even_code_of_a_tie(
    mantissa: int, bias: int, values: np.ndarray
) -> None:
    middle = (values[1:] + values[:-1]) / 2
    lower = np.arange(len(middle))
    assert np.array_equal(minifloat(values, mantissa, bias), np.arange(len(values)))
    assert np.array_equal(minifloat(middle, mantissa, bias), lower + lower % 2)
    assert np.array_equal(minifloat(np.nextafter(middle, np.float32(0)), mantissa, bias), lower)
    assert np.array_equal(minifloat(np.nextafter(middle, np.float32(1e9)), mantissa, bias), lower + 1)


def test_encoding_a_representable_matrix_loses_nothing() -> None:
    exact = np.tile(FP4, 2)[None].repeat(3, 0) * np.array([[1], [0.25], [64]], np.float32)
    codes, scales = fp4(exact)
    decoded = np.stack([FP4[codes & 15], FP4[codes >> 4]], -1).reshape(3, 32)
    assert np.array_equal(decoded * np.exp2(scales.astype(np.float32) - 127), exact)
    assert scales.ravel().tolist() == [127, 125, 133]
    zero, scale = fp8(np.zeros((128, 256), np.float32), (128, 128))
    assert (zero.any(), scale.tolist()) == (False, [[127, 127]])


def test_a_slice_has_the_real_widths(tmp_path: Path) -> None:
    folder = open_folder(synthesize(tmp_path / "slice", preset="slice", headers_only=True).root)
    assert (folder.tensors, folder.bytes) == (419, 1_260_948_844)
    assert folder.where("layers.0.ffn.experts.63.w2.weight")[1].shape == (4096, 1024)
    assert folder.where("layers.0.ffn.gate.tid2eid")[1].shape == (16384, 6)
    assert not any(name.startswith("mtp.") for name in folder.by_name)


def test_large_experts_draw_their_rows_from_a_pool() -> None:
    def made(name: str) -> tuple[np.ndarray, np.ndarray]:
        slot = DEEPSEEK_V4.slot("embed.weight", DEEPSEEK_V4.dims_of(synth_config("v4-flash", "tiny"), ""))
        assert slot is not None
        ((codes, scales),) = blocks(ExpectedTensor(name, "fp4", (1100, 1024), slot), 0, 8)
        return np.frombuffer(codes, "u1").reshape(1100, 512), np.frombuffer(scales, "u1").reshape(1100, 32)

    codes, scales = made("a")
    again, other = made("a"), made("b")
    assert np.array_equal(codes, again[0])
    assert np.array_equal(scales, again[1])
    assert not np.array_equal(codes, other[0])
    pairs = np.stack([FP4[codes & 15], FP4[codes >> 4]], -1).reshape(1100, 32, 32)
    assert (pairs * np.exp2(scales[..., None].astype(np.float32) - 127)).std() == pytest.approx(1 / 32, rel=0.02)


def test_the_stand_in_encoder_runs(tiny: Folder) -> None:
    names: dict[str, Callable[..., str]] = {}
    exec((tiny.root / "encoding" / "encoding_dsv4.py").read_text("utf-8"), names)
    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "w7"}]
    assert names["encode_messages"](talk, thinking_mode="chat") == "<｜begin▁of▁sentence｜>s<｜User｜>w7<｜Assistant｜>"


def test_side_files(tiny: Folder) -> None:
    names = {path.relative_to(tiny.root).as_posix() for path in tiny.root.rglob("*") if path.is_file()}
    assert names - {header.file for header in tiny.files} == {
        "LICENSE", "README.md", "config.json", "encoding/encoding_dsv4.py", "generation_config.json",
        "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    words = json.loads((tiny.root / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert sorted(words.values()) == list(range(512))
    assert (words["<｜User｜>"], words["<｜Assistant｜>"]) == (3, 4)
    assert "416 tensors, 6,415,978 bytes" in (tiny.root / "README.md").read_text("utf-8")


REFUSALS = {
    'the release "v4-flahs" is unknown': {"release": "v4-flahs"},
    'the preset "huge" is unknown': {"preset": "huge"},
    "0 layers are not possible; choose 1 to 1,024": {"layers": 0},
    "1 experts are not possible; choose 2 (num_experts_per_tok) to 65,536": {"experts": 1},
}


@pytest.mark.parametrize("message", REFUSALS)
def test_wrong_wishes(tmp_path: Path, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        synthesize(tmp_path / "out", **REFUSALS[message])  # type: ignore[arg-type]
    assert [(found.code, found.message) for found in caught.value.diagnostics] == [("C051", message)]
    assert list(tmp_path.iterdir()) == []


def test_an_existing_out_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("out", "link"):
        with pytest.raises(RecipeError, match=f"{name} already exists") as caught:
            synthesize(tmp_path / name)
        assert caught.value.diagnostics[0].code == "C052"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


def test_a_disk_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecipeError, match=r"cannot be written: (not a directory|file exists)"):
        synthesize(tmp_path / "file" / "out")
    write = Path.write_text

    def full(self: Path, *args: str, **kw: str) -> int:
        if self.name == "tokenizer.json":
            raise OSError(28, "No space left on device")
        return write(self, *args, **kw)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RecipeError, match="out cannot be written: no space left on device") as caught:
        synthesize(tmp_path / "out")
    assert caught.value.diagnostics[0].code == "C053"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(RecipeError, match=r"159,609,485,896 B \(159.609 GB / 148.648 GiB\) are needed"):
        synthesize(tmp_path / "out", preset="full")
    assert list(tmp_path.iterdir()) == []
