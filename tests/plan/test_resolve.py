"""The exactly-once proof and the laws of a target: each refusal with code, place and mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from tests.checkpoints import headers_of
from tests.recipes import SOUND, changed, with_first_rule

Planned = Callable[[str], Plan]


def refusal(planned: Planned, text: str, code: str) -> str:
    """The rendered refusal, which must be of this one code."""
    with pytest.raises(RecipeError) as caught:
        planned(text)
    assert {d.code for d in caught.value.diagnostics} == {code}
    return str(caught.value)


def test_every_tensor_is_claimed_by_exactly_one_rule(planned: Planned, tiny_names: set[str]) -> None:
    plan = planned(SOUND)
    sources = [module.sources for module in plan.modules]
    assert len(sources) == len(set(sources)) == len(tiny_names)
    assert set(sources) == tiny_names


@pytest.fixture(scope="module")
def tiny_names(tiny: Checkpoint) -> set[str]:
    return {group.names for group in tiny.groups}


def test_a_tensor_that_no_rule_claims(planned: Planned) -> None:
    text = refusal(planned, changed(", lm-head", ""), "P001")
    assert "1 tensor is claimed by no rule (role lm-head)" in text
    assert "head.weight" in text
    assert "match: {role: lm-head}" in text


def test_a_rule_that_matches_nothing_points_at_its_glob(planned: Planned) -> None:
    rule = '  - id: typo\n    match: {tensor: "layers.*.ffn.expert.*.w1.weight"}\n    keep: source\n'
    text = refusal(planned, with_first_rule(rule), "P003")
    assert "rule 'typo' matches no tensor" in text
    assert "recipe.yaml:17:21" in text
    assert 'did you mean "layers.*.ffn.experts.*.w1.weight"?' in text


def test_a_rule_that_matches_nothing_says_which_condition_is_empty(planned: Planned) -> None:
    rule = "  - id: beyond\n    match: {role: attention, layers: [50]}\n    keep: source\n"
    text = refusal(planned, with_first_rule(rule), "P003")
    assert "role alone matches 25 tensors" in text
    assert "layers alone matches 0 tensors" in text


def test_an_optional_rule_may_match_nothing(planned: Planned) -> None:
    rule = "  - id: beyond\n    match: {role: attention, layers: [50]}\n    keep: source\n    optional: true\n"
    assert planned(with_first_rule(rule)).modules == planned(SOUND).modules


def test_a_shadowed_rule_names_who_shadows_it(planned: Planned) -> None:
    text = SOUND + "  - id: late\n    match: {role: attention, projection: wq_a}\n    keep: source\n"
    message = refusal(planned, text, "P002")
    assert "rule 'late' is shadowed" in message
    assert "claimed by 'everything-else' (5 modules)" in message


def test_a_glob_must_not_split_a_stack(planned: Planned) -> None:
    match = 'match: {tensor: "layers.1.ffn.experts.[0-2].w1.weight"}'
    rule = f"  - id: few\n    {match}\n    format: {{affine: {{bits: 4, group-size: 32}}}}\n"
    text = refusal(planned, with_first_rule(rule), "P004")
    assert "rule 'few' matches 3 of the 8 experts of layers.1.ffn.experts.{0-7}.w1.weight" in text


def test_a_group_size_that_does_not_divide(tmp_path: Path) -> None:
    config = synth_config("v4-flash", "tiny") | {"moe_intermediate_size": 96}
    with pytest.raises(RecipeError) as caught:
        make_plan(
            parse_recipe(changed("bits: 4, group-size: 32", "bits: 4, group-size: 128"), "r.yaml"),
            headers_of(config, tmp_path / "source"),
        )
    assert "rule 'routed-experts': group size 128 does not divide the input width 96" in str(caught.value)
    assert "r.yaml:18" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("runtime: vmlx", "runtime: mlx-lm", "T003", "mlx-lm cannot run family deepseek_v4"),
        ("role: routed-expert}", "role: router}", "T011", "vmlx cannot run affine for router"),
        ("keep: source", "keep: float16", "T012", "vmlx needs router-bias in float32, but the rule makes it F16"),
        ("keep: source", "keep: bfloat16", "T013", "BF16 beside half: float16 makes two half types in one bundle"),
        ("group-size: 32}}\n  - id: c", "group-size: 32, scales: bfloat16}}\n  - id: c", "T013", "scales: bfloat16"),
    ],
)
def test_what_the_runtime_cannot_take(planned: Planned, old: str, new: str, code: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        planned(changed(old, new))
    assert code in {d.code for d in caught.value.diagnostics}
    assert words in str(caught.value)


def test_gate_and_up_in_different_formats(planned: Planned) -> None:
    match = "match: {role: routed-expert, projection: gate}"
    rule = f"  - id: gates\n    {match}\n    format: {{affine: {{bits: 2, group-size: 32}}}}\n"
    message = refusal(planned, with_first_rule(rule), "T015")
    assert "vmlx fuses gate and up of a layer" in message
    assert "layers 0, 1, 2, 3" in message


def test_all_problems_at_once(planned: Planned) -> None:
    text = changed(", lm-head", "", with_first_rule("  - id: none\n    match: {layers: 40}\n    keep: source\n"))
    with pytest.raises(RecipeError) as caught:
        planned(text)
    assert [d.code for d in caught.value.diagnostics] == ["P001", "P003"]


def test_dropping_mtp_drops_all_of_it_and_counts_it(planned: Planned) -> None:
    plan = planned(changed("mtp: keep", "mtp: drop", changed(", mtp-projection", "")))
    assert plan.dropped == {"target.mtp": 53}
    assert not any(module.block == "mtp" for module in plan.modules)


def test_keep_source_makes_bf16_the_one_half_type(planned: Planned) -> None:
    dtypes = {module.role: module.parts[0].dtype for module in planned(SOUND).modules if module.format.kind == "keep"}
    assert dtypes["norm"] == dtypes["router"] == "F16"
    assert dtypes["hyper-connection"] == dtypes["attention-sink"] == dtypes["position-bias"] == "F32"
    assert dtypes["hash-table"] == "I64"
    brain = planned(changed("half: float16", "half: bfloat16"))
    assert {m.parts[0].dtype for m in brain.modules if m.role == "norm"} == {"BF16"}
    assert all(m.lossless for m in brain.modules if m.role == "norm")
