"""`explain`: any name in any dialect finds its group; rules win and lose for the reasons that are said."""

from __future__ import annotations

import pytest

from dsv4recipe import load_recipe
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.chain import chain_of, plan_graph
from dsv4recipe.plan.explain import Explanation, explain
from dsv4recipe.plan.make import make_plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.runtimes import running
from tests.recipes import changed, with_first_rule


@pytest.mark.parametrize(
    ("name", "expert"),
    [
        ("layers.2.ffn.experts.7.w2.weight", 7),
        ("layers.2.ffn.experts.7.w2.scale", 7),
        ("layers.2.ffn.experts.0.w2", 0),
        ("layers.2.ffn.experts.{0-7}.w2.weight", None),
        ("layers.2.ffn.experts.{E}.w2", None),
        ("layers.2.mlp.switch_mlp.down_proj.scales", None),
        ("layers.2.ffn.switch_mlp.down_proj", None),
        ("model.layers.2.mlp.switch_mlp.down_proj", None),
        ("model.layers.2.ffn.switch_mlp.down_proj.weight", None),
        ("language_model.model.layers.2.ffn.switch_mlp.down_proj", None),
        ("layers.2.mlp.switch_mlp.down_proj.tq_packed", None),
    ],
)
def test_every_name_of_a_module_finds_it(name: str, expert: int | None, tiny: Checkpoint) -> None:
    found = explain(load_recipe("q4q8"), tiny, name)
    assert (found.group.stem, found.expert) == ("layers.2.ffn.experts.{E}.w2", expert)


def test_every_name_of_every_target_finds_its_group(tiny: Checkpoint) -> None:
    from dsv4recipe.plan.dialects import Index

    index = Index(tiny)
    for group in tiny.groups:
        names = [tensor.name for tensor in group.members]
        for target in running("deepseek_v4").values():
            names += [target.disk_stem(group.slot, layout) for layout in target.expert_layouts]
            names += [path for path in (target.path(group.slot),) if path]
        for name in names:
            hit = index.find(name)
            assert hit is not None
            assert hit[0] is group, name


def test_rules_say_why_they_won_or_lost(tiny: Checkpoint) -> None:
    text = with_first_rule(
        "  - id: late\n    match: {role: routed-expert, projection: [gate, up], layers: [hash, 3]}\n"
        "    format: {affine: {bits: 6, group-size: 32}}\n    optional: true\n"
        "  - id: named\n    match: {tensor: 'layers.*.w2.weight', stored: fp4, module: '*.down_proj', block: main}\n"
        "    format: {affine: {bits: 3, group-size: 32}}\n"
    )
    recipe = parse_recipe(text, "house.yaml")
    found = explain(recipe, tiny, "layers.1.ffn.experts.3.w2.weight")
    assert found.winner is not None
    assert (found.winner.rule, found.winner.where.file, found.winner.where.line) == ("named", "house.yaml", 20)
    why = {verdict.rule: verdict.why for verdict in found.losers}
    assert why["late"] == "projection is down, but the rule asks for one of gate, up"
    assert why["routed-experts"] == "it also matches, but 'named' comes first"
    assert why["control"].startswith("role is routed-expert, but the rule asks for one of norm, router, ")
    found = explain(recipe, tiny, "mtp.0.ffn.experts.1.w1")
    assert {v.rule: v.why for v in found.losers}["late"] == "layer is 4, but the rule asks for 3, hash (0-2)"
    assert {v.rule: v.why for v in found.losers}["named"] == (
        "block is mtp, but the rule asks for main; "
        "tensor is mtp.0.ffn.experts.{0-7}.w1.weight, but the rule asks for layers.*.w2.weight; "
        "module is none, because the runtime does not load it, but the rule asks for *.down_proj"
    )


