"""What changes the model itself: types of control tensors, experts, stages, config.json."""

from __future__ import annotations

from tests.inputs.drawn.model import Config, Drawn
from tests.inputs.sources import Raw, in_bf16, in_f32
from tests.inputs.stored import fewer_experts

CONTROL = ("hc_", "attn_sink", "gate.bias", ".ape")


def control(drawn: Drawn) -> None:
    """Control tensors in BF16, norms in F32."""
    if drawn.some(0.4):
        some = [word for word in CONTROL if drawn.some(0.6)]
        for name, raw in list(drawn.tensors.items()):
            if raw.dtype == "F32" and any(word in name for word in some):
                drawn.tensors[name] = in_bf16(raw)
        drawn.say(*(f"BF16 {word}" for word in some))
    if drawn.some(0.25):
        for name, raw in list(drawn.tensors.items()):
            if raw.dtype == "BF16" and "norm" in name:
                drawn.tensors[name] = in_f32(raw)
        drawn.say("F32 norms")


def stages(drawn: Drawn) -> None:
    """MTP stages kept, removed, or removed and config.json told."""
    kind = drawn.one("kept", "kept", "kept", "gone", "gone and said")
    if kind == "kept":
        return
    for name in [name for name in drawn.tensors if name.startswith("mtp.")]:
        del drawn.tensors[name]
    if kind == "gone and said":
        drawn.section["num_nextn_predict_layers"] = 0
        drawn.section["compress_ratios"] = drawn.section["compress_ratios"][: drawn.section["num_hidden_layers"]]
    drawn.say(f"MTP {kind}")


def pruned(drawn: Drawn) -> None:
    """Experts removed: everywhere, in the layers alone, or not alike; config.json and tables told, or not."""
    if drawn.some(0.6):
        return
    left = drawn.section["n_routed_experts"] - drawn.rng.choice((1, 2, 4))
    where = drawn.one("everywhere", "everywhere", "in the layers", "in some layers")
    layers = {f"layers.{n}" for n in range(drawn.section["num_hidden_layers"]) if where != "in some layers" or n % 2}
    tables = {name: raw for name, raw in drawn.tensors.items() if name.endswith("tid2eid")}
    fewer_experts(drawn.tensors, left, lambda block: where == "everywhere" or block in layers)
    drawn.say(f"{left} experts {where}")
    if drawn.some(0.7):
        drawn.section["n_routed_experts"] = left
    else:
        drawn.say("not said in config.json")
    if drawn.some(0.25):
        drawn.tensors |= tables
        drawn.odd = True
        drawn.say("tables not renumbered")


def table(drawn: Drawn) -> None:
    """Fewer experts for a token than the table of the hash layers has."""
    if drawn.some(0.06):
        drawn.section["num_experts_per_tok"] = 1
        drawn.say("one expert per token")


def zeros(drawn: Drawn) -> None:
    """A matrix that is zero from somewhere on."""
    if not drawn.some(0.06):
        return
    name = drawn.rng.choice([name for name in drawn.tensors if name.endswith(("experts.1.w2.weight", "wq_b.weight"))])
    raw = drawn.tensors[name]
    share = drawn.rng.choice((0.1, 0.8))
    kept = int(len(raw.data) * (1 - share))
    drawn.tensors[name] = Raw(raw.dtype, raw.shape, raw.data[:kept] + bytes(len(raw.data) - kept))
    drawn.odd |= share > 0.5
    drawn.say(f"{share:.0%} of {name} zero")


def config(drawn: Drawn) -> None:
    """Variants of config.json."""
    if drawn.some(0.1):
        drawn.section["eos_token_id"] = [1, 5]
        drawn.say("eos list")
    for key in ("swiglu_limit", "rope_scaling", "compress_ratios"):
        if drawn.some(0.03):
            drawn.section.pop(key, None)
            drawn.say(f"no {key}")
    if drawn.some(0.1):
        drawn.config.update(torch_dtype="float16", transformers_version="5.24.0", something_new={"a": [1, None]})
        drawn.say("keys of a newer version")
    if drawn.some(0.1) and drawn.section is drawn.config:
        _wrap(drawn.config)
        drawn.say("in text_config")


def _wrap(config: Config) -> None:
    inner = dict(config)
    config.clear()
    config |= {"model_type": inner["model_type"], "text_config": inner}
    if "quantization_config" in inner:
        config["quantization_config"] = inner.pop("quantization_config")
