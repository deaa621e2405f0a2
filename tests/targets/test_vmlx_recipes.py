"""The recipes for vMLX: plans at full size against figures computed from the real inventory, and their side files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.side import side_files
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import changed, with_first_rule

SIDECAR = "jangtq_runtime.safetensors"
MXTQ = {  # recipe: tensor bytes, routed matrices, affine, plain, payload of the sidecar, profile, variant
    "jangtq2": (79_623_645_897, 33_792, 522, 706, 24_608, "JANGTQ2", "std"),
    "jangtq2-per-expert": (79_623_777_864, 33_792, 522, 706, 24_608, "JANGTQ2", "std"),
    "jangtq2-k": (77_816_900_829, 33_024, 512, 687, 24_608, "JANGTQ_K", "K"),
    "jangtq-hash4": (84_455_484_105, 33_792, 522, 706, 24_736, "JANGTQ_V3", "V3"),
}


@pytest.fixture(scope="module", params=MXTQ)
def plan(request: pytest.FixtureRequest, full: Checkpoint) -> Plan:
    return make_plan(load_recipe(request.param), full)


def test_an_mxtq_recipe_at_full_size(plan: Plan, full: Checkpoint) -> None:
    size, routed, affine, plain, sidecar, profile, variant = MXTQ[plan.recipe["name"]]
    kinds = Counter(module.format.kind for module in plan.modules if module.role != "routed-expert")
    experts = [module for module in plan.modules if module.role == "routed-expert"]
    assert (plan.tensor_bytes, kinds) == (size, {"affine": affine, "keep": plain})
    assert sum(module.experts for module in experts) == routed
    assert {module.format.kind for module in experts} == {"mxtq"}
    wide = {(m.block, m.layer) for m in experts if m.format.spec() == {"mxtq": {"bits": 4, "seed": 42}}}
    assert wide == ({("main", layer) for layer in range(3)} if variant == "V3" else set())
    made = side_files(plan, full)
    header = int.from_bytes(made[SIDECAR][:8], "little")
    assert len(made[SIDECAR]) - 8 - header == sidecar
    jang = json.loads(made["jang_config.json"])
    assert (jang["profile"], jang["variant"]) == (profile, variant)
    assert jang["drop_mtp"] == (plan.target["mtp"] == "drop")
    hashed = {"0": 4, "1": 4, "2": 4}
    assert jang["quantization"]["routed_experts"] == {
        "codec": "mxtq",
        "bits": 2,
        "bit_plan": {"codec": "mxtq", "default_bits": 2} | ({"routed_layer_bits": hashed} if variant == "V3" else {}),
    }


def test_plan_tells_of_the_sidecar(tiny: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for recipe in ("jangtq2", "q4q8"):
        assert run(["plan", recipe, "--source", str(tiny.folder.root)]) == 0
        lines.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("sidecar ")])
    assert lines == [[f"sidecar {SIDECAR}: 1,568 B of signs and codebooks"], []]


@pytest.mark.parametrize("recipe", ["q4q8", "q4q8-per-expert", "jangtq2"])
def test_every_companion_of_a_chat_model_is_there(source_copy: Path, tmp_path: Path, recipe: str) -> None:
    """The stop list in three files, the chat template of a source that has one, the encoder, jang_config.json."""
    (source_copy / "chat_template.jinja").write_text("{{ messages }}")
    (source_copy / "encoding" / "extra.txt").write_text("more")
    checkpoint = open_checkpoint(source_copy)
    bundle = build(make_plan(load_recipe(recipe), checkpoint), checkpoint, tmp_path / "bundle")
    made = {name: json.loads((bundle / name).read_text()) for name in
            ("config.json", "generation_config.json", "tokenizer_config.json", "jang_config.json")}  # fmt: skip
    assert [made[name]["eos_token_id"] for name in list(made)[:3]] == [[1, 3]] * 3
    assert (bundle / "chat_template.jinja").read_text() == "{{ messages }}"
    for name in ("encoding/encoding_dsv4.py", "encoding/extra.txt", "tokenizer.json", "LICENSE"):
        assert (bundle / name).read_bytes() == (source_copy / name).read_bytes()
    jang = made["jang_config.json"]
    assert jang["capabilities"] == {
        "family": "deepseek_v4",
        "reasoning_parser": "deepseek_r1",
        "tool_parser": "dsml",
        "think_in_template": True,
        "cache_type": "mla",
    }
    assert jang["chat"]["has_tokenizer_chat_template"] is True
    assert jang["chat"]["reasoning"]["modes"] == ["chat", "thinking"]
    assert jang["chat"]["tool_calling"]["parser"] == "dsml"
    layout = "per-expert" if recipe.endswith("per-expert") else "prestacked"
    assert jang["routed_expert_layout"] == layout
    mxtq = recipe == "jangtq2"
    assert (jang["weight_format"], jang["profile"]) == (("mxtq", "JANGTQ2") if mxtq else ("affine", "JANG_4L"))


def refusal(text: str, checkpoint: Checkpoint) -> str:
    with pytest.raises(RecipeError) as caught:
        side_files(make_plan(parse_recipe(text, "recipe.yaml"), checkpoint), checkpoint)
    return str(caught.value)


ROUTED = "format: {affine: {bits: 4, group-size: 32}}"


def test_two_seeds_are_refused(tiny: Checkpoint) -> None:
    rule = "  - id: mtp\n    match: {role: routed-expert, block: mtp}\n    format: {mxtq: {bits: 2, seed: 7}}\n"
    text = with_first_rule(rule, changed(ROUTED, "format: {mxtq: {bits: 2}}"))
    said = refusal(text, tiny)
    assert "error[T016]: rule 'routed-experts' writes MXTQ with seed 42, rule 'mtp' with seed 7" in said
    assert "recipe.yaml:18:5" in said


def test_gate_and_up_of_two_widths_are_refused(tiny: Checkpoint) -> None:
    rule = "  - id: gates\n    match: {role: routed-expert, projection: gate}\n    format: {mxtq: {bits: 4}}\n"
    assert "error[T015]" in refusal(with_first_rule(rule, changed(ROUTED, "format: {mxtq: {bits: 2}}")), tiny)


@pytest.mark.parametrize("role", ["attention", "embedding", "shared-expert"])
def test_mxtq_is_for_routed_experts_alone(tiny: Checkpoint, role: str) -> None:
    rule = f"  - id: odd\n    match: {{role: {role}, block: main}}\n    format: {{mxtq: {{bits: 4}}}}\n"
    assert f"error[T011]: rule 'odd': vmlx cannot run mxtq for {role}" in refusal(with_first_rule(rule), tiny)


@pytest.mark.parametrize("bits", [1, 3, 5, 6, 8])
def test_widths_that_cannot_be_packed_are_refused(tiny: Checkpoint, bits: int) -> None:
    assert f"error[R023]: bits must be 2 or 4, not {bits}" in refusal(
        changed(ROUTED, f"format: {{mxtq: {{bits: {bits}}}}}"), tiny
    )


def test_a_recipe_without_experts_is_refused(tiny: Checkpoint) -> None:
    assert "error[T018]" in refusal(changed(ROUTED, "drop: true"), tiny)
