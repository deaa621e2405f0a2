"""Plans of the shipped recipes at full size, against figures that were computed from the real inventory."""

from __future__ import annotations

import pytest

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan


@pytest.fixture(scope="module")
def q4q8(full: Checkpoint) -> Plan:
    return make_plan(load_recipe("q4q8"), full)


def test_q4q8_weighs_what_the_inventory_says(q4q8: Plan) -> None:
    """Routed experts at 5 bits, 522 linear modules at 9, 706 plain tensors: 185,739,533,896 B with MTP kept."""
    assert q4q8.tensor_bytes == 185_739_533_896
    assert 172.3 < q4q8.tensor_bytes / 2**30 < 173.0
    kinds = [module.format.kind for module in q4q8.modules if module.role != "routed-expert"]
    assert (kinds.count("affine"), kinds.count("keep")) == (522, 706)
    assert sum(m.experts for m in q4q8.modules if m.role == "routed-expert") == 33_792


def test_q4q8_overrides_every_routed_module_by_path_and_by_disk_stem(q4q8: Plan) -> None:
    expected = {"bits": 4, "group_size": 32, "mode": "affine"}
    paths = [f"layers.{n}.mlp.switch_mlp.{p}_proj" for n in range(43) for p in ("gate", "up", "down")]
    assert {key: q4q8.overrides[key] for key in ("bits", "group_size", "mode")} == expected | {"bits": 8}
    assert all(q4q8.overrides[path] == q4q8.overrides["model." + path] == expected for path in paths)
    mtp = {f"mtp.0.ffn.experts.{e}.w{w}" for e in range(256) for w in (1, 2, 3)}
    entries = {key for key, value in q4q8.overrides.items() if isinstance(value, dict)}
    assert entries == {*paths, *(f"model.{path}" for path in paths), *mtp}


def test_a_shard_holds_whole_modules_within_its_size(q4q8: Plan) -> None:
    assert [name for shard in q4q8.shards for name in shard.modules] == [module.disk for module in q4q8.modules]
    assert all(shard.tensor_bytes <= 5 * 2**30 for shard in q4q8.shards)
    assert sum(shard.tensor_bytes for shard in q4q8.shards) == q4q8.tensor_bytes
    assert all(shard.file_bytes > shard.tensor_bytes for shard in q4q8.shards)


def test_the_first_shard_holds_a_routed_module(q4q8: Plan) -> None:
    assert q4q8.shards[0].modules[0] == "layers.0.mlp.switch_mlp.gate_proj"


def test_per_expert_is_the_same_weights_under_other_names(q4q8: Plan, full: Checkpoint) -> None:
    plan = make_plan(load_recipe("q4q8-per-expert"), full)
    assert plan.tensor_bytes == q4q8.tensor_bytes
    stems = [stem for module in plan.modules if module.role == "routed-expert" for stem in module.stems]
    assert len(stems) == 33_792
    assert set(stems) <= set(plan.overrides)
    assert sum(key.startswith("model.layers.") for key in plan.overrides) == 129
