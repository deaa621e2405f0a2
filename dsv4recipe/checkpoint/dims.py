"""Floor 1, checkpoint. Reads the numbers of a config.json that decide names and shapes. This module is pure.

See docs/reference/checkpoint.md. Nothing here depends on the name of a release. What a checkpoint contains follows
from the keys that are present (`dspark_block_size`, `vision_config`, `engram_layer_ids`) and from the lengths of lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.errors import Problems, Where

TILES = ((128, 128), (32, 32))
"""The scale tiles that releases use for FP8 matrices."""


@dataclass(frozen=True, slots=True)
class Vision:
    """Holds the sizes of the vision tower and of the aligner that connects it to the model."""

    blocks: int
    hidden: int
    inter: int
    patch: int
    downsample: int


@dataclass(frozen=True)
class Dims:
    """Holds the numbers of one config.json that decide names and shapes. docs/reference/checkpoint.md has the symbols.

    `stages` is the number of MTP stages. `targets` is the number of layers that DSpark stages read (0: the stages are
    classic). `engrams` maps a layer to the rows of its table. `tile` is the scale tile of FP8 matrices.
    """

    hidden: int
    vocab: int
    heads: int
    head_dim: int
    q_lora: int
    o_groups: int
    o_lora: int
    inter: int
    shared: int
    experts: int
    topk: int
    hc: int
    index_heads: int
    index_dim: int
    layers: int
    stages: int
    hash_layers: int
    ratios: tuple[int, ...]
    tile: tuple[int, int]
    mtp_experts: int
    targets: int = 0
    markov_rank: int = 0
    kv_sources: frozenset[int] = frozenset()
    index_sources: frozenset[int] = frozenset()
    engrams: Mapping[int, int] = field(default_factory=dict)
    engram_dim: int = 0
    engram_columns: int = 0
    vision: Vision | None = None

    @property
    def mix(self) -> int:
        """Returns the number of rows of a hyper-connection matrix: (2 + C)·C for C residual streams."""
        return (2 + self.hc) * self.hc

    @property
    def dspark(self) -> bool:
        """Returns whether the MTP stages are DSpark stages."""
        return self.targets > 0

    @property
    def stage(self) -> str:
        """Returns the kind of the MTP stages: "classic" or "dspark"."""
        return "dspark" if self.dspark else "classic"

    def ratio(self, layer: int) -> int:
        """Returns the compress ratio of a layer; MTP stages are numbered after the main layers."""
        return self.ratios[layer]

    def width(self, layer: int, dim: int) -> int:
        """Returns the compressor width of V4: windows overlap at ratio 4, which doubles the width."""
        return 2 * dim if self.ratio(layer) == 4 else dim

    def experts_in(self, block: str) -> int:
        """Returns the number of routed experts in each layer of a block."""
        return self.mtp_experts if block == "mtp" else self.experts


def text_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the part of a config.json that describes the language model: `text_config` if it is there (V4.1)."""
    section = config.get("text_config")
    return section if isinstance(section, dict) else config


