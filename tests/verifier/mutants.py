"""Ways to spoil a bundle, as one table: how each is made, which step of `verify` catches it, and by which code.

    python -m tests.verifier.mutants          writes the table to docs/evidence/mutants.md

`test_mutants.py` makes each of them and looks. Swaps and shifts leave every header as it was: only `--source` sees
them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from safetensors.numpy import load_file, save_file

SHARD = "model-00001-of-00001.safetensors"
TWO = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
SIDECAR = "jangtq_runtime.safetensors"
INDEX = "model.safetensors.index.json"
STACK = "layers.1.mlp.switch_mlp.gate_proj"
UP = "layers.1.mlp.switch_mlp.up_proj"
SINGLE = "layers.1.ffn.experts.3.w1"
GATE = "model.layers.1.mlp.switch_mlp.gate_proj"
NATIVE = "model.layers.1.ffn.switch_mlp.gate_proj"
WKV = "layers.2.attn.wkv"
ENTRY = {"bits": 4, "group_size": 32, "mode": "affine"}
AFFINE = (".weight", ".scales", ".biases")

Tensors = dict[str, np.ndarray]
Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Mutant:
    """`base` is a recipe, or a bundle that `test_mutants` makes by that name. `step` catches it with `code` (for the
    step "loaders": with that verdict) and says `words` (there: of that loader). `fault`: a peer's fault that it
    reproduces."""

    name: str
    base: str
    spoil: Spoil
    step: str
    code: str
    words: str
    fault: str = ""


def edit(bundle: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((bundle / name).read_text())
    change(data)
    (bundle / name).write_text(json.dumps(data))


def config(change: Callable[[dict[str, Any]], object]) -> Spoil:
    return lambda bundle: edit(bundle, "config.json", change)


def jang(change: Callable[[dict[str, Any]], object]) -> Spoil:
    return lambda bundle: edit(bundle, "jang_config.json", change)


def section(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """The same change to `quantization` and its twin."""
    return config(lambda data: (change(data["quantization"]), change(data["quantization_config"])))


def files(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """The same change to config.json and jang_config.json."""
    return lambda bundle: (edit(bundle, "config.json", change), edit(bundle, "jang_config.json", change))


def retensor(change: Callable[[Tensors], object], file: str = SHARD) -> Spoil:
    """Rewrites one file, and the index if it is a shard, with changed tensors."""

    def spoil(bundle: Path) -> None:
        tensors = load_file(bundle / file)
        change(tensors)
        tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        save_file(tensors, bundle / file, {"format": "mlx"})
        if file == SHARD:
            edit(bundle, INDEX, lambda data: data.update(weight_map=dict.fromkeys(tensors, SHARD)))

    return spoil


def poke(change: Callable[[Callable[[str], np.ndarray]], object]) -> Spoil:
    """Changes bytes in place, under the same header: `change` gets a function from a tensor's name to its numbers, in
    the unsigned type of their size."""

    def spoil(bundle: Path) -> None:
        from dsv4recipe.bundle.open import open_bundle

        view = open_bundle(bundle)[0]
        entries = {entry.name: (header.file, entry) for header in view.shards for entry in header.tensors}
        opened: dict[str, np.memmap] = {}

        def tensor(name: str) -> np.ndarray:
            file, entry = entries[name]
            data = opened.setdefault(file, np.memmap(bundle / file, np.uint8, "r+"))
            size = {"U32": 4, "F32": 4, "I64": 8, "F16": 2, "BF16": 2, "U8": 1}[entry.dtype]
            return data[entry.start : entry.end].view(f"<u{size}").reshape(entry.shape)

        change(tensor)
        for data in opened.values():
            data.flush()

    return spoil


def swap(one: str, other: str, suffixes: Iterable[str] = AFFINE) -> Spoil:
    def change(tensor: Callable[[str], np.ndarray]) -> None:
        for suffix in suffixes:
            a, b = tensor(one + suffix), tensor(other + suffix)
            a[...], b[...] = b.copy(), a.copy()

    return poke(change)


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """One tensor, of the same shape, made anew from its old numbers."""

    def spoil(tensor: Callable[[str], np.ndarray]) -> None:
        array = tensor(name)
        array[...] = change(array.copy())

    return poke(spoil)


def each(stem: str, change: Callable[[np.ndarray], np.ndarray], suffixes: Iterable[str] = AFFINE) -> Spoil:
    """The same for every part of a module."""
    spoils = [put(stem + suffix, change) for suffix in suffixes]
    return lambda bundle: [spoil(bundle) for spoil in spoils]


def nibbles(words: np.ndarray) -> np.ndarray:
    bytes_ = words.reshape(-1).view(np.uint8)
    return (bytes_ << 4 | bytes_ >> 4).view(words.dtype).reshape(words.shape)


def halves(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A change of float16 numbers given as their bits."""
    return lambda bits: change(bits.view(np.float16)).astype(np.float16).view(bits.dtype)


