"""Laws of `diff` over random recipes.

The suite tries 400 pairs; `DSV4RECIPE_CASES=10000 python -m pytest tests/plan/test_diff_laws.py` as many as you like.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

from dsv4recipe import diff
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.canonical import dump_plan, load_plan
from dsv4recipe.plan.diff import Change, PlanDiff
from tests.plan.random_recipes import random_plan

CASES = int(os.environ.get("DSV4RECIPE_CASES", "400"))


def mirrored(found: PlanDiff) -> PlanDiff:
    """The same diff, read from the other side."""

    def turn(changes: tuple[Change, ...]) -> tuple[Change, ...]:
        kinds = {"+": "-", "-": "+", "~": "~"}
        return tuple(
            replace(
                c, kind=kinds[c.kind], before=c.after, after=c.before,
                bytes_before=c.bytes_after, bytes_after=c.bytes_before,
            )
            for c in changes
        )  # fmt: skip

    return PlanDiff(
        found.same, turn(found.removed), turn(found.added), turn(found.changed),
        tuple((what, new, old) for what, old, new in found.facts), found.bytes_after, found.bytes_before,
    )  # fmt: skip


def test_same_is_empty_mirror_is_mirror_and_deltas_add_up(tiny: Checkpoint) -> None:
    rng = random.Random(20_261_121)
    before = random_plan(rng, tiny)
    told = 0
    for _ in range(CASES):
        after = random_plan(rng, tiny)
        found = diff(before, after)
        assert diff(after, replace(after)).empty
        assert diff(after, before) == mirrored(found)
        changes = (*found.added, *found.removed, *found.changed)
        assert found.bytes_delta == after.tensor_bytes - before.tensor_bytes
        assert found.bytes_delta == sum(change.bytes_delta for change in changes)
        assert found.same + sum(c.count for c in (*found.removed, *found.changed)) == len(before.modules)
        assert found.same + sum(c.count for c in (*found.added, *found.changed)) == len(after.modules)
        assert found.empty == (_content(before) == _content(after))
        told += not found.empty
        before = after
    assert told > 0.9 * CASES


def _content(plan: object) -> tuple[object, ...]:
    """What of a plan decides a bundle's tensors and their place; rules, notes and the recipe's words do not."""
    modules = [replace(module, rule="", note="") for module in plan.modules]  # type: ignore[attr-defined]
    return modules, plan.shards, plan.overrides, plan.target  # type: ignore[attr-defined]


def test_a_plan_file_and_its_plan_do_not_differ(tiny: Checkpoint) -> None:
    rng = random.Random(7)
    for _ in range(20):
        plan = random_plan(rng, tiny)
        assert diff(plan, load_plan(dump_plan(plan), "plan.json")).empty