def test_the_chain_goes_from_files_to_the_shard(tiny: Checkpoint) -> None:
    found = explain(load_recipe("q4q8"), tiny, "layers.1.attn.wq_a.weight")
    assert found.module is not None
    kinds = [kind for kind, _ in found.chain]
    assert kinds == ["file"] * kinds.count("file") + ["group", "module", "shard"]
    files = {tensor.file for tensor in found.group.members} | {tensor.scale_file for tensor in found.group.members}
    assert {name for kind, name in found.chain if kind == "file"} == files
    assert found.chain[-1] == ("shard", found.shard)


def test_the_graph_holds_every_module_once_and_nothing_else(tiny: Checkpoint) -> None:
    plan = make_plan(load_recipe("native"), tiny)
    graph = plan_graph(plan, tiny)
    modules = {name for kind, name in graph.nodes if kind == "module"}
    assert modules == {module.disk for module in plan.modules}
    assert all(graph.in_degree(("module", name)) == graph.out_degree(("module", name)) == 1 for name in modules)
    assert chain_of(graph, "mtp.0.e_proj")[-1] == ("group", "mtp.0.e_proj")
    assert not any(kind == "group" for kind, _ in tiny.graph.successors(("group", "embed")))


def entries(found: Explanation) -> dict[str, object]:
    return dict(found.overrides)


def test_entries_of_config_json_are_those_of_the_plan(tiny: Checkpoint) -> None:
    four = {"bits": 4, "group_size": 32, "mode": "affine"}
    stacked = explain(load_recipe("q4q8"), tiny, "layers.0.ffn.experts.0.w1.weight")
    assert entries(stacked) == {
        "model.layers.0.mlp.switch_mlp.gate_proj": four,
        "layers.0.mlp.switch_mlp.gate_proj": four,
    }
    single = explain(load_recipe("q4q8-per-expert"), tiny, "layers.0.ffn.experts.5.w1.weight")
    assert entries(single) == {
        "model.layers.0.mlp.switch_mlp.gate_proj": four,
        "layers.0.ffn.experts.5.w1": four,
    }
    plain = explain(load_recipe("q4q8"), tiny, "head.weight")
    assert entries(plain) == {}
    assert plain.globals_ == {"bits": 8, "group_size": 32, "mode": "affine"}


def test_a_dropped_tensor_says_who_dropped_it(tiny: Checkpoint) -> None:
    found = explain(load_recipe("native"), tiny, "mtp.0.enorm.weight")
    assert (found.winner, found.module, found.shard) == (None, None, "")
    assert {verdict.why for verdict in found.losers} == {
        "target.mtp: drop takes every MTP tensor before a rule is tried"
    }
    text = with_first_rule("  - id: no-stages\n    match: {block: mtp}\n    drop: true\n")
    recipe = parse_recipe(changed(", mtp-projection]", "]", text), "house.yaml")
    found = explain(recipe, tiny, "mtp.0.enorm.weight")
    assert found.winner is not None
    assert (found.winner.rule, found.module) == ("no-stages", None)
    assert found.data()["module"] is None


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "layers.2.ffn.experts.17.w2.weight",
            "layers.2.ffn.experts.{E}.w2 has experts 0 to 7, not 17",
            "name one of them, or write {E} for all",
        ),
        (
            "model.layers.3.mlp.swich_mlp.gate_proj",
            'no tensor, module or disk name of any dialect is called "model.layers.3.mlp.swich_mlp.gate_proj"',
            'did you mean "model.layers.3.mlp.switch_mlp.gate_proj"?',
        ),
        (
            "zzzz",
            'no tensor, module or disk name of any dialect is called "zzzz"',
            "`dsv4recipe plan --json` lists every",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, message: str, hint: str, tiny: Checkpoint) -> None:
    with pytest.raises(RecipeError) as refused:
        explain(load_recipe("q4q8"), tiny, name)
    (found,) = refused.value.diagnostics
    assert (found.code, found.message) == ("P040", message)
    assert found.hint.startswith(hint)