def rename(tensors: Tensors, old: str, new: str) -> None:
    tensors.update({name.replace(old, new): tensors.pop(name) for name in list(tensors) if old in name})


def recast(tensors: Tensors, name: str, dtype: type) -> None:
    tensors[name] = tensors[name].astype(dtype)


def drop(*starts: str) -> Spoil:
    """The entries of config.json whose keys begin so, away."""
    return section(lambda q: [q.pop(key) for key in list(q) if isinstance(q[key], dict) and key.startswith(starts)])


STEMS = ("layers.", "mtp.", "embed", "head")
PATHS = ("model.", "lm_head")


def forget_layers(data: dict[str, Any]) -> None:
    data.get("routed_expert_bit_plan", {}).pop("routed_layer_bits", None)
    data["quantization"].get("routed_expert_bit_plan", {}).pop("routed_layer_bits", None)
    data["quantization"].get("routed_experts", {}).get("bit_plan", {}).pop("routed_layer_bits", None)


def split(second: Callable[[str], bool]) -> Spoil:
    """Two shards; the names that `second` picks lie in the second."""

    def spoil(bundle: Path) -> None:
        tensors = load_file(bundle / SHARD)
        place = {name: TWO[second(name)] for name in tensors}
        (bundle / SHARD).unlink()
        for file in TWO:
            save_file({n: a for n, a in tensors.items() if place[n] == file}, bundle / file, {"format": "mlx"})
        edit(bundle, INDEX, lambda index: index.update(weight_map=place))

    return spoil


def one_shard_lost(bundle: Path) -> None:
    split(lambda name: "layers.3" in name)(bundle)
    (bundle / TWO[1]).unlink()


def through_mlx(change: Callable[[str, mx.array], tuple[str, mx.array]]) -> Spoil:
    """Rewrites the shard and the index, name by name; mlx knows bfloat16."""

    def spoil(bundle: Path) -> None:
        tensors = dict(change(name, array) for name, array in mx.load(str(bundle / SHARD)).items())
        mx.save_safetensors(str(bundle / "new.safetensors"), tensors, {"format": "mlx"})
        (bundle / "new.safetensors").replace(bundle / SHARD)
        edit(bundle, INDEX, lambda data: data.update(weight_map=dict.fromkeys(tensors, SHARD)))

    return spoil


def other_half(name: str, array: mx.array) -> tuple[str, mx.array]:
    return name, array.astype(mx.bfloat16) if "norm" in name and array.dtype == mx.float16 else array


def flip(place: int) -> Spoil:
    def spoil(bundle: Path) -> None:
        data = bytearray((bundle / SHARD).read_bytes())
        data[place] ^= 0x10
        (bundle / SHARD).write_bytes(data)

    return spoil


