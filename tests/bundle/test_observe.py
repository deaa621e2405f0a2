"""What headers show: our own bundles as their plan has them, other people's as they are, damaged ones as damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe import build, diff, load_recipe, make_plan
from dsv4recipe.bundle.observe import observe
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Affine, Mxfp4, Mxtq
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from tests.bundle import foreign
from tests.plan.random_recipes import random_plan
from tests.recipes import changed
from tests.targets.bundles import MLX_RECIPES

MXTQ = changed("format: {affine: {bits: 4, group-size: 32}}", "format: {mxtq: {bits: 2}}")


def seen(root: Path, prefer: str = "") -> Plan:
    return observe(open_bundle(root)[0], prefer).plan


def unruled(plan: Plan) -> list[object]:
    return [replace(module, rule="", note="") for module in plan.modules]


def unfitted(plan: Plan) -> Plan:
    """The plan as headers can show it: how scales and biases were chosen is not to be seen."""
    formats = [replace(m.format, fit="minmax") if isinstance(m.format, Affine) else m.format for m in plan.modules]
    modules = [replace(module, format=fmt) for module, fmt in zip(plan.modules, formats, strict=True)]
    return replace(plan, modules=tuple(modules))


@pytest.mark.parametrize("name", MLX_RECIPES)
def test_headers_show_the_plan_of_our_own_bundles(
    name: str, tiny_for: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    source = tiny_for(name)
    plan = make_plan(load_recipe(name), source)
    bundle = build(plan, source, tmp_path / "bundle")
    shown = seen(bundle, plan.target["runtime"])
    assert unruled(shown) == unruled(unfitted(plan))
    assert (shown.overrides, shown.dropped) == (plan.overrides, plan.dropped)
    assert {**shown.target, "shard_size": plan.target["shard_size"]} == plan.target
    assert [(s.file, s.tensor_bytes, s.file_bytes) for s in shown.shards] == [
        (s.file, s.tensor_bytes, s.file_bytes) for s in plan.shards
    ]
    assert diff(unfitted(plan), shown).empty
    found = read_bundle(bundle)
    assert found.built
    assert found.plan.digest == plan.digest


def test_headers_show_the_formats_of_random_plans(tiny: Checkpoint, tmp_path: Path) -> None:
    rng = random.Random(3)
    for number in range(12):
        plan = random_plan(rng, tiny)
        config = {**tiny.config, "quantization": dict(plan.overrides)}
        root = foreign.write(tmp_path / str(number), foreign.tensors_of(plan), config, len(plan.shards))
        shown = seen(root, plan.target["runtime"])
        assert unruled(shown) == unruled(plan)


def test_a_jang_bundle_is_read_from_its_tensors_and_not_from_its_claims(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(parse_recipe(MXTQ, "recipe.yaml"), tiny)
    root = foreign.jang(tmp_path / "jang", plan, tiny)
    found = read_bundle(root)
    assert not found.built
    assert found.runtimes == ("vmlx",)
    routed = [module for module in found.plan.modules if module.role == "routed-expert"]
    assert {module.format for module in routed} == {Mxtq(2)}
    assert {module.per_expert for module in routed if module.block == "mtp"} == {True}
    assert unruled(found.plan) == unruled(plan)
    difference = diff(plan, found.plan)
    assert (*difference.added, *difference.removed, *difference.changed) == ()
    assert [what.split(" (")[0] for what, *_ in difference.facts] == ["overrides"]


def test_a_bundle_of_mlx_vlm_is_known_by_its_module_paths(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("native"), tiny)
    root = foreign.mlx_community(tmp_path / "community", plan, tiny)
    found = read_bundle(root, "mlx-vlm")
    assert found.plan.target["runtime"] == "mlx-vlm"
    assert [m.path for m in found.plan.modules] == [m.path for m in plan.modules]
    assert [m.format for m in found.plan.modules] == [m.format for m in plan.modules]
    difference = diff(plan, found.plan)
    assert difference.bytes_delta == 0
    gate = next(c for c in difference.changed if "switch_mlp.gate_proj" in c.pattern)
    assert (gate.before, gate.after) == (
        "on disk model.layers.N.ffn.switch_mlp.gate_proj",
        "on disk language_model.model.layers.N.ffn.switch_mlp.gate_proj",
    )


def test_names_that_fit_several_runtimes_are_said_to(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("native"), tiny)
    root = foreign.write(tmp_path / "plain", foreign.tensors_of(plan), {**tiny.config, "quantization": plan.overrides})
    found = read_bundle(root)
    assert found.runtimes == ("mlx-vlm", "rapid-mlx", "omlx")
    assert found.notes == ("its names match mlx-vlm, rapid-mlx, omlx alike, so it is read as mlx-vlm",)
    assert read_bundle(root, "omlx").plan.target["runtime"] == "omlx"


def test_a_missing_expert_and_a_stranger_are_shown_with_their_bytes(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8-per-expert"), tiny)
    rows = foreign.without(foreign.tensors_of(plan), r"layers\.1\.ffn\.experts\.5\.w2\.")
    rows.append(("layers.1.ffn.unknown.weight", "F16", (4, 4)))
    root = foreign.write(tmp_path / "torn", rows, {**tiny.config, "quantization": plan.overrides})
    shown = seen(root)
    torn = next(m for m in shown.modules if m.sources == "layers.1.ffn.experts.{0-7}.w2.weight")
    whole = next(m for m in plan.modules if m.sources == torn.sources)
    assert torn.format.kind == "unrecognised (7 of 8 experts stored)"
    assert torn.bytes == whole.bytes * 7 // 8
    assert shown.tensor_bytes == plan.tensor_bytes - whole.bytes // 8 + 32
    found = diff(plan, shown)
    assert [(c.pattern, c.bytes_after) for c in found.added] == [("layers.1.ffn.unknown", 32)]
    assert [c.after for c in found.changed] == [
        "unrecognised (7 of 8 experts stored), on disk layers.N.ffn.experts.*.w2"
    ]


@pytest.mark.parametrize(
    ("weight", "scales", "biases", "kind"),
    [
        (("U32", (256, 64)), ("F16", (256, 8)), ("F16", (256, 8)), Affine(8, 32, "float16")),
        (("U32", (256, 24)), ("F32", (256, 2)), ("F32", (256, 2)), Affine(3, 128, "float32")),
        (("U32", (256, 32)), ("U8", (256, 8)), None, Mxfp4()),
        (("U32", (256, 32)), ("U8", (256, 16)), None, None),
        (("U32", (256, 64)), ("F16", (256, 8)), ("F16", (256, 4)), None),
        (("U32", (128, 64)), ("F16", (128, 8)), ("F16", (128, 8)), None),
        (("I32", (256, 64)), ("F16", (256, 8)), ("F16", (256, 8)), None),
        (("U32", (256, 7)), ("F16", (256, 8)), ("F16", (256, 8)), None),
    ],
)
def test_a_format_is_what_widths_and_dtypes_say(
    tiny: Checkpoint,
    tmp_path: Path,
    weight: tuple[str, tuple[int, ...]],
    scales: tuple[str, tuple[int, ...]],
    biases: tuple[str, tuple[int, ...]] | None,
    kind: object,
) -> None:
    """layers.0.attn.wo_a of the tiny checkpoint is 256 × 256."""
    stem = "layers.0.attn.wo_a"
    rows = [(f"{stem}.weight", *weight), (f"{stem}.scales", *scales)]
    rows += [(f"{stem}.biases", *biases)] if biases else []
    (module,) = seen(foreign.write(tmp_path / "one", rows, tiny.config, 1)).modules
    if kind is None:
        assert module.format.kind.startswith("unrecognised (.")
        assert module.bytes > 0
    else:
        assert module.format == kind


def test_a_changed_bundle_of_ours_is_compared_by_what_it_shows(spoiled: Path) -> None:
    config = json.loads((spoiled / "config.json").read_text())
    config["quantization"]["layers.0.attn.wq_a"] = {"bits": 4, "group_size": 64, "mode": "affine"}
    (spoiled / "config.json").write_text(json.dumps(config))
    found = read_bundle(spoiled)
    assert not found.built
    assert found.notes[0] == "its headers or config.json differ from its plan, so it is compared by what they show"


def test_a_checkpoint_is_no_bundle(tiny_source: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        read_bundle(tiny_source)
    assert refused.value.diagnostics[0].code == "P023"


def test_no_byte_is_lost_whatever_headers_show(tiny: Checkpoint, tmp_path: Path) -> None:
    """Dtypes, shapes and names changed at random, tensors taken away: read without a crash, every byte in a module."""
    rng = random.Random(5)
    plans = [make_plan(load_recipe(name), tiny) for name in ("q4q8-per-expert", "native")]
    for number in range(60):
        plan = plans[number % 2]
        rows = foreign.tensors_of(plan)
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(rows))
            name, dtype, shape = rows[at]
            rows[at] = rng.choice(
                (
                    (name, rng.choice(("U8", "F16", "BF16", "F32", "U32", "I32", "I64")), shape),
                    (name, dtype, tuple(rng.choice((1, 8, 32, side)) for side in shape)),
                    (name, dtype, rng.choice(((), (0,), shape[:-1], (2, *shape)))),
                    (name.replace("layers.", rng.choice(("layers.9", "model.layers.", "x."))), dtype, shape),
                    (
                        name.rpartition(".")[0] + rng.choice((".weight", ".scales", ".biases", ".tq_packed")),
                        dtype,
                        shape,
                    ),
                )
            )
        rows = list({row[0]: row for row in rng.sample(rows, rng.randrange(1, len(rows)))}.values())
        root = foreign.write(tmp_path / str(number), rows, {**tiny.config, "quantization": plan.overrides})
        view = open_bundle(root)[0]
        shown = observe(view).plan
        assert shown.tensor_bytes == sum(header.size - header.data_start for header in view.shards)
        assert diff(plan, shown).bytes_delta == shown.tensor_bytes - plan.tensor_bytes
        assert diff(shown, shown).empty


@pytest.mark.parametrize("recipe", ["q4q8", "native-dspark", "q3-mixed-v41"])
def test_no_name_means_two_modules(recipe: str, tiny_for: Callable[[str], Checkpoint]) -> None:
    """In V4-Flash, 0731 and V4.1."""
    from dsv4recipe.plan.dialects import aliases

    checkpoint = tiny_for(recipe)
    owner: dict[str, str] = {}
    for group in checkpoint.groups:
        for alias in aliases(group.slot, checkpoint.family.name):
            assert owner.setdefault(alias, group.stem) == group.stem, alias