def flat(config: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """Returns a config.json with the keys of `text_config` at the top level, as runtimes without image support read it.
    If both sections hold a key, `text_config` wins. The result's `model_type` is the one given."""
    section = config.get("text_config")
    if not isinstance(section, dict):
        return dict(config)
    outer = {key: value for key, value in config.items() if key != "text_config"}
    own = ("model_type", "architectures", "quantization_config")
    inner = {k: v for k, v in section.items() if v is not None and (k not in own or k not in outer)}
    return {**outer, **inner, "model_type": model_type}


@dataclass(slots=True)
class ConfigReader:
    """Reads numbers from a section of config.json and checks their bounds. Collects every bad key as C010."""

    section: Mapping[str, Any]
    file: str
    problems: Problems
    prefix: str = ""

    def refuse(self, key: str, reason: str, hint: str = "fetch config.json of this very release again") -> None:
        name = self.prefix + key
        self.problems.error("C010", f"config.json: {name} {reason}", Where(self.file, subject=name), hint)

    def number(self, key: str, low: int = 1, high: int = 1 << 24, default: int | None = None) -> int:
        value = self.section.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            found = "is missing" if value is None else f"is {value!r}"
            self.refuse(key, f"{found}; it must be a whole number from {low} to {high:,}")
            return low
        return value

    def numbers(self, key: str, allowed: tuple[int, ...] = (), high: int = 1 << 40) -> tuple[int, ...]:
        """Returns a list of numbers that are all in `allowed` or, without it, from 0 to `high`."""
        value = self.section.get(key)
        fits = isinstance(value, list) and len(value) <= 4096
        fits = fits and all(type(v) is int and (v in allowed if allowed else 0 <= v <= high) for v in value or ())
        if not fits:
            what = ", ".join(map(str, allowed)) if allowed else f"whole numbers up to {high:,}"
            self.refuse(key, f"must be a list of {what}")
            return ()
        return tuple(value or ())

    def layers(self, key: str, count: int) -> frozenset[int]:
        """Returns a list of main layers; it is empty if the key is absent."""
        return frozenset(self.numbers(key, high=count - 1)) if key in self.section else frozenset()


def read_dims(config: Mapping[str, Any], file: str, ratios: tuple[int, ...], tile: tuple[int, int]) -> Dims:
    """Returns the dimensions of a config.json. `ratios` are the compress ratios that the family knows (() for any).
    `tile` is the family's usual FP8 tile, used if the config (that of a bundle) no longer states one.

    Raises RecipeError C010, which names every missing or invalid key.
    """
    problems = Problems()
    section = text_section(config)
    read = ConfigReader(section, file, problems, "" if section is config else "text_config.")
    layers = read.number("num_hidden_layers", high=1024)
    per_layer = read.numbers("compress_ratios", ratios, high=1 << 16)
    stages = len(per_layer) - layers
    if per_layer and not 0 <= stages <= 64:
        has = f"has {len(per_layer)} entries for {layers} layers; it needs one per layer and one per MTP stage"
        read.refuse("compress_ratios", has)
    inter = read.number("moe_intermediate_size")
    experts = read.number("n_routed_experts", high=65536)
    dspark = "dspark_block_size" in section
    dims = Dims(
        hidden=read.number("hidden_size"),
        vocab=read.number("vocab_size"),
        heads=read.number("num_attention_heads", high=4096),
        head_dim=read.number("head_dim", high=65536),
        q_lora=read.number("q_lora_rank"),
        o_groups=read.number("o_groups", high=4096),
        o_lora=read.number("o_lora_rank"),
        inter=inter,
        shared=inter * read.number("n_shared_experts", high=64),
        experts=experts,
        topk=read.number("num_experts_per_tok", high=4096),
        hc=read.number("hc_mult", high=64),
        index_heads=read.number("index_n_heads", high=4096),
        index_dim=read.number("index_head_dim", high=65536),
        layers=layers,
        stages=max(0, stages),
        hash_layers=read.number("num_hash_layers", low=0, high=1024, default=0),
        ratios=per_layer,
        tile=_tile(config, file, problems, tile),
        mtp_experts=read.number("dspark_n_routed_experts", high=65536, default=experts),
        targets=len(read.numbers("dspark_target_layer_ids", high=layers - 1)) if dspark else 0,
        markov_rank=read.number("dspark_markov_rank") if dspark else 0,
        kv_sources=read.layers("kv_source_layer_ids", layers),
        index_sources=read.layers("index_source_layer_ids", layers),
        vision=_vision(config, file, problems),
        **_engrams(read, layers),
    )
    if dims.topk > dims.experts:
        read.refuse(
            "num_experts_per_tok",
            f"is {dims.topk}, and there are {dims.experts} routed experts",
            f"write num_experts_per_tok: {dims.experts} or less",
        )
    if dims.heads * dims.head_dim % dims.o_groups:
        read.refuse("o_groups", "does not divide num_attention_heads × head_dim")
    if dspark and not dims.targets:
        read.refuse("dspark_target_layer_ids", "names no layer, but DSpark stages read at least one")
    problems.raise_if_any()
    return dims


def _engrams(read: ConfigReader, layers: int) -> dict[str, Any]:
    """Returns the Engram tables: rows per layer, width, and the columns that a token's n-grams fetch together."""
    on = read.numbers("engram_layer_ids", high=layers - 1) if "engram_layer_ids" in read.section else ()
    if not on:
        return {}
    rows = read.numbers("engram_num_embeddings")
    if len(rows) != len(on) or not all(rows):
        read.refuse("engram_num_embeddings", f"must hold {len(on)} row counts, one per engram layer")
    width = read.number("engram_head_dim", high=65536)
    grams = read.number("engram_max_ngram_size", low=2, high=64) - 1
    columns = grams * read.number("engram_n_heads", high=4096) * width
    return {"engrams": dict(zip(on, rows, strict=False)), "engram_dim": width, "engram_columns": columns}


def _vision(config: Mapping[str, Any], file: str, problems: Problems) -> Vision | None:
    section = config.get("vision_config")
    if not isinstance(section, dict) or not section:
        return None
    read = ConfigReader(section, file, problems, "vision_config.")
    return Vision(
        blocks=read.number("num_hidden_layers", high=1024),
        hidden=read.number("hidden_size"),
        inter=read.number("intermediate_size"),
        patch=read.number("patch_size", high=1024),
        downsample=read.number("downsample_ratio", high=64),
    )


def _tile(config: Mapping[str, Any], file: str, problems: Problems, usual: tuple[int, int]) -> tuple[int, int]:
    """Returns `quantization_config.weight_block_size`. In a bundle's config that key describes the bundle's own
    tensors, so the usual tile is returned."""
    section = config.get("quantization_config")
    if not isinstance(section, dict) or "weight_block_size" not in section:
        return usual
    given = section["weight_block_size"]
    for tile in TILES:
        if given == list(tile):
            return tile
    reason = f"is {given!r}; this version supports {' and '.join(str(list(tile)) for tile in TILES)}"
    ConfigReader(section, file, problems, "quantization_config.").refuse("weight_block_size", reason)
    return usual


def layer_sets(dims: Dims) -> dict[str, frozenset[int]]:
    """Returns the named layer sets of a config, main layers only. `mlx-lm-more-bits` follows mlx-lm's mixed recipes:
    i < n//8, i ≥ 7n//8 or (i − n//8) mod 3 = 2 (docs/reference/checkpoint.md)."""
    layers = range(dims.layers)
    eighth = dims.layers // 8
    more = (n for n in layers if n < eighth or n >= 7 * dims.layers // 8 or (n - eighth) % 3 == 2)
    return {
        "hash": frozenset(n for n in layers if n < dims.hash_layers),
        "dense-context": frozenset(n for n in layers if dims.ratio(n) == 0),
        **{f"compress-ratio-{r}": frozenset(n for n in layers if dims.ratio(n) == r) for r in (1, 2, 4, 128)},
        "kv-source": dims.kv_sources,
        "index-source": dims.index_sources,
        "engram": frozenset(dims.engrams),
        "mlx-lm-more-bits": frozenset(more),
    }