def zeroed_tail(bundle: Path) -> None:
    size = (bundle / SHARD).stat().st_size
    os.truncate(bundle / SHARD, size // 2)
    os.truncate(bundle / SHARD, size)


def both(*spoils: Spoil) -> Spoil:
    return lambda bundle: [spoil(bundle) for spoil in spoils]


def unlink(name: str) -> Spoil:
    return lambda bundle: (bundle / name).unlink()


_integrity = partial(Mutant, step="integrity")
_numbers = partial(Mutant, step="numbers")
_contract = partial(Mutant, step="contract")
_loaders = partial(Mutant, step="loaders")


def _by(make: Callable[..., Mutant], base: str, rows: Iterable[tuple[str, ...]]) -> tuple[Mutant, ...]:
    return tuple(make(row[0], base, row[1], code=row[2], words=row[3], fault=(*row, "")[4]) for row in rows)  # type: ignore[arg-type]


BYTES = _by(_integrity, "q4q8", (
    ("a bit flipped in the length of a header", flip(0), "V012", SHARD),
    ("a bit flipped in a header", flip(9), "V012", SHARD),
    ("a bit flipped among the weights", flip(20_000), "V012", SHARD),
    ("a bit flipped in the last byte", flip(-1), "V012", SHARD),
    ("a shard cut short by a byte", lambda b: os.truncate(b / SHARD, (b / SHARD).stat().st_size - 1), "V011", SHARD),
    ("a shard longer by a byte", lambda b: os.truncate(b / SHARD, (b / SHARD).stat().st_size + 1), "V011", SHARD),
    ("a zeroed tail", zeroed_tail, "V012", SHARD),
    ("tokenizer gone", unlink("tokenizer.json"), "V010", "tokenizer.json"),
    ("tokenizer of another model", lambda b: (b / "tokenizer.json").write_text("{}"), "V011", "tokenizer.json"),
    ("the manifest edited", lambda b: edit(b, "dsv4recipe.manifest.json", lambda m: m.update(plan="0")), "V014", "manifest"),
    ("a file added", lambda b: (b / "notes.txt").write_text("x"), "V013", "notes.txt"),
))  # fmt: skip

CONFIG = _by(_contract, "q4q8", (
    ("disk-keyed override", section(lambda q: q.update({"layers.1.ffn.experts.3.w1": ENTRY})), "V123",
     "override 'layers.1.ffn.experts.3.w1' names no quantized module"),
    ("disk-keyed override with a prefix", section(lambda q: q.update({"model.layers.1.ffn.experts.3.w1": ENTRY})), "V123",
     "override 'model.layers.1.ffn.experts.3.w1' names no quantized module"),
    ("path override missing", section(lambda q: q.pop(GATE)), "V124", f"{GATE} would be wrapped by the global entry"),
    ("wrong bits", section(lambda q: q.update({GATE: ENTRY | {"bits": 2}})), "V124", f"{GATE} would be wrapped by its entry"),
    ("wrong group size", section(lambda q: q.update({GATE: ENTRY | {"group_size": 64}})), "V124", GATE),
    ("mode lost", section(lambda q: q.update({GATE: {"bits": 4, "group_size": 32}})), "V122", GATE),
    ("wrong mode", section(lambda q: q.update({GATE: ENTRY | {"mode": "mxfp4"}})), "V124", "mode 'mxfp4'"),
    ("bits of None", section(lambda q: q.update({GATE: ENTRY | {"bits": None}})), "V122", GATE),
    ("bits as text", section(lambda q: q.update({GATE: ENTRY | {"bits": "4"}})), "V122", GATE),
    ("a width of some versions", section(lambda q: q.update({GATE: ENTRY | {"bits": 7}})), "V133", "7 bits"),
    ("all overrides gone", drop(*STEMS, *PATHS), "V124", "would be wrapped by the global entry"),
    ("twins differ", config(lambda c: c["quantization_config"].update(bits=4)), "V121", "differ"),
    ("source section left", config(lambda c: c.update(quantization_config={"quant_method": "fp8"})), "V121", "fp8"),
    ("no section", config(lambda c: c.pop("quantization")), "V120", "no `quantization`"),
    ("one stop token", config(lambda c: c.update(eos_token_id=1)), "V126", "eos_token_id is 1"),
    ("stop tokens that differ between two files",
     lambda b: edit(b, "generation_config.json", lambda g: g.update(eos_token_id=[1])), "V126", "the first one wins"),
    ("rope lost", config(lambda c: c.update(rope_scaling=None)), "V130", "rope_scaling"),
    ("layer kinds lost", config(lambda c: c.pop("compress_ratios")), "C010", "compress_ratios"),
    ("claims mxtq", config(lambda c: c.update(weight_format="mxtq")), "V128", "weight_format is 'mxtq'"),
    ("more experts announced than stored", config(lambda c: c.update(n_routed_experts=9)), "V106", "it should begin with [9",
     "expert counts are not held against n_routed_experts"),
    ("no group size for vMLX", jang(lambda j: j["quantization"].pop("group_size")), "V127", "vMLX assumes 64",
     "vMLX assumes group size 64"),
    ("jang_config gone", unlink("jang_config.json"), "V127", "jang_config.json is missing"),
    ("encoding gone", unlink("encoding/encoding_dsv4.py"), "V131", "encoding_dsv4.py is missing"),
    ("generation_config is no JSON", lambda b: (b / "generation_config.json").write_text("{'eos': 1"), "V022",
     "generation_config.json", "a malformed generation_config.json ends in UnboundLocalError"),
    ("named for another width", config(lambda c: c.update(_name_or_path="DeepSeek-V4-Flash-6bit")), "V142", "says 6 bits"),
    ("drop_mtp says the reverse", jang(lambda j: j.update(drop_mtp=True)), "V103", "says drop_mtp true",
     "the converter's help says that K drops MTP, and it does not"),
    ("a path of the builder's machine", jang(lambda j: j.update(source_model="/Users/somebody/source")), "V141",
     "source_model", "absolute paths leak"),
))  # fmt: skip

TENSORS = _by(_contract, "q4q8", (
    ("model. prefix", retensor(lambda t: rename(t, "layers.2.attn.wq_a", "model.layers.2.attn.wq_a")), "V101",
     "model.layers.2.attn.wq_a: no module of vmlx takes this tensor", "unknown keys are dropped in silence"),
    ("tensor missing", retensor(lambda t: t.pop("layers.2.attn.attn_sink")), "V102", "model.layers.2.self_attn.attn_sink"),
    ("biases missing", retensor(lambda t: t.pop(f"{WKV}.biases")), "V102", f"{WKV}: .biases is missing"),
    ("scales missing", retensor(lambda t: t.pop(f"{WKV}.scales")), "V102", f"{WKV}: .scales is missing"),
    ("control in half", retensor(lambda t: recast(t, "layers.1.hc_attn_fn", np.float16)), "V107", "layers.1.hc_attn_fn is F16"),
    ("attention sink in half", retensor(lambda t: recast(t, "layers.1.attn.attn_sink", np.float16)), "V107", "attn_sink is F16"),
    ("hash table in float", retensor(lambda t: recast(t, "layers.0.ffn.gate.tid2eid", np.float32)), "V107",
     "a hash table must hold integers"),
    ("experts missing", retensor(lambda t: t.update({n: t[n][:7] for n in t if n.startswith(UP)})), "V106",
     f"{UP}.weight has shape [7, 128, 32]"),
    ("transposed experts", retensor(lambda t: t.update({UP + ".weight": t[UP + ".weight"].swapaxes(1, 2)})), "V106", UP),
    ("gate and up differ", retensor(lambda t: t.update({UP + ".weight": t[UP + ".weight"][..., ::2]})), "V125", "layer 1: gate and up"),
    ("MTP dropped but announced", retensor(lambda t: [t.pop(n) for n in list(t) if n.startswith("mtp.")]), "V103",
     "announces 1 MTP layer(s), but the bundle holds none"),
    ("MTP kept but not announced", config(lambda c: c.update(num_nextn_predict_layers=0)), "V103", "announces no MTP layer"),
    ("two half types", through_mlx(other_half), "V108", "two half types", "nobody checks the half types"),
    ("stale shard of another build", lambda b: shutil.copyfile(b / SHARD, b / TWO[0]), "V024", "shards of more than one set",
     "a stale shard beside a new build is loaded in silence"),
    ("old shard under another name", lambda b: shutil.copyfile(b / SHARD, b / "model-old.safetensors"), "V135",
     "model-old.safetensors is not a shard of this bundle", "a stale shard beside a new build is loaded in silence"),
    ("a shard never written", one_shard_lost, "V024", "there are 1 shards, but their names say 2", "no atomic publish: a killed conversion"),
    ("wrong index", lambda b: edit(b, INDEX, lambda i: i["weight_map"].pop(f"{WKV}.weight")), "V023", "disagree about 1 tensors"),
    ("index of another sharding", lambda b: edit(b, INDEX, lambda i: i.update(weight_map=dict.fromkeys(i["weight_map"], TWO[0]))),
     "V023", "disagree"),
    ("no index", unlink(INDEX), "V023", "no index"),
))  # fmt: skip


def affine_down(*layers: int) -> Spoil:
    """The down projections of these layers as affine 4-bit stacks in place of MXTQ ones, with their entries."""
    stems = [f"layers.{layer}.mlp.switch_mlp.down_proj" for layer in layers]

    def stored(tensors: Tensors) -> None:
        for stem in stems:
            experts, rows, words = tensors.pop(f"{stem}.tq_packed").shape
            tensors.pop(f"{stem}.tq_norms"), tensors.pop(f"{stem}.tq_bits")
            tensors[f"{stem}.weight"] = np.zeros((experts, rows, 2 * words), np.uint32)
            for part in (".scales", ".biases"):
                tensors[stem + part] = np.ones((experts, rows, words // 2), np.float16)

    return both(retensor(stored), section(lambda q: q.update({k: ENTRY for s in stems for k in (s, f"model.{s}")})))


MXTQ = _by(_contract, "jangtq2", (
    ("a layer half in MXTQ", affine_down(2), "V138", "layer 2: its experts are MXTQ, but not those of down"),
    ("every layer half in MXTQ", affine_down(0, 1, 2, 3), "V143", "no layer is MXTQ in all three projections",
     "vMLX refuses a bundle without one whole MXTQ layer"),
    ("sidecar missing", unlink(SIDECAR), "V129", "jangtq_runtime.safetensors is missing"),
    ("sidecar key missing", retensor(lambda t: t.pop("signs.128.42"), SIDECAR), "V136", "has no signs.128.42"),
    ("sidecar of another seed", retensor(lambda t: rename(t, ".42", ".43"), SIDECAR), "V136", "has no signs.256.42"),
    ("one sign flipped", retensor(lambda t: t["signs.256.42"].__setitem__(7, -t["signs.256.42"][7]), SIDECAR), "V136",
     "signs.256.42 differs from the codec"),
    ("codebook nudged by one bit", retensor(lambda t: t["codebook.128.2"].view(np.int32).__iadd__([1, 0, 0, 0]), SIDECAR),
     "V136", "codebook.128.2 differs from the codec"),
    ("sidecar in half precision", retensor(lambda t: recast(t, "codebook.128.2", np.float16), SIDECAR), "V136", "2 is F16"),
    ("sidecar cut short", lambda b: os.truncate(b / SIDECAR, 1000), "V136", "jangtq_runtime.safetensors cannot be read"),
    ("tq_bits wrong", retensor(lambda t: t[f"{STACK}.tq_bits"].fill(4)), "V137",
     f"{STACK}.tq_bits says 4, but the packed columns hold 2 bits", "the width of a stack is taken from expert 0"),
    ("tq_bits missing", retensor(lambda t: t.pop(f"{STACK}.tq_bits")), "V137", f"{STACK}.tq_bits is missing"),
    ("tq_bits of a stack as I32", retensor(lambda t: recast(t, f"{STACK}.tq_bits", np.int32)), "V137", "tq_bits is I32"),
    ("norms in float32", retensor(lambda t: recast(t, f"{STACK}.tq_norms", np.float32)), "V137", "tq_norms is F32"),
    ("norms missing", retensor(lambda t: t.pop(f"{STACK}.tq_norms")), "V102", ".tq_norms is missing"),
    ("half the columns", retensor(lambda t: t.update({f"{STACK}.tq_packed": t[f"{STACK}.tq_packed"][..., ::2]})), "V137",
     f"{STACK}.tq_packed: [8, 128, 8] words hold neither 2 nor 4 bits for each of 256 inputs"),
    ("no stack in the first shard", split(lambda name: ".switch_mlp." in name), "V110", "holds no prestacked MXTQ expert",
     "jang looks for prestacked experts in the first shard only"),
    ("ffn.switch_mlp", retensor(lambda t: rename(t, "mlp.switch_mlp", "ffn.switch_mlp")), "V101",
     "layers.0.ffn.switch_mlp.gate_proj: no module of vmlx takes this tensor"),
    ("experts.switch_mlp, as the card has it", retensor(lambda t: rename(t, "mlp.switch_mlp", "ffn.experts.switch_mlp")),
     "V102", "model.layers.0.mlp.switch_mlp.gate_proj is not in the bundle"),
    ("weight_format of the converter", jang(lambda d: d.update(weight_format="mxfp4_mixed")), "V128",
     "weight_format is 'mxfp4_mixed'", "the converter writes mxfp4_mixed for an MXTQ bundle"),
    ("weight_format gone", config(lambda d: d.pop("weight_format")), "V128", "weight_format is None"),
    ("default width wrong", files(lambda d: d["mxtq_bits"].update(routed_expert=4)), "V138", "leaves it at 4"),
    ("seeds differ", jang(lambda d: d.update(mxtq_seed=43)), "V139", "mxtq_seed 43, but config.json 42"),
    ("seed of another bundle", files(lambda d: d.update(mxtq_seed=7)), "V136", "has no signs.256.7"),
    ("seed as text", files(lambda d: d.update(mxtq_seed="42")), "V139", "mxtq_seed is '42'"),
    ("swiglu without its clamp", config(lambda d: d.update(swiglu_limit=7.0)), "V130", "vMLX refuses MXTQ experts unless"),
    ("jang_config bits", jang(lambda d: d["quantization"].update(bits=4)), "V127", "bits is 4, but config.json says 8"),
    ("stop at another token", config(lambda d: d.update(eos_token_id=[1, 4])), "V126", "lacks 3, the tokenizer's <｜User｜>"),
))  # fmt: skip

OTHERS = (
    *_by(_contract, "jangtq-hash4", (
        ("sidecar lacks the second width", retensor(lambda t: t.pop("codebook.256.4"), SIDECAR), "V136", "has no codebook.256.4"),
        ("routed_layer_bits gone", files(forget_layers), "V138", "layer 3: its experts have 2 bits, routed_layer_bits leaves",
         "a V3 bundle without a plan omits routed_layer_bits"),
        ("routed_layer_bits wrong",
         jang(lambda d: d["quantization"]["routed_experts"]["bit_plan"].update(routed_layer_bits={"3": 4})), "V138",
         "layer 3: its experts have 2 bits, routed_layer_bits says 4"),
        ("routed_layer_bits of no layer",
         jang(lambda d: d["quantization"]["routed_experts"]["bit_plan"].update(routed_layer_bits={"3": 2, "9": 2})), "V138",
         "routed_layer_bits names layer 9"),
    )),
    *_by(_contract, "jangtq2-per-expert", (
        ("tq_bits wrong on one expert", retensor(lambda t: t[f"{SINGLE}.tq_bits"].fill(4)), "V137", f"{SINGLE}.tq_bits says 4"),
        ("tq_bits of an expert as U8", retensor(lambda t: recast(t, f"{SINGLE}.tq_bits", np.uint8)), "V137",
         f"{SINGLE}.tq_bits is U8, but MXTQ stores it as I32"),
    )),
    *_by(_contract, "q4q8-per-expert", (
        ("one expert missing", retensor(lambda t: [t.pop(SINGLE + suffix) for suffix in AFFINE]), "V104", "7 of 8 experts"),
        ("one expert of another width", retensor(lambda t: t.update({f"{SINGLE}.weight": t[f"{SINGLE}.weight"][:, ::2]})), "V104",
         "not stored alike"),
        ("experts of a projection in two shards", split(lambda n: ".experts.5." in n), "V105", "its experts lie in 2 shards",
         "a group that spans two shards ends in KeyError"),
        ("entries under names on disk alone", drop(*PATHS), "V124", "would be wrapped by the global entry",
         "jang's converter keys overrides by names on disk: none hits a module"),
        ("per-expert entries by path alone", drop(*STEMS), "V140", "no entry under the name on disk",
         "vMLX's shape repair overwrites correct overrides"),
    )),
    *_by(_contract, "two-group-sizes", (
        ("two group sizes by path alone", drop(*STEMS), "V140", "layers.0.attn.wq_a has no entry under the name on disk",
         "vMLX's shape repair overwrites correct overrides"),
    )),
    *_by(_contract, "mxfp4-per-expert", (
        ("mxfp4 experts called mxtq", both(jang(lambda j: j.update(weight_format="mxfp4_mixed")),
                                           config(lambda c: c.update(weight_format="mxtq"))), "V128", "weight_format is 'mxtq'",
         "the converter's profile 4 leaves mxfp4 experts under mxtq and no sidecar"),
        ("mxfp4 experts, entries by path alone", drop(*STEMS), "V140", "no entry under the name on disk",
         "vMLX's repair loses the mode of mxfp4"),
    )),
    *_by(_contract, "native", (
        ("an override of another class's path", section(lambda q: q.update(
            {NATIVE.replace("ffn", "moe"): q.pop(NATIVE), "x": q.pop("language_model." + NATIVE)})), "V124", NATIVE),
        ("mode lost on mxfp4", section(lambda q: q["language_model." + NATIVE].pop("mode")), "V122", NATIVE),
        ("names of the older branch", through_mlx(lambda name, array: (name.replace(".attn_hc.", ".hc_attn."), array)), "V101", "hc_attn"),
        ("smaller groups than the global ones", section(lambda q: q.update(group_size=64, mode="affine")), "V134", "below the global 64"),
    )),
    *_by(_contract, "q4q8-other", (
        ("sidecar without MXTQ", lambda b: save_file({"signs.2.42": np.ones(2, np.float32)}, b / SIDECAR), "V129", "but no MXTQ tensors"),
    )),
    *_by(_contract, "native-float16", (
        ("float16 where the runtime refuses it", lambda b: None, "V132", "refuses float16"),
    )),
)  # fmt: skip

LOADERS = (
    *_by(_loaders, "jangtq2", (
        ("prestacked MXTQ through mlx-lm, strict=False", lambda b: None, "random weights", "jang's class, strict=False",
         "mlx-lm strict=False runs a prestacked bundle on random experts"),
    )),
    *_by(_loaders, "q4q8", (
        ("every name with a model. prefix", retensor(lambda t: [t.update({f"model.{n}": t.pop(n)}) for n in list(t)]),
         "random weights", "jang", "unknown keys are dropped in silence"),
    )),
    *_by(_loaders, "mxfp4-per-expert", (
        ("mxfp4 as the converter keys it, in vMLX", drop(*PATHS), "garbage text", "vmlx", "vMLX's repair loses the mode of mxfp4"),
    )),
    *_by(_loaders, "q4q8-per-expert", (
        ("4 bits in groups of 32 by path alone, in vMLX", drop(*STEMS), "fails at the first token", "vmlx",
         "vMLX's shape repair overwrites correct overrides"),
        ("entries under names on disk alone, in mlx-lm 0.31", drop(*PATHS), "strict load error", "jang's class, mlx-lm 0.31",
         "jang's converter keys overrides by names on disk: none hits a module"),
        ("experts of a projection in two shards, in jang", split(lambda n: ".experts.5." in n), "strict load error", "jang",
         "a group that spans two shards ends in KeyError"),
    )),
)  # fmt: skip

NUMBERS = (
    *_by(_numbers, "q4q8", (
        ("swapped gate and up", swap(STACK, UP), "V307", "layers.1.mlp.switch_mlp.gate_proj"),
        ("swapped gate and down of a shared expert's scales", put("layers.1.ffn.shared_experts.w1.scales", lambda a: a[::-1]),
         "V307", "shared_experts.gate_proj"),
        ("swapped nibbles", put(STACK + ".weight", nibbles), "V307", GATE),
        ("scales shifted by one group", put(STACK + ".scales", lambda a: np.roll(a, 1, -1)), "V303", GATE),
        ("scales and biases off by one group", both(put(STACK + ".scales", lambda a: np.roll(a, 1, -1)),
                                                    put(STACK + ".biases", lambda a: np.roll(a, 1, -1))), "V307", GATE),
        ("scales of the next row", put(STACK + ".scales", lambda a: np.roll(a, 1, -2)), "V303", GATE),
        ("codes shifted by a word", put(STACK + ".weight", lambda a: np.roll(a, 1, -1)), "V307", GATE),
        ("codes transposed", put(STACK + ".weight", lambda a: a.swapaxes(1, 2).reshape(a.shape)), "V307", GATE),
        ("experts in another order", each(STACK, lambda a: a[::-1]), "V307", GATE),
        ("two experts swapped", each(STACK, lambda a: a[[1, 0, *range(2, len(a))]]), "V307", "of 8 experts"),
        ("experts of another layer", swap(STACK, "layers.2.mlp.switch_mlp.gate_proj"), "V307", GATE),
        ("one expert zeroed", put(STACK + ".scales", lambda a: np.where(np.arange(len(a))[:, None, None] == 3, 0, a).astype(a.dtype)),
         "V307", "experts.3"),
        ("biases without their sign", put(STACK + ".biases", lambda a: a & 0x7FFF), "V307", GATE),
        ("scales halved", put(f"{WKV}.scales", halves(lambda a: a / 2)), "V307", "wkv"),
        ("attention of two layers swapped", swap("layers.1.attn.wkv", WKV), "V307", "wkv"),
        ("rows of the embedding shifted by one", each("embed", lambda a: np.roll(a, 1, 0)), "V307", "model.embed"),
        ("MTP projections swapped", swap("mtp.0.e_proj", "mtp.0.h_proj"), "V307", "e_proj"),
        ("a norm of ones", put("layers.1.attn_norm.weight", halves(np.ones_like)), "V303", "input_layernorm"),
        ("a norm that overflowed", put("layers.1.attn_norm.weight", lambda bits: np.full_like(bits, 0x7C00)), "V308",
         "input_layernorm", "bfloat16 goes to float16 with its range unchecked"),
        ("a control tensor zeroed", put("layers.1.hc_attn_fn", np.zeros_like), "V302", "hc_attn_fn"),
        ("hash table shifted by a token", put("layers.0.ffn.gate.tid2eid", lambda a: np.roll(a, 1, 0)), "V302", "tid2eid"),
        ("one bit of one scale", put(f"{WKV}.scales", lambda a: a ^ (np.arange(a.size).reshape(a.shape) == 5)), "V303", "wkv"),
    )),
    *_by(_numbers, "native", (
        ("wrong E8M0 bias", put(NATIVE + ".scales", lambda a: a + np.uint8(1)), "V302", "switch_mlp.gate_proj"),
        ("FP4 bytes with the high nibble first", put(NATIVE + ".weight", nibbles), "V302", "switch_mlp.gate_proj"),
        ("wrong E8M0 bias of FP8", put("model.layers.1.attn.wq_b.scales", lambda a: a - np.uint8(1)), "V302", "wq_b"),
        ("groups of the split projection swapped", each("model.layers.1.attn.wo_a", lambda a: a[::-1], (".weight", ".scales")),
         "V302", "wo_a"),
    )),
    *_by(_numbers, "jangtq2", (
        ("MXTQ norms of the next row", put(f"{STACK}.tq_norms", lambda a: np.roll(a, 1, -1)), "V303", GATE),
        ("MXTQ codes packed the other way round", put(f"{STACK}.tq_packed", lambda a: a.byteswap()), "V307", GATE),
        ("MXTQ experts in another order", each(STACK, lambda a: a[::-1], (".tq_packed", ".tq_norms")), "V307", GATE),
    )),
    *_by(_numbers, "downloaded", (
        ("swapped gate and up, nobody's manifest", swap(STACK, UP), "V307", GATE),
        ("off by one group, nobody's manifest", each(STACK, lambda a: np.roll(a, 1, -1), (".scales", ".biases")), "V307", GATE),
        ("two experts swapped, nobody's manifest", each(STACK, lambda a: a[[1, 0, *range(2, len(a))]]), "V307", "of 8 experts"),
    )),
    *_by(_numbers, "other-weights", (
        ("built from other weights of the same shapes", lambda b: None, "V307", "no affine 8-bit g32 encoding of this source"),
    )),
)  # fmt: skip

MUTANTS = (*BYTES, *CONFIG, *TENSORS, *MXTQ, *OTHERS, *LOADERS, *NUMBERS)
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}

PAGE = """# Mutants

{count} ways to spoil a sound bundle, and what catches each: made and looked at by `pytest tests/verifier/test_mutants.py`,
written by `python -m tests.verifier.mutants`. Steps: *integrity* needs the manifest; *contract* reads headers and JSON
alone; *loaders* is the verdict of the replay of one loader; *numbers* needs `--source`. A step that is named is the first
that can see it. The codes are in [errors/V.md](../errors/V.md); a peer's fault is one that jang 2.5.50 or vMLX 1.6.81 makes or
lets pass, reproduced.

| mutant | base | caught by | code or verdict | a peer's fault |
|---|---|---|---|---|
{rows}
"""


def page() -> str:
    rows = (
        f"| {m.name} | {m.base} | {m.step}{f', {m.words}' if m.step == 'loaders' else ''} | {m.code} | {m.fault} |"
        for m in MUTANTS
    )
    return PAGE.format(count=len(MUTANTS), rows="\n".join(rows))


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "evidence" / "mutants.md").write_text(page(), encoding="utf-8")
