"""The family's tables: published totals of every release, rules of detection, what is unknown, releases never seen."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dsv4recipe import RecipeError, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import detect_family
from dsv4recipe.checkpoint.releases import RELEASES, release_model
from dsv4recipe.checkpoint.synth import Piece, shard_pieces, synthesize, synthesize_config
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.cli.main import run
from dsv4recipe.headers.safetensors import header_bytes
from dsv4recipe.plan.expected import expected_checkpoint
from tests.checkpoints import headers_of


def pieces_of(config: dict[str, Any]) -> list[Piece]:
    family = detect_family(config, "config.json")
    return [p for shard in shard_pieces(family, family.dims_of(config, "config.json")) for p in shard]


PUBLISHED = {
    "v4-flash": {
        "I8": (33_792, 141_733_920_768), "F8_E8M0": (34_167, 8_858_737_664), "F8_E4M3": (375, 6_023_020_544),
        "BF16": (433, 2_830_518_528), "F32": (417, 144_672_072), "I64": (3, 18_616_320),
    },
    "v4-flash-0731": {
        "I8": (35_328, 148_176_371_712), "F8_E8M0": (35_718, 9_261_408_000), "F8_E4M3": (390, 6_304_038_912),
        "BF16": (445, 2_967_134_976), "F32": (433, 150_966_520), "I64": (3, 18_616_320),
    },
    "v4-pro": {
        "I8": (71_424, 786_381_668_352), "F8_E8M0": (71_952, 49_150_268_416), "F8_E4M3": (528, 23_169_335_296),
        "BF16": (619, 5_633_798_656), "F32": (590, 351_105_656), "I64": (3, 18_616_320),
    },
    "v4.1-flash": {
        "I8": (47_232, 278_585_671_680), "F8_E8M0": (47_589, 23_563_015_184), "F8_E4M3": (357, 204_015_223_296),
        "BF16": (520, 3_952_883_712), "F32": (387, 169_229_128),
    },
}  # fmt: skip
"""Tensors and bytes by dtype, as the releases' headers have them."""

LAYERS = {
    "v4-flash-0731": {
        "layers.0": 3_566_148_952, "layers.2": 3_596_055_640, "layers.3": 3_568_596_312, "layers.42": 3_589_851_224,
        "mtp.0": 3_610_287_448, "mtp.1": 3_559_944_536, "mtp.2": 3_692_606_316,
    },
    "v4-pro": {"layers.0": 13_874_466_328, "layers.2": 13_909_746_200, "layers.59": 13_868_262_424,
               "layers.60": 13_903_542_296, "mtp.0": 13_956_587_692},
    "v4.1-flash": {
        "layers.0": 7_389_500_888, "layers.1": 108_924_651_160, "layers.2": 7_405_694_680, "layers.8": 7_405_694_680,
        "layers.14": 108_943_620_648, "layers.20": 7_400_451_800, "layers.24": 7_395_076_568,
        "layers.39": 7_389_500_888, "mtp.0": 2_652_643_800, "mtp.1": 2_573_913_560, "mtp.2": 2_706_317_272,
    },
}  # fmt: skip
"""Bytes of single layers and stages, as published."""


@pytest.mark.parametrize("release", PUBLISHED)
def test_a_release_is_its_config_to_the_byte(release: str) -> None:
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    part: Counter[str] = Counter()
    for piece in pieces_of(RELEASES[release].full_config()):
        count[piece.dtype] += 1
        size[piece.dtype] += piece.nbytes
        part[".".join(piece.name.split(".")[:2])] += piece.nbytes
    assert {dtype: (count[dtype], size[dtype]) for dtype in count} == PUBLISHED[release]
    assert {name: part[name] for name in LAYERS.get(release, {})} == LAYERS.get(release, {})


TOTALS = {"v4-flash-0731": (72_317, 166_878_536_440, 3), "v4.1-flash": (96_085, 510_286_023_000, 3)}


