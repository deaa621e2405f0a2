"""What leaves the numbers as they are: how they are stored, what the tensors are called, which file has which."""

from __future__ import annotations

import shutil

from dsv4recipe.checkpoint.dialects import transformers_name
from tests.inputs.drawn.model import Drawn
from tests.inputs.sources import INDEX, Raw, Tensors, edit_json, layer_of, sharded, write_source
from tests.inputs.stored import experts, scale_of, scales_as, to_bf16, to_fp8

PREFIXES = ("model.", "language_model.", "model.language_model.", "language_model.model.")


def stored(drawn: Drawn) -> None:
    """The same numbers in other dtypes."""
    kind = drawn.one(
        "release", "release", "release", "U8 scales", "F32 scales", "BF16 scales", "FP8 experts", "BF16", "odd expert",
        "odd scale",
    )  # fmt: skip
    if kind == "release":
        return
    names = experts(drawn.tensors)
    if kind.endswith("scales"):
        scales_as(kind.partition(" ")[0])(drawn.tensors)
    elif kind == "FP8 experts":
        to_fp8(drawn.tensors, names)
    elif kind == "BF16":
        to_bf16(drawn.tensors, list(drawn.tensors))
    elif kind == "odd expert":
        (to_bf16 if drawn.some(0.5) else to_fp8)(drawn.tensors, [drawn.rng.choice(names)])
    else:
        scales_as("F32")(drawn.tensors)
        name = scale_of(drawn.rng.choice(names))
        values = drawn.tensors[name].array("<f4")
        values[-1, 0] *= 1.25
        drawn.tensors[name] = Raw("F32", values.shape, values.tobytes())
        drawn.odd = True
    drawn.say(kind)


def named(drawn: Drawn) -> None:
    """Another tool's names."""
    kind = drawn.one("release", "release", "prefix", "scale_inv", "transformers", "stacked", "another tool's")
    tensors = drawn.tensors
    bf16 = not any(raw.dtype in ("I8", "F8_E4M3") for raw in tensors.values())
    if kind == "release" or (kind == "another tool's" and drawn.some(0.7)):
        return
    if kind == "prefix":
        prefix = drawn.rng.choice(PREFIXES)
        tensors = {_prefixed(prefix, name): raw for name, raw in tensors.items()}
        kind = f"prefix {prefix}"
    elif kind == "scale_inv":
        tensors = {
            name.removesuffix("scale") + "weight_scale_inv" if name.endswith(".scale") else name: raw
            for name, raw in tensors.items()
        }
    elif kind == "another tool's":
        tensors = {f"transformer.h.{name}": raw for name, raw in tensors.items()}
    else:  # transformers has no names for MTP stages
        for name in [name for name in tensors if name.startswith("mtp.")]:
            del tensors[name]
        tensors = {("" if n.startswith("head.") else "model.") + transformers_name(n): r for n, r in tensors.items()}
        if kind == "stacked" and bf16:
            tensors = stacked(tensors)
    drawn.tensors = tensors
    drawn.say(f"names: {kind}")


def _prefixed(prefix: str, name: str) -> str:
    outer = prefix.removesuffix("model.") if prefix.endswith(".model.") else ""
    return (
        outer if name.startswith("head.") and prefix != "model." else "" if name.startswith("head.") else prefix
    ) + name


def stacked(tensors: Tensors) -> Tensors:
    """Experts as transformers has them: gate above up, one stack per layer."""
    found: Tensors = {}
    stacks: dict[str, list[Raw]] = {}
    for name, raw in tensors.items():
        before, experts_, rest = name.partition(".mlp.experts.")
        if experts_:
            stacks.setdefault(f"{before}{experts_}{rest.partition('.')[2]}", []).append(raw)
        else:
            found[name] = raw
    for name, gates in stacks.items():
        if "gate_proj" in name:
            pairs = zip(gates, stacks[name.replace("gate_proj", "up_proj")], strict=True)
            data = b"".join(gate.data + up.data for gate, up in pairs)
            rows, columns = gates[0].shape
            found[name.replace("gate_proj.weight", "gate_up_proj")] = Raw("BF16", (len(gates), 2 * rows, columns), data)
        elif "down_proj" in name:
            shape = (len(gates), *gates[0].shape)
            found[name.removesuffix(".weight")] = Raw("BF16", shape, b"".join(raw.data for raw in gates))
    return found


def written(drawn: Drawn) -> None:
    """Files: one per layer, one, scattered, scales apart, an overlay, an index of another time."""
    kind = drawn.one("layers", "layers", "one file", "scattered", "scales apart", "overlay", "stale index", "no index")
    names, tensors = list(drawn.tensors), drawn.tensors
    if kind == "one file":
        write_source(drawn.folder, {"model.safetensors": tensors}, None)
        drawn.say(kind)
        return
    if kind in ("scattered", "overlay"):
        drawn.rng.shuffle(names)
    of = {
        "scattered": lambda _: drawn.rng.randrange(5),
        "scales apart": lambda name: (10000 if "scale" in name else 0) + layer_of(name),
    }
    files = sharded(names, of.get(kind, layer_of))
    index = {name: file for file, some in files.items() for name in some}
    made = {file: {name: tensors[name] for name in some} for file, some in files.items()}
    if kind == "overlay":
        chosen = [name for name in names if len(tensors[name].data) > 8][:3]
        made["model-overlay-00001.safetensors"] = {name: tensors[name] for name in chosen}
        for name in chosen:
            old = tensors[name]
            made[index[name]][name] = Raw(old.dtype, old.shape, old.data[::-1])
            index[name] = "model-overlay-00001.safetensors"
    if kind == "stale index":
        index = {name: f"old-{file}" for name, file in index.items()}
    write_source(drawn.folder, made, None if kind == "no index" else index)
    if kind != "layers":
        drawn.say(kind)


def beside(drawn: Drawn) -> None:
    """Files beside the shards: missing, more than there should be, or with another content."""
    if drawn.some(0.75):
        return
    folder = drawn.folder
    kind = drawn.one(
        "tokenizer.json", "generation_config.json", "encoding/encoding_dsv4.py", "LICENSE", "tokens", "tools"
    )
    if kind == "tokens":
        edit_json(
            folder / "tokenizer.json", lambda data: data["added_tokens"].append({"id": 99999, "content": "<more>"})
        )
    elif kind == "tools":
        (folder / ".cache" / "huggingface" / "download").mkdir(parents=True)
        (folder / ".cache" / "huggingface" / "download" / "config.json.metadata").write_text("x")
        (folder / "._config.json").write_bytes(b"\0\5\x16\7")
    else:
        (folder / kind).unlink()
    drawn.say({"tokens": "a token beyond the embedding", "tools": "what tools leave"}.get(kind, f"without {kind}"))


def remove_index(drawn: Drawn) -> None:
    (drawn.folder / INDEX).unlink()


def restore(drawn: Drawn, name: str) -> None:
    """A side file as the release has it."""
    (drawn.folder / name).parent.mkdir(exist_ok=True)
    shutil.copy(drawn.base / name, drawn.folder / name)