@pytest.mark.parametrize("release", TOTALS)
def test_inspect_says_the_published_totals(release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synthesize(tmp_path / "full", release, "full", headers_only=True)
    assert run(["inspect", str(tmp_path / "full"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["tensors"], said["bytes"], said["mtp_stages"]) == TOTALS[release]


def test_a_release_is_called_by_its_dimensions() -> None:
    for release in RELEASES.values():
        config = release.full_config()
        assert release_model(detect_family(config, "").dims_of(config, "")) == release.model
        config.get("text_config", config)["n_routed_experts"] += 8
        assert release_model(detect_family(config, "").dims_of(config, "")) == ""


def test_a_plan_says_which_release_it_is_for() -> None:
    """A recipe written for V4-Flash names V4-Flash; of another release it is not V4-Flash that a card may claim."""
    pro = expected_checkpoint(RELEASES["v4-pro"].full_config(), "config.json")
    source = make_plan(load_recipe("q4q8"), pro).source
    assert (source.model, source.revision) == ("deepseek-ai/DeepSeek-V4-Pro", "")


def with_changes(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (config | changes).items() if value is not None}


def test_what_configs_say_wrongly_or_not_at_all_does_not_matter(tmp_path: Path) -> None:
    """0731 announces one prediction layer and has three; early configs have no expert_dtype."""
    config = synth_config("v4-flash-0731", "tiny")
    assert config["num_nextn_predict_layers"] == 1
    opened = headers_of(with_changes(config, expert_dtype=None, num_nextn_predict_layers=None), tmp_path / "a")
    assert (opened.dims.stages, opened.dims.dspark) == (3, True)
    classic = {key: value for key, value in config.items() if not key.startswith("dspark_")}
    assert {g.slot.row.projection for g in headers_of(classic, tmp_path / "b").groups if g.slot.block == "mtp"} >= {
        "e_proj", "h_proj",
    }  # fmt: skip


@pytest.mark.parametrize("tile", [[128, 128], [32, 32]])
def test_the_fp8_tile_is_the_config_s_and_the_headers_must_agree(tmp_path: Path, tile: list[int]) -> None:
    config = synth_config("v4-flash", "tiny")
    config["quantization_config"] = config["quantization_config"] | {"weight_block_size": tile}
    opened = headers_of(config, tmp_path / "x")
    assert {g.source.tile for g in opened.groups if g.source.stored == "fp8"} == {tuple(tile)}
    other = [32, 32] if tile == [128, 128] else [128, 128]
    config["quantization_config"]["weight_block_size"] = other
    (tmp_path / "x" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError) as caught:
        open_checkpoint(tmp_path / "x")
    assert {d.code for d in caught.value.diagnostics} == {"C024"}


def test_a_tile_of_another_size_is_refused(tmp_path: Path) -> None:
    config = synth_config("v4-flash", "tiny")
    config["quantization_config"]["weight_block_size"] = [64, 64]
    with pytest.raises(RecipeError, match=r"weight_block_size is \[64, 64\]; this version supports"):
        headers_of(config, tmp_path / "x")


def rewritten(root: Path, change: Any) -> None:
    """Writes every shard's header again with `change(name, dtype, shape)` → entries in its place; data are holes."""
    index: dict[str, str] = {}
    for path in sorted(root.glob("*.safetensors")):
        length = int.from_bytes(path.read_bytes()[:8], "little")
        entries = json.loads(path.read_bytes()[8 : 8 + length])
        made = [new for n, e in entries.items() for new in change(n, e["dtype"], tuple(e["shape"]))]
        head = header_bytes(made)
        size = {"I8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "BF16": 2, "F32": 4, "I64": 8}
        with path.open("wb") as stream:
            stream.write(head)
            stream.truncate(len(head) + sum(size[d] * _product(s) for _, d, s in made))
        index |= dict.fromkeys((name for name, _, _ in made), path.name)
    (root / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def test_experts_in_fp8_are_seen_by_dtype_and_scale(tmp_path: Path) -> None:
    """As V4-Flash-Base stores them; its config differs in one word."""
    root = synthesize(tmp_path / "base", headers_only=True).root

    def fp8(name: str, dtype: str, shape: tuple[int, ...]) -> list[Any]:
        if ".ffn.experts." in name:
            rows, columns = shape[0], shape[1] * (2 if dtype == "I8" else 32)
            is_weight = name.endswith(".weight")
            return [(name, "F8_E4M3", (rows, columns)) if is_weight else (name, dtype, (rows // 128, columns // 128))]
        return [(name, dtype, shape)]

    rewritten(root, fp8)
    opened = open_checkpoint(root)
    routed = [group for group in opened.groups if group.slot.row.role == "routed-expert"]
    assert {group.source.stored for group in routed} == {"fp8"}
    plan = make_plan(load_recipe("q4q8"), opened)
    assert {m.format.kind for m in plan.modules if m.role == "routed-expert"} == {"affine"}


def test_every_unknown_tensor_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = synthesize(tmp_path / "next", headers_only=True).root
    strange = [f"layers.{n}.attn.memory.{part}" for n in range(4) for part in "abcdefghi"] + ["new_head.weight"]

    def add(name: str, dtype: str, shape: tuple[int, ...]) -> list[Any]:
        more = [(each, "BF16", (4, 4)) for each in strange] if name == "norm.weight" else []
        return [(name, dtype, shape), *more]

    rewritten(root, add)
    assert run(["inspect", str(root), "--json"]) == 1
    out, err = capsys.readouterr()
    (finding,) = json.loads(out)["errors"]
    assert finding["code"] == "C020"
    assert {finding["where"]["subject"], *finding["notes"]} == set(strange)
    assert "(37 tensors)" in err
    assert "and 16 more (--json lists them all)" in err
    assert err.count("= layers") == 20


def random_v4(rng: Random) -> dict[str, Any]:
    layers, stages = rng.randint(1, 7), rng.randint(0, 4)
    base = synth_config(rng.choice(["v4-flash", "v4-flash-0731"]), "tiny")
    config = base | {
        "num_hidden_layers": layers,
        "compress_ratios": [rng.choice((0, 4, 128)) for _ in range(layers)] + [0] * stages,
        "num_hash_layers": rng.randint(0, layers),
        "n_shared_experts": rng.randint(1, 2),
    }
    if "dspark_block_size" in config:
        config["dspark_target_layer_ids"] = rng.sample(range(layers), rng.randint(1, layers))
    return config | random_widths(rng)


def random_v41(rng: Random) -> dict[str, Any]:
    config = synth_config("v4.1-flash", "tiny")
    layers, stages = rng.randint(1, 7), rng.randint(0, 4)
    some = [sorted(rng.sample(range(layers), rng.randint(0, layers))) for _ in range(3)]
    config["text_config"] |= {
        "num_hidden_layers": layers,
        "compress_ratios": [rng.choice((0, 1, 2, 8)) for _ in range(layers)] + [0] * stages,
        "kv_source_layer_ids": some[0],
        "index_source_layer_ids": some[1],
        "engram_layer_ids": some[2],
        "engram_num_embeddings": [rng.randint(1, 5000) for _ in some[2]],
        "dspark_n_routed_experts": rng.randint(2, 5),
        "dspark_target_layer_ids": [0],
    }
    config["text_config"] |= random_widths(rng)
    if rng.random() < 0.3:
        del config["vision_config"]
    else:
        config["vision_config"]["num_hidden_layers"] = rng.randint(1, 3)
    return config


def random_widths(rng: Random) -> dict[str, int]:
    return {
        "hidden_size": 128 * rng.randint(1, 4),
        "moe_intermediate_size": 128 * rng.randint(1, 3),
        "n_routed_experts": rng.randint(2, 9),
        "num_attention_heads": 2 * rng.randint(1, 3),
        "q_lora_rank": 128 * rng.randint(1, 2),
        "vocab_size": 16 * rng.randint(8, 40),
    }


@pytest.mark.parametrize("seed", range(24))
def test_a_release_never_seen_plans_from_its_own_config(seed: int, tmp_path: Path) -> None:
    """Other counts of layers, experts and stages, other ratios and sources: each tensor is claimed just once, and what
    is copied is as large as it was."""
    rng = Random(seed)
    config = random_v41(rng) if seed % 2 else random_v4(rng)
    checkpoint = open_checkpoint(synthesize_config(tmp_path / "x", config, headers_only=True).root)
    logical = sum(len(group.members) for group in checkpoint.groups)
    assert logical + sum(t.scale is not None for t in checkpoint.tensors) == checkpoint.folder.tensors
    for recipe in ("native",) if seed % 2 else ("native", "q4q8"):
        plan = make_plan(load_recipe(recipe), checkpoint)
        claimed = [module.sources for module in plan.modules]
        assert len(set(claimed)) == len(claimed)
        assert set(claimed) <= {group.names for group in checkpoint.groups}
        assert sum(max(1, m.experts) for m in plan.modules) + sum(plan.dropped.values()) == logical
        stems = [stem for module in plan.modules for stem in module.stems]
        assert len(set(stems)) == len(stems)
        kept = {m.sources: m for m in plan.modules}
        for group in checkpoint.groups:
            module = kept.get(group.names)
            if module is not None and recipe == "native" and group.source.stored != "fp8":
                stored = [t.weight.nbytes + (t.scale.nbytes if t.scale else 0) for t in group.members]
                assert module.bytes == sum(stored)


def test_seeds_cover_every_kind_of_part(tmp_path: Path) -> None:
    """The random releases above hold every pattern of both tables at least once."""
    seen: dict[str, set[str]] = {"deepseek_v4": set(), "deepseek_v41": set()}
    wanted: dict[str, set[str]] = {}
    for seed in range(24):
        rng = Random(seed)
        config = random_v41(rng) if seed % 2 else random_v4(rng)
        family = detect_family(config, "")
        wanted[family.name] = {row.pattern for row in family.rows if not _never_in_stages(row.pattern)}
        seen[family.name] |= {e.slot.row.pattern for e in family.expected(family.dims_of(config, ""))}
    assert {name: wanted[name] - seen[name] for name in wanted} == {"deepseek_v4": set(), "deepseek_v41": set()}


def _never_in_stages(pattern: str) -> bool:
    parts = (".compressor.", ".indexer.", "tid2eid", ".engram.")
    return pattern.startswith("mtp.") and any(part in pattern for part in parts)
